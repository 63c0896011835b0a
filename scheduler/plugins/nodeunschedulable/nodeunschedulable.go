// Package nodeunschedulable is the plugin that keeps pods off cordoned nodes.
package nodeunschedulable

import (
	"context"

	v1 "k8s.io/api/core/v1"
	"k8s.io/component-helpers/scheduling/corev1"
	"k8s.io/klog/v2"

	"skiff/scheduler/framework"
)

// Plugin is the NodeUnschedulable plugin.
type Plugin struct{}

// Name implements framework.Plugin.
func (Plugin) Name() string { return "NodeUnschedulable" }

// Filter implements framework.FilterPlugin.
func (Plugin) Filter(_ context.Context, _ *framework.State, pod *framework.PodInfo, node *framework.NodeInfo) *framework.Status {
	if node.Node.Spec.Unschedulable && !tolerates(pod.Pod) {
		return framework.NewStatus(framework.UnschedulableAndUnresolvable, "node(s) were unschedulable")
	}
	return nil
}

// tolerates tells whether the pod takes cordoned nodes too (daemon pods do).
func tolerates(pod *v1.Pod) bool {
	return corev1.TolerationsTolerateTaint(klog.Logger{}, pod.Spec.Tolerations, &v1.Taint{
		Key: v1.TaintNodeUnschedulable, Effect: v1.TaintEffectNoSchedule,
	}, true)
}

// Helps implements framework.HintPlugin.
func (Plugin) Helps(pod *framework.PodInfo, ev framework.Event) bool {
	if ev.Action&framework.PodUpdated != 0 {
		return tolerates(pod.Pod)
	}
	return ev.Action&(framework.NodeAdded|framework.NodeUnschedulableChanged) != 0
}
