package framework

// Action is what happened to an object, as far as it can make a pod schedulable.
type Action uint32

const (
	NodeAdded Action = 1 << iota
	NodeAllocatableChanged
	NodeLabelsChanged
	NodeTaintsChanged
	NodeUnschedulableChanged
	// PodDeleted: an assigned pod left its node (deleted or ended).
	PodDeleted
	// PodScaledDown: an assigned pod asks for less, in place.
	PodScaledDown
	// PodUpdated: the waiting pod itself was changed.
	PodUpdated
)

// Event is one change in the cluster; Old and New are *corev1.Node or
// *corev1.Pod, nil where there is none.
type Event struct {
	Action   Action
	Old, New any
}

// HintPlugin is a plugin that knows which events can make a pod that it rejected
// schedulable. A plugin without hints is taken to be helped by any event.
type HintPlugin interface {
	Plugin
	// Helps tells whether ev may make pod pass this plugin. It is called for each
	// waiting pod that the plugin rejected, so it must be cheap; in doubt it
	// returns true.
	Helps(pod *PodInfo, ev Event) bool
}
