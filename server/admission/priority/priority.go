// Package priority is the admission plugin Priority: it resolves a pod's priority
// class to its priority and preemption policy, and sees to it that at most one class is
// the default.
package priority

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	schedulingv1 "k8s.io/api/scheduling/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/labels"
	schedulinglisters "k8s.io/client-go/listers/scheduling/v1"

	"skiff/server/admission"
)

// Getter reads a priority class from the store, not from a cache.
type Getter func(ctx context.Context, name string) (*schedulingv1.PriorityClass, error)

// Plugin is the plugin.
type Plugin struct {
	lister schedulinglisters.PriorityClassLister
	live   Getter
}

// New returns the plugin. live is asked for classes that the cache does not know: they
// may be younger than it.
func New(lister schedulinglisters.PriorityClassLister, live Getter) *Plugin {
	return &Plugin{lister, live}
}

// Name implements admission.Plugin.
func (*Plugin) Name() string { return "Priority" }

// Admit implements admission.Mutator.
func (p *Plugin) Admit(ctx context.Context, a *admission.Attributes) error {
	if !a.Is("", "pods", "") {
		return nil
	}
	pod, ok := a.Object.(*corev1.Pod)
	if !ok {
		return nil
	}
	switch a.Operation {
	case admission.Create:
		return p.resolve(ctx, a, pod)
	case admission.Update:
		keep(pod, a.OldObject)
	}
	return nil
}

// keep carries over what this plugin set on create: clients that do not know the
// fields send pods without them.
func keep(pod *corev1.Pod, obj any) {
	old, ok := obj.(*corev1.Pod)
	if !ok {
		return
	}
	if pod.Spec.Priority == nil {
		pod.Spec.Priority = old.Spec.Priority
	}
	if pod.Spec.PreemptionPolicy == nil {
		pod.Spec.PreemptionPolicy = old.Spec.PreemptionPolicy
	}
}

func (p *Plugin) resolve(ctx context.Context, a *admission.Attributes, pod *corev1.Pod) error {
	class, err := p.class(ctx, a, pod.Spec.PriorityClassName)
	if err != nil {
		return err
	}
	if have := pod.Spec.Priority; have != nil && *have != class.Value {
		return a.Forbidden(fmt.Errorf("the integer value of priority (%d) must not be provided in pod spec; priority admission controller computed %d from the given PriorityClass name", *have, class.Value))
	}
	pod.Spec.PriorityClassName = class.Name
	value := class.Value
	pod.Spec.Priority = &value
	if class.PreemptionPolicy == nil {
		return nil
	}
	policy := *class.PreemptionPolicy
	if have := pod.Spec.PreemptionPolicy; have != nil && *have != policy {
		return a.Forbidden(fmt.Errorf("the string value of PreemptionPolicy (%s) must not be provided in pod spec; priority admission controller computed %s from the given PriorityClass name", *have, policy))
	}
	pod.Spec.PreemptionPolicy = &policy
	return nil
}

// class returns the named class, or the default one; without a default a class
// that has no name, for priority 0.
func (p *Plugin) class(ctx context.Context, a *admission.Attributes, name string) (*schedulingv1.PriorityClass, error) {
	if name == "" {
		class, err := p.globalDefault()
		if err != nil {
			return nil, fmt.Errorf("error occurred while retrieving default priority class: %w", err)
		}
		if class == nil {
			policy := corev1.PreemptLowerPriority
			class = &schedulingv1.PriorityClass{PreemptionPolicy: &policy}
		}
		return class, nil
	}
	class, err := p.lister.Get(name)
	if apierrors.IsNotFound(err) {
		class, err = p.live(ctx, name)
	}
	switch {
	case apierrors.IsNotFound(err):
		return nil, a.Forbidden(fmt.Errorf("no PriorityClass with name %v was found", name))
	case err != nil:
		return nil, fmt.Errorf("failed to resolve PriorityClass with name %s: %w", name, err)
	}
	return class, nil
}

// globalDefault returns the default class, nil if there is none. If a race left
// several, the lowest one counts.
func (p *Plugin) globalDefault() (*schedulingv1.PriorityClass, error) {
	all, err := p.lister.List(labels.Everything())
	if err != nil {
		return nil, err
	}
	var found *schedulingv1.PriorityClass
	for _, c := range all {
		if c.GlobalDefault && (found == nil || found.Value > c.Value) {
			found = c
		}
	}
	return found, nil
}

// Validate implements admission.Validator.
func (p *Plugin) Validate(_ context.Context, a *admission.Attributes) error {
	if !a.Is("scheduling.k8s.io", "priorityclasses", "") || a.Operation != admission.Create && a.Operation != admission.Update {
		return nil
	}
	class, ok := a.Object.(*schedulingv1.PriorityClass)
	if !ok || !class.GlobalDefault {
		return nil
	}
	other, err := p.globalDefault()
	if err != nil {
		return fmt.Errorf("failed to get default priority class: %w", err)
	}
	if other != nil && (a.Operation == admission.Create || other.Name != class.Name) {
		return a.Forbidden(fmt.Errorf("PriorityClass %v is already marked as default. Only one default can exist", other.Name))
	}
	return nil
}
