//go:build openapigen

package main

import (
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/kube-openapi/pkg/spec3"
	"k8s.io/kube-openapi/pkg/validation/spec"
)

// Media types of bodies.
var (
	media      = []string{"application/json", "application/yaml", "application/vnd.kubernetes.protobuf", "application/cbor"}
	watchMedia = []string{"application/json;stream=watch", "application/vnd.kubernetes.protobuf;stream=watch", "application/cbor-seq"}
	patchMedia = []string{"application/json-patch+json", "application/merge-patch+json", "application/strategic-merge-patch+json", "application/apply-patch+yaml", "application/apply-patch+cbor"}
)

// parameter describes a query parameter.
type parameter struct{ kind, description string }

// parameters are those of the query, by name; their text is that of the options
// types' fields.
var parameters = map[string]parameter{
	"allowWatchBookmarks": {"boolean", metav1.ListOptions{}.SwaggerDoc()["allowWatchBookmarks"]},
	"continue":            {"string", metav1.ListOptions{}.SwaggerDoc()["continue"]},
	"container":           {"string", "The container for which to stream logs. Defaults to only container if there is one container in the pod."},
	"dryRun":              {"string", metav1.CreateOptions{}.SwaggerDoc()["dryRun"]},
	"fieldManager":        {"string", metav1.CreateOptions{}.SwaggerDoc()["fieldManager"]},
	"fieldSelector":       {"string", metav1.ListOptions{}.SwaggerDoc()["fieldSelector"]},
	"fieldValidation":     {"string", metav1.CreateOptions{}.SwaggerDoc()["fieldValidation"]},
	"follow":              {"boolean", "Follow the log stream of the pod. Defaults to false."},
	"force":               {"boolean", metav1.PatchOptions{}.SwaggerDoc()["force"]},
	"gracePeriodSeconds":  {"integer", metav1.DeleteOptions{}.SwaggerDoc()["gracePeriodSeconds"]},
	"ignoreStoreReadErrorWithClusterBreakingPotential": {"boolean", metav1.DeleteOptions{}.SwaggerDoc()["ignoreStoreReadErrorWithClusterBreakingPotential"]},
	"insecureSkipTLSVerifyBackend":                     {"boolean", "insecureSkipTLSVerifyBackend indicates that the apiserver should not confirm the validity of the serving certificate of the backend it is connecting to."},
	"labelSelector":                                    {"string", metav1.ListOptions{}.SwaggerDoc()["labelSelector"]},
	"limit":                                            {"integer", metav1.ListOptions{}.SwaggerDoc()["limit"]},
	"limitBytes":                                       {"integer", "If set, the number of bytes to read from the server before terminating the log output."},
	"orphanDependents":                                 {"boolean", metav1.DeleteOptions{}.SwaggerDoc()["orphanDependents"]},
	"pretty":                                           {"string", "If 'true', then the output is pretty printed. Defaults to 'false' unless the user-agent indicates a browser or command-line HTTP tool (curl and wget)."},
	"previous":                                         {"boolean", "Return previous terminated container logs. Defaults to false."},
	"propagationPolicy":                                {"string", metav1.DeleteOptions{}.SwaggerDoc()["propagationPolicy"]},
	"resourceVersion":                                  {"string", metav1.ListOptions{}.SwaggerDoc()["resourceVersion"]},
	"resourceVersionMatch":                             {"string", metav1.ListOptions{}.SwaggerDoc()["resourceVersionMatch"]},
	"sendInitialEvents":                                {"boolean", metav1.ListOptions{}.SwaggerDoc()["sendInitialEvents"]},
	"sinceSeconds":                                     {"integer", "A relative time in seconds before the current time from which to show logs."},
	"tailLines":                                        {"integer", "If set, the number of lines from the end of the logs to show."},
	"timeoutSeconds":                                   {"integer", metav1.ListOptions{}.SwaggerDoc()["timeoutSeconds"]},
	"timestamps":                                       {"boolean", "If true, add an RFC3339 or RFC3339Nano timestamp at the beginning of every line of log output. Defaults to false."},
	"watch":                                            {"boolean", metav1.ListOptions{}.SwaggerDoc()["watch"]},
}

