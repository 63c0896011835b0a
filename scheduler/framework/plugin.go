// Package framework defines what a scheduling plugin is, and runs the plugins of
// the scheduler's one ordered list at the twelve extension points of a pod's way
// to a node:
//
//	QueueSort                                         order of the queue
//	PreFilter → Filter (per node) → PostFilter        which nodes are feasible; PostFilter if none is
//	PreScore → Score (per node) → NormalizeScore      which of them is best
//	Reserve → Permit                                  the decision, not yet written
//	PreBind → Bind → PostBind                         the binding, in the background
//
// A plugin decides from an immutable Snapshot of the cluster and keeps what it
// computes for one pod in that cycle's State. See KEP-624.
package framework

import (
	"context"
	"time"

	corev1 "k8s.io/api/core/v1"
)

// Plugin is any plugin; it implements one or more of the extension points below.
type Plugin interface {
	// Name is the plugin's name as upstream knows it ("NodeResourcesFit").
	Name() string
}

// EnqueuePlugin is asked before a pod enters the queue.
type EnqueuePlugin interface {
	Plugin
	// PreEnqueue returns a rejection to keep the pod out of the active queue.
	PreEnqueue(pod *corev1.Pod) *Status
}

// QueueSortPlugin orders the queue; there is exactly one.
type QueueSortPlugin interface {
	Plugin
	// Less tells whether a is scheduled before b.
	Less(a, b *QueuedPod) bool
}

// PreFilterPlugin looks at the pod once per cycle.
type PreFilterPlugin interface {
	Plugin
	// PreFilter prepares Filter. Skip leaves this plugin's Filter out. The
	// returned names, if not nil, are the only nodes that can be feasible.
	PreFilter(ctx context.Context, state *State, pod *PodInfo, snapshot *Snapshot) (map[string]bool, *Status)
}

// FilterPlugin decides whether a pod fits on a node.
type FilterPlugin interface {
	Plugin
	Filter(ctx context.Context, state *State, pod *PodInfo, node *NodeInfo) *Status
}

// PostFilterPlugin is called when no node is feasible.
type PostFilterPlugin interface {
	Plugin
	// PostFilter may make room; it returns the node it nominates ("" for none).
	PostFilter(ctx context.Context, state *State, pod *PodInfo, snapshot *Snapshot, failed map[string]*Status) (string, *Status)
}

// PreScorePlugin looks at the pod and the feasible nodes once per cycle.
type PreScorePlugin interface {
	Plugin
	// PreScore prepares Score. Skip leaves this plugin's Score out.
	PreScore(ctx context.Context, state *State, pod *PodInfo, snapshot *Snapshot, nodes []*NodeInfo) *Status
}

// MaxScore is the best score of a node by one plugin, after NormalizeScore.
const MaxScore int64 = 100

// ScorePlugin ranks feasible nodes.
type ScorePlugin interface {
	Plugin
	// Score rates a node; without NormalizeScore from 0 to MaxScore.
	Score(ctx context.Context, state *State, pod *PodInfo, node *NodeInfo) (int64, *Status)
}

// NormalizeScorePlugin brings a ScorePlugin's scores into 0..MaxScore.
type NormalizeScorePlugin interface {
	ScorePlugin
	// NormalizeScore changes scores, one per feasible node, in place.
	NormalizeScore(ctx context.Context, state *State, pod *PodInfo, scores []int64) *Status
}

// ReservePlugin takes and gives back what a pod needs besides the node.
type ReservePlugin interface {
	Plugin
	Reserve(ctx context.Context, state *State, pod *PodInfo, node string) *Status
	// Unreserve undoes Reserve; it is also called if Reserve failed.
	Unreserve(ctx context.Context, state *State, pod *PodInfo, node string)
}

// PermitPlugin may hold a pod back before it is bound.
type PermitPlugin interface {
	Plugin
	// Permit returns Wait and the longest time to wait, a rejection, or Success.
	// A waiting pod is released or refused through the release function that
	// was handed over: it is called once, with nil to go on.
	Permit(ctx context.Context, state *State, pod *PodInfo, node string, release func(*Status)) (*Status, time.Duration)
}

// PreBindPlugin prepares the node for the pod, in the background.
type PreBindPlugin interface {
	Plugin
	PreBind(ctx context.Context, state *State, pod *PodInfo, node string) *Status
}

// BindPlugin writes the decision. The first that does not Skip is the one.
type BindPlugin interface {
	Plugin
	Bind(ctx context.Context, state *State, pod *PodInfo, node string) *Status
}

// PostBindPlugin is told of a bound pod.
type PostBindPlugin interface {
	Plugin
	PostBind(ctx context.Context, state *State, pod *PodInfo, node string)
}
