package api

import (
	"fmt"
	"maps"
	"net/http"
	"slices"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"skiff/server/registry"
)

// endpoint is one resource in one version.
type endpoint struct {
	res     *registry.Resource
	version *registry.Version
	store   *registry.Store
	gvr     schema.GroupVersionResource
	kind    schema.GroupVersionKind
	// apiVersion and list are what JSON objects and lists begin with.
	apiVersion string
	// raw tells that stored values are this version's protobuf.
	raw bool
}

// routes is an immutable table of what is served.
type routes struct {
	endpoints map[schema.GroupVersionResource]*endpoint
	resources []*registry.Resource
}

func newRoutes() *routes {
	return &routes{endpoints: map[schema.GroupVersionResource]*endpoint{}}
}

func (t *routes) add(reg *registry.Registry, resources []*registry.Resource) error {
	for _, res := range resources {
		store, ok := reg.Store(res.GroupResource())
		if !ok {
			return fmt.Errorf("resource %s is not in the registry", res.GroupResource())
		}
		t.resources = append(t.resources, res)
		for i := range res.Versions {
			e := &endpoint{res: res, version: &res.Versions[i], store: store}
			gv := schema.GroupVersion{Group: res.Group, Version: e.version.Name}
			e.gvr, e.kind, e.apiVersion = gv.WithResource(res.Plural), gv.WithKind(res.Kind), gv.String()
			e.raw = e.version.ToHub == nil && store.Protobuf()
			if t.endpoints[e.gvr] != nil {
				return fmt.Errorf("resource %s is there twice", e.gvr)
			}
			t.endpoints[e.gvr] = e
		}
	}
	return nil
}

// without returns a copy that lacks resources.
func (t *routes) without(resources ...schema.GroupResource) *routes {
	gone := func(gr schema.GroupResource) bool { return slices.Contains(resources, gr) }
	out := &routes{endpoints: maps.Clone(t.endpoints)}
	maps.DeleteFunc(out.endpoints, func(gvr schema.GroupVersionResource, _ *endpoint) bool { return gone(gvr.GroupResource()) })
	for _, r := range t.resources {
		if !gone(r.GroupResource()) {
			out.resources = append(out.resources, r)
		}
	}
	return out
}

// serves tells whether there is anything in an API group.
func (t *routes) serves(group string) bool {
	return slices.ContainsFunc(t.resources, func(r *registry.Resource) bool { return r.Group == group })
}

// dispatch calls the handler of what is asked for.
func (c *call) dispatch() error {
	if !c.info.IsResourceRequest {
		return c.other()
	}
	if c.r.Method == http.MethodHead {
		return errNotSupported()
	}
	gvr := schema.GroupVersionResource{Group: c.info.APIGroup, Version: c.info.APIVersion, Resource: c.info.Resource}
	e := c.s.routes.Load().endpoints[gvr]
	if e == nil && !c.s.routes.Load().serves(gvr.Group) {
		return c.noPage()
	}
	if e == nil || (c.info.Namespace != "" && !e.res.Namespaced && c.info.Resource != "namespaces") {
		return errNoSuchPath()
	}
	c.endpoint = e
	c.warnings.AddWarning("", e.version.Deprecated)
	if c.info.Subresource != "" {
		return c.subresource()
	}
	return c.resource()
}

// resource serves the main resource.
func (c *call) resource() error {
	verb := c.info.Verb
	if !c.endpoint.res.Serves(verb) {
		return errNotSupported()
	}
	if c.endpoint.res.Namespaced && c.info.Namespace == "" && !isRead(verb) {
		return errNotSupported()
	}
	if len(c.info.Parts) > 2 {
		return errNoSuchPath()
	}
	if named := len(c.info.Parts) == 2; named == (verb == "create") && (named || verb == "update" || verb == "patch") {
		return errNotSupported()
	}
	switch verb {
	case "get":
		return c.get()
	case "list":
		return c.list()
	case "watch":
		return c.watch()
	case "create":
		return c.create()
	case "update":
		return c.update(c.endpoint.store, nil)
	case "patch":
		return c.patch(nil)
	case "delete":
		return c.delete()
	case "deletecollection":
		return c.deleteCollection()
	}
	return errNotSupported()
}

// subresource serves what is behind an object's name.
func (c *call) subresource() error {
	res := c.endpoint.res
	i := slices.IndexFunc(res.Subresources, func(s registry.Subresource) bool { return s.Name == c.info.Subresource })
	if i < 0 || res.Namespaced && c.info.Namespace == "" {
		return errNoSuchPath()
	}
	c.sub = &res.Subresources[i]
	defer c.s.metrics.long(c)()
	if c.sub.Connect != nil {
		return c.connect()
	}
	if len(c.info.Parts) > 3 {
		return errNoSuchPath()
	}
	verb := c.info.Verb
	switch {
	case !c.sub.Serves(verb):
		return errNotSupported()
	case c.sub.Create != nil:
		return c.createSub()
	case c.sub.Scale != nil:
		return c.scaleSub(verb)
	case verb == "get":
		return c.get()
	case verb == "update":
		return c.update(c.endpoint.store, c.sub.Update)
	}
	return c.patch(c.sub.Update)
}

// scaleSub serves scale.
func (c *call) scaleSub(verb string) error {
	switch verb {
	case "get":
		return c.getScale()
	case "update":
		return c.updateScale()
	}
	return c.patchScale()
}

// errNotSupported is what clients know of a method that a path does not have.
func errNotSupported() error {
	return &apierrors.StatusError{ErrStatus: metav1.Status{
		Status: metav1.StatusFailure, Code: http.StatusMethodNotAllowed, Reason: metav1.StatusReasonMethodNotAllowed,
		Message: "the server does not allow this method on the requested resource", Details: &metav1.StatusDetails{},
	}}
}

// errNoSuchPath is what clients know of a path that nothing is served under.
func errNoSuchPath() error {
	return &apierrors.StatusError{ErrStatus: metav1.Status{
		Status: metav1.StatusFailure, Code: http.StatusNotFound, Reason: metav1.StatusReasonNotFound,
		Message: "the server could not find the requested resource", Details: &metav1.StatusDetails{},
	}}
}