func (o *operation) extensions() spec.Extensions {
	e := spec.Extensions{}
	e.Add("x-kubernetes-action", o.action)
	e.Add("x-kubernetes-group-version-kind", map[string]any{"group": o.gvk.Group, "version": o.gvk.Version, "kind": o.gvk.Kind})
	return e
}

func (o *operation) results() map[int]string {
	switch {
	case o.result == "":
		return map[int]string{200: "OK"}
	case o.method == "POST":
		return map[int]string{200: "OK", 201: "Created", 202: "Accepted"}
	case o.method == "PUT" || o.method == "PATCH":
		return map[int]string{200: "OK", 201: "Created"}
	case o.action == "delete":
		return map[int]string{200: "OK", 202: "Accepted"}
	default:
		return map[int]string{200: "OK"}
	}
}

func (o *operation) produces() []string {
	if o.action == "list" {
		return append(append([]string(nil), media...), watchMedia...)
	}
	return media
}

func (o *operation) bodyModel() string {
	if o.body == patchModel {
		return model(metav1.Patch{})
	}
	return o.body
}

func addPathsV2(doc *spec.Swagger, operations []operation) {
	doc.Parameters = map[string]spec.Parameter{}
	for name, p := range parameters {
		doc.Parameters[name] = spec.Parameter{
			SimpleSchema:      spec.SimpleSchema{Type: p.kind},
			CommonValidations: spec.CommonValidations{UniqueItems: true},
			ParamProps:        spec.ParamProps{Name: name, In: "query", Description: p.description},
		}
	}
	for _, name := range []string{"namespace", "name", "path"} {
		doc.Parameters["path-"+name] = spec.Parameter{
			SimpleSchema:      spec.SimpleSchema{Type: "string"},
			CommonValidations: spec.CommonValidations{UniqueItems: true},
			ParamProps:        spec.ParamProps{Name: name, In: "path", Required: true, Description: pathDescription(name)},
		}
	}
	doc.Paths = &spec.Paths{Paths: map[string]spec.PathItem{}}
	for i := range operations {
		o := &operations[i]
		item, ok := doc.Paths.Paths[o.path]
		if !ok {
			for _, name := range pathParameters(o.path) {
				item.Parameters = append(item.Parameters, refParameter("path-"+name))
			}
		}
		*itemMethod(&item, o.method) = o.v2()
		doc.Paths.Paths[o.path] = item
	}
}

func refParameter(name string) spec.Parameter {
	return spec.Parameter{Refable: spec.Refable{Ref: spec.MustCreateRef("#/parameters/" + name)}}
}

func pathDescription(name string) string {
	if name == "namespace" {
		return "object name and auth scope, such as for teams and projects"
	}
	return "name of the object"
}

func pathParameters(path string) []string {
	var names []string
	for part := range strings.SplitSeq(path, "/") {
		if strings.HasPrefix(part, "{") {
			names = append(names, strings.Trim(part, "{}"))
		}
	}
	return names
}

func itemMethod(item *spec.PathItem, method string) **spec.Operation {
	switch method {
	case "GET":
		return &item.Get
	case "POST":
		return &item.Post
	case "PUT":
		return &item.Put
	case "PATCH":
		return &item.Patch
	default:
		return &item.Delete
	}
}

