// Package nodename is the plugin that keeps a pod which names a node to that one.
package nodename

import (
	"context"

	"skiff/scheduler/framework"
)

// Plugin is the NodeName plugin.
type Plugin struct{}

// Name implements framework.Plugin.
func (Plugin) Name() string { return "NodeName" }

// Filter implements framework.FilterPlugin.
func (Plugin) Filter(_ context.Context, _ *framework.State, pod *framework.PodInfo, node *framework.NodeInfo) *framework.Status {
	if want := pod.Pod.Spec.NodeName; want != "" && want != node.Node.Name {
		return framework.NewStatus(framework.UnschedulableAndUnresolvable, "node(s) didn't match the requested node name")
	}
	return nil
}

// Helps implements framework.HintPlugin.
func (Plugin) Helps(_ *framework.PodInfo, ev framework.Event) bool {
	return ev.Action&framework.NodeAdded != 0
}
