// Package queuesort is the plugin that orders the queue by priority, then by
// waiting time.
package queuesort

import (
	"k8s.io/component-helpers/scheduling/corev1"

	"skiff/scheduler/framework"
)

// Plugin is the PrioritySort plugin.
type Plugin struct{}

// Name implements framework.Plugin.
func (Plugin) Name() string { return "PrioritySort" }

// Less implements framework.QueueSortPlugin.
func (Plugin) Less(a, b *framework.QueuedPod) bool {
	pa, pb := corev1.PodPriority(a.Pod), corev1.PodPriority(b.Pod)
	return pa > pb || pa == pb && a.Since.Before(b.Since)
}
