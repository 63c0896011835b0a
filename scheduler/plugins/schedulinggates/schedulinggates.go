// Package schedulinggates is the plugin that holds a pod back until its
// scheduling gates are gone. See KEP-3521.
package schedulinggates

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"

	"skiff/scheduler/framework"
)

// Plugin is the SchedulingGates plugin.
type Plugin struct{}

// Name implements framework.Plugin.
func (Plugin) Name() string { return "SchedulingGates" }

// PreEnqueue implements framework.EnqueuePlugin.
func (Plugin) PreEnqueue(pod *corev1.Pod) *framework.Status {
	if len(pod.Spec.SchedulingGates) == 0 {
		return nil
	}
	var names []string
	for _, gate := range pod.Spec.SchedulingGates {
		names = append(names, gate.Name)
	}
	return framework.NewStatus(framework.UnschedulableAndUnresolvable, fmt.Sprintf("waiting for scheduling gates: %v", names))
}
