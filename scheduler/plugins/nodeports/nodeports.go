// Package nodeports is the plugin that keeps two pods from taking the same port
// of a node.
package nodeports

import (
	"context"
	"slices"

	corev1 "k8s.io/api/core/v1"

	"skiff/scheduler/framework"
)

// Plugin is the NodePorts plugin.
type Plugin struct{}

// Name implements framework.Plugin.
func (Plugin) Name() string { return "NodePorts" }

// PreFilter implements framework.PreFilterPlugin.
func (Plugin) PreFilter(_ context.Context, _ *framework.State, pod *framework.PodInfo, _ *framework.Snapshot) (map[string]bool, *framework.Status) {
	if len(pod.Ports) == 0 {
		return nil, framework.NewStatus(framework.Skip)
	}
	return nil, nil
}

// Filter implements framework.FilterPlugin.
func (Plugin) Filter(_ context.Context, _ *framework.State, pod *framework.PodInfo, node *framework.NodeInfo) *framework.Status {
	for _, want := range pod.Ports {
		if slices.ContainsFunc(node.Ports, want.Conflicts) {
			return framework.NewStatus(framework.Unschedulable, "node(s) didn't have free ports for the requested pod ports")
		}
	}
	return nil
}

// Helps implements framework.HintPlugin.
func (Plugin) Helps(pod *framework.PodInfo, ev framework.Event) bool {
	if ev.Action&framework.NodeAdded != 0 {
		return true
	}
	gone, ok := ev.Old.(*corev1.Pod)
	if ev.Action&framework.PodDeleted == 0 || !ok {
		return false
	}
	for _, port := range framework.NewPodInfo(gone).Ports {
		if slices.ContainsFunc(pod.Ports, port.Conflicts) {
			return true
		}
	}
	return false
}