func (o *operation) v2() *spec.Operation {
	op := &spec.Operation{
		VendorExtensible: spec.VendorExtensible{Extensions: o.extensions()},
		OperationProps: spec.OperationProps{
			ID: o.id, Tags: []string{o.tag}, Schemes: []string{"https"},
			Consumes: []string{"*/*"}, Produces: o.produces(),
			Responses: &spec.Responses{ResponsesProps: spec.ResponsesProps{StatusCodeResponses: map[int]spec.Response{}}},
		},
	}
	if o.body == patchModel {
		op.Consumes = patchMedia
	}
	if o.body != "" {
		op.Parameters = append(op.Parameters, spec.Parameter{ParamProps: spec.ParamProps{
			Name: "body", In: "body", Required: o.method != "DELETE", Schema: ref("#/definitions/" + o.bodyModel()),
		}})
	}
	for _, name := range o.options {
		op.Parameters = append(op.Parameters, refParameter(name))
	}
	for code, text := range o.results() {
		r := spec.Response{ResponseProps: spec.ResponseProps{Description: text}}
		if o.result != "" {
			r.Schema = ref("#/definitions/" + o.result)
		} else {
			r.Schema = &spec.Schema{SchemaProps: spec.SchemaProps{Type: []string{"string"}}}
		}
		op.Responses.StatusCodeResponses[code] = r
	}
	op.Responses.StatusCodeResponses[401] = spec.Response{ResponseProps: spec.ResponseProps{Description: "Unauthorized"}}
	return op
}

func ref(to string) *spec.Schema {
	return &spec.Schema{SchemaProps: spec.SchemaProps{Ref: spec.MustCreateRef(to)}}
}

func newV3(schemas map[string]*spec.Schema, operations []operation) *spec3.OpenAPI {
	doc := &spec3.OpenAPI{
		Version:    "3.0.0",
		Info:       &spec.Info{InfoProps: spec.InfoProps{Title: title, Version: version}},
		Paths:      &spec3.Paths{Paths: map[string]*spec3.Path{}},
		Components: &spec3.Components{Schemas: schemas},
	}
	for i := range operations {
		o := &operations[i]
		p := doc.Paths.Paths[o.path]
		if p == nil {
			p = &spec3.Path{}
			for _, name := range pathParameters(o.path) {
				p.Parameters = append(p.Parameters, parameterV3(name, "path", "string", pathDescription(name)))
			}
			doc.Paths.Paths[o.path] = p
		}
		op := o.v3()
		switch o.method {
		case "GET":
			p.Get = op
		case "POST":
			p.Post = op
		case "PUT":
			p.Put = op
		case "PATCH":
			p.Patch = op
		default:
			p.Delete = op
		}
	}
	return doc
}

func parameterV3(name, in, kind, description string) *spec3.Parameter {
	return &spec3.Parameter{ParameterProps: spec3.ParameterProps{
		Name: name, In: in, Description: description, Required: in == "path",
		Schema: &spec.Schema{SchemaProps: spec.SchemaProps{Type: []string{kind}, UniqueItems: true}},
	}}
}

func (o *operation) v3() *spec3.Operation {
	op := &spec3.Operation{
		VendorExtensible: spec.VendorExtensible{Extensions: o.extensions()},
		OperationProps: spec3.OperationProps{
			OperationId: o.id, Tags: []string{o.tag},
			Responses: &spec3.Responses{ResponsesProps: spec3.ResponsesProps{StatusCodeResponses: map[int]*spec3.Response{}}},
		},
	}
	if o.body != "" {
		types := []string{"*/*"}
		if o.body == patchModel {
			types = patchMedia
		}
		op.RequestBody = &spec3.RequestBody{RequestBodyProps: spec3.RequestBodyProps{
			Required: o.method != "DELETE", Content: contents(types, o.bodyModel()),
		}}
	}
	for _, name := range o.options {
		op.Parameters = append(op.Parameters, parameterV3(name, "query", parameters[name].kind, parameters[name].description))
	}
	for code, text := range o.results() {
		op.Responses.StatusCodeResponses[code] = &spec3.Response{ResponseProps: spec3.ResponseProps{Description: text, Content: contents(o.produces(), o.result)}}
	}
	op.Responses.StatusCodeResponses[401] = &spec3.Response{ResponseProps: spec3.ResponseProps{Description: "Unauthorized"}}
	return op
}

func contents(types []string, name string) map[string]*spec3.MediaType {
	schema := &spec.Schema{SchemaProps: spec.SchemaProps{Type: []string{"string"}}}
	if name != "" {
		schema = ref("#/components/schemas/" + name)
	}
	m := map[string]*spec3.MediaType{}
	for _, t := range types {
		m[t] = &spec3.MediaType{MediaTypeProps: spec3.MediaTypeProps{Schema: schema}}
	}
	return m
}
