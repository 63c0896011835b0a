package framework

import (
	v1 "k8s.io/api/core/v1"
	"k8s.io/component-helpers/scheduling/corev1"
	"k8s.io/klog/v2"
)

// HasUntoleratedTaint tells whether the node has a taint that keeps the pod off
// it.
func HasUntoleratedTaint(node *v1.Node, pod *v1.Pod) bool {
	_, found := corev1.FindMatchingUntoleratedTaint(klog.Logger{}, node.Spec.Taints, pod.Spec.Tolerations, func(t *v1.Taint) bool {
		return t.Effect == v1.TaintEffectNoSchedule || t.Effect == v1.TaintEffectNoExecute
	}, true)
	return found
}
