package api

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"k8s.io/apimachinery/pkg/api/validation/path"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apiserver/pkg/endpoints/request"
)

var methodVerbs = map[string]string{
	http.MethodPost: "create", http.MethodGet: "get", http.MethodHead: "get", http.MethodPut: "update",
	http.MethodPatch: "patch", http.MethodDelete: "delete",
}

// requestInfo parses method and path into what authorization and the handlers go
// by:
//
//	/api/VERSION/... and /apis/GROUP/VERSION/..., then
//	[watch/][namespaces/NAMESPACE/]RESOURCE[/NAME[/SUBRESOURCE[/...]]]
//
// The result is never nil. Everything else is a path outside the API.
func requestInfo(r *http.Request, values url.Values) (*request.RequestInfo, error) {
	info := &request.RequestInfo{Path: r.URL.Path, Verb: strings.ToLower(r.Method)}
	parts := strings.Split(strings.Trim(r.URL.Path, "/"), "/")
	switch {
	case len(parts) >= 3 && parts[0] == "api":
		info.APIPrefix, info.APIVersion, parts = "api", parts[1], parts[2:]
	case len(parts) >= 4 && parts[0] == "apis":
		info.APIPrefix, info.APIGroup, info.APIVersion, parts = "apis", parts[1], parts[2], parts[3:]
	default:
		return info, nil
	}
	info.IsResourceRequest, info.Verb = true, methodVerbs[r.Method]
	prefixed := parts[0] == "watch" || parts[0] == "proxy"
	if prefixed { // the verb in the path, as it was before watch=true
		if len(parts) < 2 {
			return info, fmt.Errorf("unable to determine kind and namespace from url, %v", r.URL)
		}
		info.Verb, parts = parts[0], parts[1:]
	}
	setParts(info, parts)
	if info.Name == "" {
		forCollection(info, values)
	}
	switch info.Verb {
	case "list", "watch", "deletecollection":
		if !prefixed {
			info.FieldSelector, info.LabelSelector = values.Get("fieldSelector"), values.Get("labelSelector")
		}
	}
	return info, nil
}

func setParts(info *request.RequestInfo, parts []string) {
	if parts[0] == "namespaces" && len(parts) > 1 {
		info.Namespace = parts[1]
		if len(parts) > 2 && parts[2] != "status" && parts[2] != "finalize" {
			parts = parts[2:]
		}
	}
	info.Parts, info.Resource = parts, parts[0]
	if len(parts) >= 2 {
		info.Name = parts[1]
	}
	if len(parts) >= 3 && info.Verb != "proxy" {
		info.Subresource = parts[2]
	}
}

// forCollection finds the verb of a request without a name, and the name that a
// field selector gives.
func forCollection(info *request.RequestInfo, values url.Values) {
	switch info.Verb {
	case "get":
		info.Verb = "list"
		if w := values["watch"]; len(w) > 0 && strings.ToLower(w[0]) != "false" && w[0] != "0" {
			info.Verb = "watch"
		}
	case "delete":
		info.Verb = "deletecollection"
	}
	if s := values.Get("fieldSelector"); s != "" && (info.Verb == "list" || info.Verb == "watch") {
		if sel, err := fields.ParseSelector(s); err == nil {
			if name, ok := sel.RequiresExactMatch("metadata.name"); ok && len(path.IsValidPathSegmentName(name)) == 0 {
				info.Name = name
			}
		}
	}
}
