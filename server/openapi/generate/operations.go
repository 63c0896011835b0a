//go:build openapigen

package main

import (
	"slices"
	"strings"

	autoscalingv1 "k8s.io/api/autoscaling/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"skiff/server/registry"
)

// patchModel stands for a body that is a patch.
const patchModel = "patch"

// operation is one method of one path.
type operation struct {
	path, method string
	// action is the value of x-kubernetes-action.
	action string
	// id is the operation's name in generated clients.
	id   string
	tag  string
	gvk  schema.GroupVersionKind
	kind string
	// body and result are schemas, "" if there is none.
	body, result string
	// options are the query parameters.
	options []string
}

// The query parameters by action, as the meta/v1 options types have them.
var (
	writeOptions  = []string{"dryRun", "fieldManager", "fieldValidation", "pretty"}
	patchOptions  = []string{"dryRun", "fieldManager", "fieldValidation", "force", "pretty"}
	deleteOptions = []string{"dryRun", "gracePeriodSeconds", "ignoreStoreReadErrorWithClusterBreakingPotential", "orphanDependents", "pretty", "propagationPolicy"}
	listOptions   = []string{"allowWatchBookmarks", "continue", "fieldSelector", "labelSelector", "limit", "pretty", "resourceVersion", "resourceVersionMatch", "sendInitialEvents", "timeoutSeconds", "watch"}
)

func (g *generator) operations(table []*registry.Resource) []operation {
	var all []operation
	for _, r := range table {
		for _, v := range r.Versions {
			all = append(all, resourceOperations(r, v)...)
			for i := range r.Subresources {
				all = append(all, subresourceOperations(r, v, &r.Subresources[i])...)
			}
		}
	}
	return all
}

func resourceOperations(r *registry.Resource, v registry.Version) []operation {
	gvk := schema.GroupVersionKind{Group: r.Group, Version: v.Name, Kind: r.Kind}
	collection, scope := root(r.Group, v.Name)+"/"+r.Plural, ""
	if r.Namespaced {
		collection, scope = root(r.Group, v.Name)+"/namespaces/{namespace}/"+r.Plural, "Namespaced"
	}
	item := collection + "/{name}"
	obj, list, status := model(v.New()), "", model(metav1.Status{})
	if v.NewList != nil {
		list = model(v.NewList())
	}
	deleted := status
	if r.ReturnsDeleted || r.Rules.Grace != nil {
		deleted = obj
	}
	var ops []operation
	add := func(verb, path, method, action, name, body, result string, options []string) {
		if r.Serves(verb) {
			ops = append(ops, operation{
				path: path, method: method, action: action, id: name + groupName(r.Group, v.Name) + scope + r.Kind,
				tag: tagName(r.Group, v.Name), gvk: gvk, kind: r.Kind, body: body, result: result, options: options,
			})
		}
	}
	add("list", collection, "GET", "list", "list", "", list, listOptions)
	add("create", collection, "POST", "post", "create", obj, obj, writeOptions)
	add("deletecollection", collection, "DELETE", "deletecollection", "deletecollection", model(metav1.DeleteOptions{}), status, append(slices.Clone(deleteOptions), listOptions...))
	add("get", item, "GET", "get", "read", "", obj, []string{"pretty"})
	add("update", item, "PUT", "put", "replace", obj, obj, writeOptions)
	add("patch", item, "PATCH", "patch", "patch", patchModel, obj, patchOptions)
	add("delete", item, "DELETE", "delete", "delete", model(metav1.DeleteOptions{}), deleted, deleteOptions)
	for i := range ops {
		if ops[i].id == "deletecollection"+groupName(r.Group, v.Name)+scope+r.Kind {
			ops[i].id = "delete" + groupName(r.Group, v.Name) + "Collection" + scope + r.Kind
			slices.Sort(ops[i].options)
			ops[i].options = slices.Compact(ops[i].options)
			ops[i].options = slices.DeleteFunc(ops[i].options, func(o string) bool { return o == "watch" || o == "allowWatchBookmarks" })
		}
	}
	if r.Namespaced && r.Serves("list") {
		ops = append(ops, operation{
			path: root(r.Group, v.Name) + "/" + r.Plural, method: "GET", action: "list",
			id: "list" + groupName(r.Group, v.Name) + r.Kind + "ForAllNamespaces", tag: tagName(r.Group, v.Name),
			gvk: gvk, kind: r.Kind, result: list, options: listOptions,
		})
	}
	return ops
}

