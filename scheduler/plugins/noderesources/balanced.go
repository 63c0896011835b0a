package noderesources

import (
	"context"
	"math"

	"skiff/scheduler/framework"
)

// Balanced is the NodeResourcesBalancedAllocation plugin.
type Balanced struct{}

// Name implements framework.Plugin.
func (Balanced) Name() string { return "NodeResourcesBalancedAllocation" }

// PreScore leaves the plugin out for a pod that asks for nothing: it can not
// change any node's balance.
func (Balanced) PreScore(_ context.Context, _ *framework.State, pod *framework.PodInfo, _ *framework.Snapshot, _ []*framework.NodeInfo) *framework.Status {
	if pod.Requests.MilliCPU == 0 && pod.Requests.Memory == 0 {
		return framework.NewStatus(framework.Skip)
	}
	return nil
}

// Score compares the node's balance with the pod and without it: 75 is no
// change, less is worse, more is better.
func (Balanced) Score(_ context.Context, _ *framework.State, pod *framework.PodInfo, node *framework.NodeInfo) (int64, *framework.Status) {
	without := balance(&framework.Resource{}, node)
	with := balance(&pod.Requests, node)
	return framework.MaxScore/2 + (framework.MaxScore/2+with-without)/2, nil
}

// balance is MaxScore if processor and memory would be used alike, and
// MaxScore/2 if one would be used up and the other not at all.
func balance(add *framework.Resource, node *framework.NodeInfo) int64 {
	cpu, cpuOK := fraction(node.Requested.MilliCPU+add.MilliCPU, node.Allocatable.MilliCPU)
	memory, memoryOK := fraction(node.Requested.Memory+add.Memory, node.Allocatable.Memory)
	deviation := 0.0
	if cpuOK && memoryOK {
		deviation = math.Abs(cpu-memory) / 2
	}
	return int64((1 - deviation) * float64(framework.MaxScore))
}

func fraction(used, capacity int64) (float64, bool) {
	if capacity == 0 {
		return 0, false
	}
	return min(1, float64(used)/float64(capacity)), true
}
