// Package storageprotection is the admission plugin StorageObjectInUseProtection:
// volumes and claims get a finalizer, which a controller removes once nothing uses
// them.
package storageprotection

import (
	"context"
	"slices"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"skiff/server/admission"
)

var finalizers = map[schema.GroupResource]string{
	{Resource: "persistentvolumes"}:                                "kubernetes.io/pv-protection",
	{Resource: "persistentvolumeclaims"}:                           "kubernetes.io/pvc-protection",
	{Group: "storage.k8s.io", Resource: "volumeattributesclasses"}: "kubernetes.io/vac-protection",
}

// Plugin is the plugin; its zero value is ready.
type Plugin struct{}

// Name implements admission.Plugin.
func (Plugin) Name() string { return "StorageObjectInUseProtection" }

// Admit implements admission.Mutator.
func (Plugin) Admit(_ context.Context, a *admission.Attributes) error {
	f, ok := finalizers[a.Resource.GroupResource()]
	if !ok || a.Subresource != "" || a.Operation != admission.Create {
		return nil
	}
	o, err := meta.Accessor(a.Object)
	if err != nil || slices.Contains(o.GetFinalizers(), f) {
		return nil
	}
	o.SetFinalizers(append(o.GetFinalizers(), f))
	return nil
}
