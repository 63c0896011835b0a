// Package noderesources has the plugins that weigh what a pod asks for against
// what nodes have left: Fit filters and prefers the least allocated nodes,
// Balanced prefers nodes whose use of processor and memory it evens out.
package noderesources

import (
	"context"

	corev1 "k8s.io/api/core/v1"

	"skiff/scheduler/framework"
)

// Fit is the NodeResourcesFit plugin.
type Fit struct{}

// Name implements framework.Plugin.
func (Fit) Name() string { return "NodeResourcesFit" }

// Filter implements framework.FilterPlugin.
func (Fit) Filter(_ context.Context, _ *framework.State, pod *framework.PodInfo, node *framework.NodeInfo) *framework.Status {
	lacking, unresolvable := lacks(pod, node)
	if len(lacking) == 0 {
		return nil
	}
	code := framework.Unschedulable
	if unresolvable {
		code = framework.UnschedulableAndUnresolvable
	}
	return framework.NewStatus(code, lacking...)
}

// lacks returns what the node has not enough of, and whether even an empty node
// would not have it.
func lacks(pod *framework.PodInfo, node *framework.NodeInfo) (reasons []string, unresolvable bool) {
	if int64(len(node.Pods))+1 > node.Allocatable.Pods {
		reasons = append(reasons, "Too many pods")
	}
	check := func(name string, want, used, have int64) {
		if want > 0 && want > have-used {
			reasons = append(reasons, "Insufficient "+name)
			unresolvable = unresolvable || want > have
		}
	}
	want, used, have := &pod.Requests, &node.Requested, &node.Allocatable
	check("cpu", want.MilliCPU, used.MilliCPU, have.MilliCPU)
	check("memory", want.Memory, used.Memory, have.Memory)
	check("ephemeral-storage", want.EphemeralStorage, used.EphemeralStorage, have.EphemeralStorage)
	for name, amount := range want.Scalar {
		check(string(name), amount, used.Scalar[name], have.Scalar[name])
	}
	return reasons, unresolvable
}

// Score prefers nodes with the most left, processor and memory counting alike.
func (Fit) Score(_ context.Context, _ *framework.State, pod *framework.PodInfo, node *framework.NodeInfo) (int64, *framework.Status) {
	cpu, cpuOK := leftOver(pod.NonZero.MilliCPU+node.NonZero.MilliCPU, node.Allocatable.MilliCPU)
	memory, memoryOK := leftOver(pod.NonZero.Memory+node.NonZero.Memory, node.Allocatable.Memory)
	switch {
	case cpuOK && memoryOK:
		return (cpu + memory) / 2, nil
	case cpuOK:
		return cpu, nil
	case memoryOK:
		return memory, nil
	}
	return 0, nil
}

// leftOver is the share that is left of capacity, of MaxScore; false if there is
// no capacity at all.
func leftOver(used, capacity int64) (int64, bool) {
	if capacity == 0 {
		return 0, false
	}
	return max(0, (capacity-used)*framework.MaxScore/capacity), true
}

// Helps tells whether the event gives the pod what it lacked.
func (Fit) Helps(pod *framework.PodInfo, ev framework.Event) bool {
	switch {
	case ev.Action&(framework.PodUpdated|framework.PodDeleted|framework.PodScaledDown) != 0:
		return true
	case ev.Action&(framework.NodeAdded|framework.NodeAllocatableChanged) != 0:
		node, ok := ev.New.(*corev1.Node)
		return ok && couldFit(pod, framework.NewResource(node.Status.Allocatable))
	}
	return false
}

func couldFit(pod *framework.PodInfo, have framework.Resource) bool {
	empty := &framework.NodeInfo{Allocatable: have}
	reasons, _ := lacks(pod, empty)
	return len(reasons) == 0
}
