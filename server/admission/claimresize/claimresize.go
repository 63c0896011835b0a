// Package claimresize is the admission plugin PersistentVolumeClaimResize: a claim may
// grow only if its storage class allows it.
package claimresize

import (
	"context"
	"errors"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"

	"skiff/server/admission"
)

// Getter reads a storage class.
type Getter func(ctx context.Context, name string) (*storagev1.StorageClass, error)

// Plugin is the plugin.
type Plugin struct{ get Getter }

// New returns the plugin.
func New(get Getter) *Plugin { return &Plugin{get} }

// Name implements admission.Plugin.
func (*Plugin) Name() string { return "PersistentVolumeClaimResize" }

// Validate implements admission.Validator.
func (p *Plugin) Validate(ctx context.Context, a *admission.Attributes) error {
	claim, ok := a.Object.(*corev1.PersistentVolumeClaim)
	old, ok2 := a.OldObject.(*corev1.PersistentVolumeClaim)
	if !ok || !ok2 || !a.Is("", "persistentvolumeclaims", "") || a.Operation != admission.Update {
		return nil
	}
	now, before := claim.Spec.Resources.Requests[corev1.ResourceStorage], old.Spec.Resources.Requests[corev1.ResourceStorage]
	if now.Cmp(before) <= 0 {
		return nil
	}
	if old.Status.Phase != corev1.ClaimBound {
		return a.Forbidden(errors.New("Only bound persistent volume claims can be expanded")) //nolint:staticcheck // upstream's text
	}
	if !p.mayGrow(ctx, class(claim), class(old)) {
		return a.Forbidden(errors.New("only dynamically provisioned pvc can be resized and the storageclass that provisions the pvc must support resize"))
	}
	return nil
}

func (p *Plugin) mayGrow(ctx context.Context, now, before string) bool {
	if now == "" || now != before {
		return false
	}
	c, err := p.get(ctx, now)
	return err == nil && c.AllowVolumeExpansion != nil && *c.AllowVolumeExpansion
}

func class(c *corev1.PersistentVolumeClaim) string {
	if name, ok := c.Annotations[corev1.BetaStorageClassAnnotation]; ok {
		return name
	}
	if c.Spec.StorageClassName != nil {
		return *c.Spec.StorageClassName
	}
	return ""
}
