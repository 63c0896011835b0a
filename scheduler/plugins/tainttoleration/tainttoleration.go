// Package tainttoleration is the plugin that keeps pods off nodes whose taints
// they do not tolerate, and prefers nodes with the fewest taints that ask to be
// avoided.
package tainttoleration

import (
	"context"

	v1 "k8s.io/api/core/v1"
	"k8s.io/klog/v2"

	"skiff/scheduler/framework"
	"skiff/scheduler/plugins/normalize"
)

// Plugin is the TaintToleration plugin.
type Plugin struct{}

// Name implements framework.Plugin.
func (Plugin) Name() string { return "TaintToleration" }

// Filter implements framework.FilterPlugin.
func (Plugin) Filter(_ context.Context, _ *framework.State, pod *framework.PodInfo, node *framework.NodeInfo) *framework.Status {
	if framework.HasUntoleratedTaint(node.Node, pod.Pod) {
		return framework.NewStatus(framework.UnschedulableAndUnresolvable, "node(s) had untolerated taint(s)")
	}
	return nil
}

// Score counts the taints that ask to be avoided and are not tolerated.
func (Plugin) Score(_ context.Context, _ *framework.State, pod *framework.PodInfo, node *framework.NodeInfo) (int64, *framework.Status) {
	var count int64
	for i := range node.Node.Spec.Taints {
		taint := &node.Node.Spec.Taints[i]
		if taint.Effect == v1.TaintEffectPreferNoSchedule && !toleratesSoft(pod.Pod, taint) {
			count++
		}
	}
	return count, nil
}

// toleratesSoft ignores tolerations that are for another effect only.
func toleratesSoft(pod *v1.Pod, taint *v1.Taint) bool {
	for i := range pod.Spec.Tolerations {
		t := &pod.Spec.Tolerations[i]
		if t.Effect != "" && t.Effect != v1.TaintEffectPreferNoSchedule {
			continue
		}
		if t.ToleratesTaint(klog.Logger{}, taint, true) {
			return true
		}
	}
	return false
}

// NormalizeScore implements framework.NormalizeScorePlugin.
func (Plugin) NormalizeScore(_ context.Context, _ *framework.State, _ *framework.PodInfo, scores []int64) *framework.Status {
	normalize.ToMax(scores, true)
	return nil
}

// Helps implements framework.HintPlugin.
func (Plugin) Helps(pod *framework.PodInfo, ev framework.Event) bool {
	if ev.Action&framework.PodUpdated != 0 {
		return true
	}
	node, ok := ev.New.(*v1.Node)
	return ok && ev.Action&(framework.NodeAdded|framework.NodeTaintsChanged) != 0 && !framework.HasUntoleratedTaint(node, pod.Pod)
}
