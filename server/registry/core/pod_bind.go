package core

import (
	"context"
	"fmt"
	"maps"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"skiff/server/registry"
	"skiff/server/registry/podtemplate"
)

var podResource = schema.GroupResource{Resource: "pods"}

// bindings is the old name of pods/binding.
func (d Deps) bindings() *registry.Resource {
	return &registry.Resource{
		Plural:     "bindings",
		Singular:   "binding",
		Kind:       "Binding",
		Namespaced: true,
		Verbs:      []string{"create"},
		Versions:   []registry.Version{{Name: "v1", New: registry.New[corev1.Binding]()}},
		Create: func(ctx context.Context, obj runtime.Object, opts *metav1.CreateOptions) (runtime.Object, error) {
			pods, ok := d.Objects(podResource)
			b, isBinding := obj.(*corev1.Binding)
			if !ok || !isBinding {
				return nil, apierrors.NewBadRequest(fmt.Sprintf("not a Binding object: %#v", obj))
			}
			return d.bind(ctx, pods, b.Namespace, b.Name, b, opts)
		},
	}
}

// bind answers pods/binding: it puts a pod on a node.
func (d Deps) bind(ctx context.Context, s registry.Objects, namespace, name string, obj runtime.Object, opts *metav1.CreateOptions) (runtime.Object, error) {
	b, ok := obj.(*corev1.Binding)
	if !ok {
		return nil, apierrors.NewBadRequest(fmt.Sprintf("not a Binding object: %#v", obj))
	}
	if b.Name != name {
		return nil, apierrors.NewBadRequest("name in URL does not match name in Binding object")
	}
	if errs := validateBinding(b); len(errs) > 0 {
		return nil, errs.ToAggregate()
	}
	assign := func(obj registry.Object) error { return assignPod(obj.(*corev1.Pod), b, metav1.NewTime(d.Now())) }
	if dryRun(opts) {
		pod, err := s.Get(ctx, namespace, name)
		if err == nil {
			err = assign(pod)
		}
		if err != nil {
			return nil, err
		}
	} else if _, err := s.Modify(ctx, namespace, name, &registry.Rules{}, assign); err != nil {
		return nil, err
	}
	return &metav1.Status{Status: metav1.StatusSuccess}, nil
}

func dryRun(opts *metav1.CreateOptions) bool { return opts != nil && len(opts.DryRun) > 0 }

func validateBinding(b *corev1.Binding) field.ErrorList {
	var errs field.ErrorList
	isNode := b.Target.Kind == "" || b.Target.Kind == "Node"
	if !isNode {
		errs = append(errs, field.NotSupported(path("target", "kind"), b.Target.Kind, []string{"Node", "<empty>"}))
	}
	if b.Target.Name == "" {
		return append(errs, field.Required(path("target", "name"), ""))
	}
	if isNode {
		errs = append(errs, subdomain(b.Target.Name, path("target", "name"))...)
	}
	return errs
}

func assignPod(p *corev1.Pod, b *corev1.Binding, now metav1.Time) error {
	refuse := func(format string, args ...any) error {
		return apierrors.NewConflict(schema.GroupResource{Resource: "pods/binding"}, p.Name, fmt.Errorf(format, args...))
	}
	switch {
	case b.UID != "" && b.UID != p.UID:
		return refuse("Precondition failed: UID in precondition: %v, UID in object meta: %v", b.UID, p.UID)
	case b.ResourceVersion != "" && b.ResourceVersion != p.ResourceVersion:
		return refuse("Precondition failed: ResourceVersion in precondition: %v, ResourceVersion in object meta: %v", b.ResourceVersion, p.ResourceVersion)
	case p.DeletionTimestamp != nil:
		return refuse("pod %s is being deleted, cannot be assigned to a host", p.Name)
	case p.Spec.NodeName != "":
		return refuse("pod %v is already assigned to node %q", p.Name, p.Spec.NodeName)
	case len(p.Spec.SchedulingGates) > 0:
		return refuse("pod %v has non-empty .spec.schedulingGates", p.Name)
	}
	p.Spec.NodeName = b.Target.Name
	p.Status.NominatedNodeName = ""
	p.Annotations = merged(p.Annotations, b.Annotations)
	p.Labels = merged(p.Labels, b.Labels)
	podtemplate.DropDisabledPod(p, p.DeepCopy())
	setPodCondition(&p.Status, corev1.PodCondition{Type: corev1.PodScheduled, Status: corev1.ConditionTrue}, now)
	return nil
}

func merged(to, from map[string]string) map[string]string {
	if len(from) == 0 {
		return to
	}
	if to == nil {
		to = make(map[string]string, len(from))
	}
	maps.Copy(to, from)
	return to
}
