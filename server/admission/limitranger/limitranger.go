// Package limitranger is the admission plugin LimitRanger: it gives containers the
// default requests and limits of the namespace's LimitRanges, and refuses pods and claims
// beyond their bounds.
package limitranger

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/labels"
	corelisters "k8s.io/client-go/listers/core/v1"

	"skiff/server/admission"
)

// Plugin is the plugin.
type Plugin struct {
	lister corelisters.LimitRangeLister
}

// New returns the plugin.
func New(lister corelisters.LimitRangeLister) *Plugin { return &Plugin{lister} }

// Name implements admission.Plugin.
func (*Plugin) Name() string { return "LimitRanger" }

// Admit implements admission.Mutator.
func (p *Plugin) Admit(_ context.Context, a *admission.Attributes) error {
	pod, ok := a.Object.(*corev1.Pod)
	if !ok || !applies(a) {
		return nil
	}
	ranges, err := p.ranges(a)
	for _, r := range ranges {
		setDefaults(r, pod)
	}
	return err
}

// Validate implements admission.Validator.
func (p *Plugin) Validate(_ context.Context, a *admission.Attributes) error {
	if !applies(a) {
		return nil
	}
	ranges, err := p.ranges(a)
	if err != nil {
		return err
	}
	for _, r := range ranges {
		switch o := a.Object.(type) {
		case *corev1.Pod:
			err = checkPod(r, o)
		case *corev1.PersistentVolumeClaim:
			err = checkClaim(r, o)
		}
		if err != nil {
			return a.Forbidden(err)
		}
	}
	return nil
}

// applies tells whether the write sets resources: new pods, resized ones, and
// claims.
func applies(a *admission.Attributes) bool {
	if a.OldObject != nil {
		if o, err := meta.Accessor(a.OldObject); err == nil && o.GetDeletionTimestamp() != nil {
			return false
		}
	}
	switch a.Operation {
	case admission.Create:
		return a.Is("", "pods", "") || a.Is("", "persistentvolumeclaims", "")
	case admission.Update:
		return a.Is("", "pods", "resize") || a.Is("", "persistentvolumeclaims", "")
	}
	return false
}

func (p *Plugin) ranges(a *admission.Attributes) ([]*corev1.LimitRange, error) {
	list, err := p.lister.LimitRanges(a.Namespace).List(labels.Everything())
	if err != nil {
		return nil, a.Forbidden(fmt.Errorf("unable to %s %v at this time because there was an error enforcing limit ranges", a.Operation, a.Resource))
	}
	return list, nil
}