func subresourceOperations(r *registry.Resource, v registry.Version, s *registry.Subresource) []operation {
	base, scope := root(r.Group, v.Name)+"/"+r.Plural, ""
	if r.Namespaced {
		base, scope = root(r.Group, v.Name)+"/namespaces/{namespace}/"+r.Plural, "Namespaced"
	}
	gvk := schema.GroupVersionKind{Group: r.Group, Version: v.Name, Kind: r.Kind}
	if s.Kind.Kind != "" {
		gvk = s.Kind
	}
	suffix := groupName(r.Group, v.Name) + scope + r.Kind + camel(s.Name)
	o := operation{path: base + "/{name}/" + s.Name, tag: tagName(r.Group, v.Name), gvk: gvk, kind: gvk.Kind}
	with := func(method, action, name, body, result string, options []string) operation {
		c := o
		c.method, c.action, c.id, c.body, c.result, c.options = method, action, name+suffix, body, result, options
		return c
	}
	switch {
	case s.Update != nil, s.Scale != nil:
		obj := model(v.New())
		if s.Scale != nil {
			obj = model(autoscalingv1.Scale{})
		}
		return []operation{
			with("GET", "get", "read", "", obj, []string{"pretty"}),
			with("PUT", "put", "replace", obj, obj, writeOptions),
			with("PATCH", "patch", "patch", patchModel, obj, patchOptions),
		}
	case s.Create != nil:
		obj := model(s.New())
		return []operation{with("POST", "post", "create", obj, obj, writeOptions)}
	}
	ops := connectOperations(s, with)
	for i := range ops {
		if ops[i].action == "connect" {
			// The method stands behind the group in the names of these.
			ops[i].id = "connect" + groupName(r.Group, v.Name) + camel(strings.ToLower(ops[i].method)) + scope + r.Kind + camel(s.Name)
		}
	}
	return ops
}

func connectOperations(s *registry.Subresource, with func(method, action, name, body, result string, options []string) operation) []operation {
	if s.Name == "log" {
		return []operation{with("GET", "get", "read", "", "", []string{"container", "follow", "insecureSkipTLSVerifyBackend", "limitBytes", "pretty", "previous", "sinceSeconds", "tailLines", "timestamps"})}
	}
	methods := map[string]string{"get": "GET", "create": "POST", "update": "PUT", "delete": "DELETE", "patch": "PATCH"}
	var ops []operation
	for _, verb := range s.ServedVerbs() {
		if m := methods[verb]; m != "" {
			ops = append(ops, with(m, "connect", "connect", "", "", nil))
		}
	}
	return ops
}

// camel turns "eviction" or "rbac.authorization" into "Eviction" and
// "RbacAuthorization".
func camel(s string) string {
	var b strings.Builder
	for _, part := range strings.FieldsFunc(s, func(r rune) bool { return r == '.' || r == '-' || r == '_' || r == '/' }) {
		b.WriteString(strings.ToUpper(part[:1]) + part[1:])
	}
	return b.String()
}

func groupName(group, version string) string {
	if group == "" {
		group = "core"
	}
	return camel(strings.TrimSuffix(group, ".k8s.io")) + camel(version)
}

func tagName(group, version string) string {
	if group == "" {
		group = "core"
	}
	name := camel(strings.TrimSuffix(group, ".k8s.io"))
	return strings.ToLower(name[:1]) + name[1:] + "_" + version
}
