package webhook

import (
	"fmt"
	"reflect"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	upstream "k8s.io/apiserver/pkg/admission"

	"skiff/server/admission"
)

// write is a write on its way through the hooks, in the versions that they want to
// see it in. It is not for concurrent use.
type write struct {
	*admission.Attributes
	record upstream.Attributes
	views  map[schema.GroupVersionKind]*view
}

// view is a write in one version.
type view struct {
	kind schema.GroupVersionKind
	// object and old are nil where the write has none; read-only.
	object, old runtime.Object
}

func newWrite(a *admission.Attributes) *write {
	return &write{Attributes: a, views: map[schema.GroupVersionKind]*view{}}
}

// attributes is the write as upstream's matchers know it.
func (w *write) attributes() upstream.Attributes {
	if w.record == nil {
		w.record = upstream.NewAttributesRecord(w.Object, w.OldObject, w.Kind, w.Namespace, w.Name, w.Resource, w.Subresource,
			upstream.Operation(w.Operation), w.Options, w.DryRun, w.User)
	}
	return w.record
}

// as returns the write in the version of a kind.
func (w *write) as(kind schema.GroupVersionKind) (*view, error) {
	if v := w.views[kind]; v != nil {
		return v, nil
	}
	v := &view{kind: kind}
	for _, o := range []struct {
		from runtime.Object
		to   *runtime.Object
	}{{w.Object, &v.object}, {w.OldObject, &v.old}} {
		if o.from == nil {
			continue
		}
		var err error
		if *o.to, err = w.Versions.Convert(o.from, kind); err != nil {
			return nil, fmt.Errorf("show the object as %s: %w", kind, err)
		}
	}
	w.views[kind] = v
	return v, nil
}

// replace puts an object that a hook made of a view in the place of the write's own.
func (w *write) replace(obj runtime.Object, kind schema.GroupVersionKind) error {
	now, err := w.Versions.Adopt(obj, kind)
	if err != nil {
		return fmt.Errorf("take the object back from %s: %w", kind, err)
	}
	reflect.ValueOf(w.Object).Elem().Set(reflect.ValueOf(now).Elem())
	clear(w.views)
	return nil
}

// versioned is the view as upstream's match conditions know it.
func (v *view) versioned(w *write) *upstream.VersionedAttributes {
	out := &upstream.VersionedAttributes{Attributes: w.attributes(), VersionedKind: v.kind}
	if v.object != nil {
		out.VersionedObject.Set(v.object)
	}
	if v.old != nil {
		out.VersionedOldObject.Set(v.old)
	}
	return out
}
