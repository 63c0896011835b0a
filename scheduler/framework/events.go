package framework

import corev1 "k8s.io/api/core/v1"

// Action is what happened to an object, as far as it can make a pod schedulable.
type Action uint32

const (
	NodeAdded Action = 1 << iota
	NodeDeleted
	NodeAllocatableChanged
	NodeLabelsChanged
	NodeTaintsChanged
	NodeUnschedulableChanged
	// PodAssigned: a pod is on a node now.
	PodAssigned
	// PodLabelsChanged: the labels of an assigned pod are others.
	PodLabelsChanged
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

// Nodes returns an event about a node as such; ok tells whether it is one.
func (e Event) Nodes() (old, now *corev1.Node, ok bool) { return objects[*corev1.Node](e) }

// Pods returns an event about a pod as such; ok tells whether it is one.
func (e Event) Pods() (old, now *corev1.Pod, ok bool) { return objects[*corev1.Pod](e) }

func objects[T any](e Event) (old, now T, ok bool) {
	old, isOld := e.Old.(T)
	now, isNew := e.New.(T)
	return old, now, isOld || isNew
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

// InformedPlugin is a plugin that decides from informers of its own. The
// scheduler begins when they have what exists.
type InformedPlugin interface {
	Plugin
	HasSynced() bool
}
