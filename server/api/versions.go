package api

import (
	"fmt"
	"iter"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"skiff/server/admission"
	"skiff/server/registry"
)

// versions are those that a request's object is served in. It implements
// admission.Versions.
type versions struct {
	routes   *routes
	endpoint *endpoint
	// kind is that of the request's object.
	kind schema.GroupVersionKind
}

// main tells that objects are of the resource itself, and not of a subresource's own
// kind (Scale, Eviction, ...), which has one version.
func (v versions) main() bool { return v.kind == v.endpoint.kind }

// Equivalents implements admission.Versions.
func (v versions) Equivalents() []admission.Equivalent {
	var list []admission.Equivalent
	for e := range v.routes.same(v.endpoint) {
		kind := v.kind
		if v.main() {
			kind = e.kind
		}
		list = append(list, admission.Equivalent{Resource: e.gvr, Kind: kind})
	}
	return list
}

// Convert implements admission.Versions.
func (v versions) Convert(obj runtime.Object, kind schema.GroupVersionKind) (runtime.Object, error) {
	out := obj.DeepCopyObject()
	if v.main() {
		e, err := v.of(kind)
		if err != nil {
			return nil, err
		}
		if hub, ok := out.(registry.Object); ok {
			return e.fromHub(hub, true)
		}
	}
	out.GetObjectKind().SetGroupVersionKind(kind)
	return out, nil
}

// Adopt implements admission.Versions.
func (v versions) Adopt(obj runtime.Object, kind schema.GroupVersionKind) (runtime.Object, error) {
	if !v.main() {
		return obj, nil
	}
	e, err := v.of(kind)
	if err != nil {
		return nil, err
	}
	hub, err := e.toHub(obj)
	if err != nil {
		return nil, err
	}
	if f := e.res.Rules.Default; f != nil {
		f(hub)
	}
	return hub, nil
}

// of returns the endpoint that serves the objects as a kind.
func (v versions) of(kind schema.GroupVersionKind) (*endpoint, error) {
	if kind == v.endpoint.kind {
		return v.endpoint, nil
	}
	for e := range v.routes.same(v.endpoint) {
		if e.kind == kind {
			return e, nil
		}
	}
	return nil, fmt.Errorf("%s is not served as %s", v.endpoint.gvr.GroupResource(), kind)
}

// same returns the other endpoints of an endpoint's objects, in the order in which
// they were registered.
func (t *routes) same(e *endpoint) iter.Seq[*endpoint] {
	return func(yield func(*endpoint) bool) {
		for _, res := range t.resources {
			if storedAs(res) != storedAs(e.res) {
				continue
			}
			for i := range res.Versions {
				gv := schema.GroupVersion{Group: res.Group, Version: res.Versions[i].Name}
				if other := t.endpoints[gv.WithResource(res.Plural)]; other != e && !yield(other) {
					return
				}
			}
		}
	}
}

// storedAs names the resource whose objects a resource shows.
func storedAs(res *registry.Resource) schema.GroupResource {
	if res.StoredAs != nil {
		return *res.StoredAs
	}
	return res.GroupResource()
}
