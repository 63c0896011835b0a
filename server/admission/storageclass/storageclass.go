// Package storageclass is the admission plugin DefaultStorageClass: a claim that names
// no class gets the default one.
package storageclass

import (
	"context"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"

	"skiff/server/admission"
)

// Lister lists the storage classes; claims are made too rarely to keep them in memory
// for that.
type Lister func(ctx context.Context) ([]storagev1.StorageClass, error)

// Plugin is the plugin.
type Plugin struct{ list Lister }

// New returns the plugin.
func New(list Lister) *Plugin { return &Plugin{list} }

// Name implements admission.Plugin.
func (*Plugin) Name() string { return "DefaultStorageClass" }

// Admit implements admission.Mutator.
func (p *Plugin) Admit(ctx context.Context, a *admission.Attributes) error {
	claim, ok := a.Object.(*corev1.PersistentVolumeClaim)
	if !ok || !a.Is("", "persistentvolumeclaims", "") || a.Operation != admission.Create {
		return nil
	}
	if _, ok := claim.Annotations[corev1.BetaStorageClassAnnotation]; ok || claim.Spec.StorageClassName != nil {
		return nil
	}
	classes, err := p.list(ctx)
	if err != nil {
		return a.Forbidden(err)
	}
	if c := newestDefault(classes); c != nil {
		claim.Spec.StorageClassName = &c.Name
	}
	return nil
}

// newestDefault returns the default class that was made last: whoever makes a
// second one means to replace the first.
func newestDefault(classes []storagev1.StorageClass) *storagev1.StorageClass {
	var found *storagev1.StorageClass
	for i := range classes {
		c := &classes[i]
		if c.Annotations["storageclass.kubernetes.io/is-default-class"] != "true" && c.Annotations["storageclass.beta.kubernetes.io/is-default-class"] != "true" {
			continue
		}
		if found == nil || found.CreationTimestamp.Before(&c.CreationTimestamp) ||
			found.CreationTimestamp.Equal(&c.CreationTimestamp) && c.Name < found.Name {
			found = c
		}
	}
	return found
}
