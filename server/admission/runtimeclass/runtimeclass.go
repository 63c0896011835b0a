// Package runtimeclass is the admission plugin RuntimeClass: a pod gets the overhead
// and the scheduling constraints of the runtime class that it names.
package runtimeclass

import (
	"context"
	"errors"
	"fmt"
	"maps"

	corev1 "k8s.io/api/core/v1"
	nodev1 "k8s.io/api/node/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"skiff/server/admission"
)

// Getter reads a runtime class; few pods name one, so that none are kept in memory.
type Getter func(ctx context.Context, name string) (*nodev1.RuntimeClass, error)

// Plugin is the plugin.
type Plugin struct{ get Getter }

// New returns the plugin.
func New(get Getter) *Plugin { return &Plugin{get} }

// Name implements admission.Plugin.
func (*Plugin) Name() string { return "RuntimeClass" }

var errOverhead = errors.New("pod rejected: Pod's Overhead doesn't match RuntimeClass's defined Overhead")

// Admit implements admission.Mutator.
func (p *Plugin) Admit(ctx context.Context, a *admission.Attributes) error {
	pod, class, err := p.find(ctx, a)
	if err != nil || class == nil {
		return err
	}
	if class.Overhead != nil {
		if len(pod.Spec.Overhead) > 0 && !equality.Semantic.DeepEqual(class.Overhead.PodFixed, pod.Spec.Overhead) {
			return a.Forbidden(errOverhead)
		}
		pod.Spec.Overhead = maps.Clone(class.Overhead.PodFixed)
	}
	if class.Scheduling == nil {
		return nil
	}
	for k, v := range class.Scheduling.NodeSelector {
		if have, ok := pod.Spec.NodeSelector[k]; ok && have != v {
			return a.Forbidden(fmt.Errorf("conflict: runtimeClass.scheduling.nodeSelector[%s] = %s; pod.spec.nodeSelector[%s] = %s", k, v, k, have))
		}
	}
	if pod.Spec.NodeSelector == nil && len(class.Scheduling.NodeSelector) > 0 {
		pod.Spec.NodeSelector = map[string]string{}
	}
	maps.Copy(pod.Spec.NodeSelector, class.Scheduling.NodeSelector)
	pod.Spec.Tolerations = merge(pod.Spec.Tolerations, class.Scheduling.Tolerations)
	return nil
}

// Validate implements admission.Validator.
func (p *Plugin) Validate(ctx context.Context, a *admission.Attributes) error {
	pod, class, err := p.find(ctx, a)
	switch {
	case err != nil || pod == nil:
		return err
	case class != nil && class.Overhead != nil:
		if !equality.Semantic.DeepEqual(class.Overhead.PodFixed, pod.Spec.Overhead) {
			return a.Forbidden(errOverhead)
		}
	case pod.Spec.Overhead != nil:
		return a.Forbidden(errors.New("pod rejected: Pod Overhead set without corresponding RuntimeClass defined Overhead"))
	}
	return nil
}

// find returns the new pod, nil if the write is of something else, and its class, nil
// if it names none.
func (p *Plugin) find(ctx context.Context, a *admission.Attributes) (*corev1.Pod, *nodev1.RuntimeClass, error) {
	pod, ok := a.Object.(*corev1.Pod)
	if !ok || !a.Is("", "pods", "") || a.Operation != admission.Create {
		return nil, nil, nil
	}
	if pod.Spec.RuntimeClassName == nil {
		return pod, nil, nil
	}
	class, err := p.get(ctx, *pod.Spec.RuntimeClassName)
	if apierrors.IsNotFound(err) {
		return pod, nil, a.Forbidden(fmt.Errorf("pod rejected: RuntimeClass %q not found", *pod.Spec.RuntimeClassName))
	}
	if err != nil {
		return pod, nil, err
	}
	return pod, class, nil
}

// merge returns both lists without those tolerations that another one covers.
func merge(a, b []corev1.Toleration) []corev1.Toleration {
	all := append(append([]corev1.Toleration{}, a...), b...)
	var out []corev1.Toleration
next:
	for i, t := range all {
		for _, kept := range out {
			if covers(kept, t) {
				continue next
			}
		}
		for _, later := range all[i+1:] {
			if !equality.Semantic.DeepEqual(t, later) && covers(later, t) {
				continue next
			}
		}
		out = append(out, t)
	}
	return out
}

// covers tells whether a tolerates all that b does.
func covers(a, b corev1.Toleration) bool {
	if equality.Semantic.DeepEqual(a, b) {
		return true
	}
	if a.Key != b.Key && (a.Key != "" || a.Operator != corev1.TolerationOpExists) {
		return false
	}
	if a.Effect != b.Effect && a.Effect != "" {
		return false
	}
	if a.Effect == corev1.TaintEffectNoExecute && a.TolerationSeconds != nil &&
		(b.TolerationSeconds == nil || *b.TolerationSeconds > *a.TolerationSeconds) {
		return false
	}
	switch a.Operator {
	case corev1.TolerationOpExists:
		return true
	case corev1.TolerationOpEqual, "":
		return b.Operator == corev1.TolerationOpEqual && a.Value == b.Value
	}
	return false
}
