// Package nodetaint is the admission plugin TaintNodesByCondition: a new node has the
// taint not-ready from its first moment, so that nothing is scheduled to it before the
// node lifecycle controller has seen it ready.
package nodetaint

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"

	"skiff/server/admission"
)

// Plugin is the plugin; its zero value is ready.
type Plugin struct{}

// Name implements admission.Plugin.
func (Plugin) Name() string { return "TaintNodesByCondition" }

// Admit implements admission.Mutator.
func (Plugin) Admit(_ context.Context, a *admission.Attributes) error {
	if !a.Is("", "nodes", "") || a.Operation != admission.Create {
		return nil
	}
	node, ok := a.Object.(*corev1.Node)
	if !ok {
		return a.Forbidden(fmt.Errorf("unexpected type %T", a.Object))
	}
	taint := corev1.Taint{Key: corev1.TaintNodeNotReady, Effect: corev1.TaintEffectNoSchedule}
	for i := range node.Spec.Taints {
		if node.Spec.Taints[i].MatchTaint(&taint) {
			return nil
		}
	}
	node.Spec.Taints = append(node.Spec.Taints, taint)
	return nil
}
