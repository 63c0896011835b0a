// Package ingressclass is the admission plugin DefaultIngressClass: an ingress that
// names no class gets the default one.
package ingressclass

import (
	"context"

	networkingv1 "k8s.io/api/networking/v1"

	"skiff/server/admission"
)

// legacyAnnotation is how a class was named before there was a field for it.
const legacyAnnotation = "kubernetes.io/ingress.class"

// Lister lists the ingress classes; ingresses are made too rarely to keep them in
// memory for that.
type Lister func(ctx context.Context) ([]networkingv1.IngressClass, error)

// Plugin is the plugin.
type Plugin struct{ list Lister }

// New returns the plugin.
func New(list Lister) *Plugin { return &Plugin{list} }

// Name implements admission.Plugin.
func (*Plugin) Name() string { return "DefaultIngressClass" }

// Admit implements admission.Mutator.
func (p *Plugin) Admit(ctx context.Context, a *admission.Attributes) error {
	ingress, ok := a.Object.(*networkingv1.Ingress)
	if !ok || !a.Is("networking.k8s.io", "ingresses", "") || a.Operation != admission.Create {
		return nil
	}
	if _, ok := ingress.Annotations[legacyAnnotation]; ok || ingress.Spec.IngressClassName != nil {
		return nil
	}
	classes, err := p.list(ctx)
	if err != nil {
		return a.Forbidden(err)
	}
	if c := newestDefault(classes); c != nil {
		ingress.Spec.IngressClassName = &c.Name
	}
	return nil
}

// newestDefault returns the default class that was made last.
func newestDefault(classes []networkingv1.IngressClass) *networkingv1.IngressClass {
	var found *networkingv1.IngressClass
	for i := range classes {
		c := &classes[i]
		if c.Annotations[networkingv1.AnnotationIsDefaultIngressClass] != "true" {
			continue
		}
		if found == nil || found.CreationTimestamp.Before(&c.CreationTimestamp) ||
			found.CreationTimestamp.Equal(&c.CreationTimestamp) && c.Name < found.Name {
			found = c
		}
	}
	return found
}
