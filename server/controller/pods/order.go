package pods

import (
	"cmp"
	"math"
	"slices"
	"strconv"
	"time"

	corev1 "k8s.io/api/core/v1"
)

// phaseOrder puts pods that serve less before those that serve.
var phaseOrder = map[corev1.PodPhase]int{corev1.PodPending: 0, corev1.PodUnknown: 1, corev1.PodRunning: 2}

// SortForDeletion orders pods so that those whose loss matters least come first:
// unassigned, not running, not ready, cheap by annotation, doubled up on a node,
// ready for a shorter time, restarted more often, younger. rank returns how many
// related pods share the pod's node. Ages are compared by their logarithm, so
// that among pods of about the same age the choice is random by UID (KEP-2185).
func SortForDeletion(pods []*corev1.Pod, rank func(*corev1.Pod) int, now time.Time) {
	slices.SortStableFunc(pods, func(a, b *corev1.Pod) int { return compare(a, b, rank, now) })
}

func compare(a, b *corev1.Pod, rank func(*corev1.Pod) int, now time.Time) int {
	if (a.Spec.NodeName == "") != (b.Spec.NodeName == "") {
		return first(a.Spec.NodeName == "")
	}
	if c := cmp.Compare(phaseOrder[a.Status.Phase], phaseOrder[b.Status.Phase]); c != 0 {
		return c
	}
	ready := IsReady(a)
	if ready != IsReady(b) {
		return first(!ready)
	}
	if c := cmp.Compare(deletionCost(a), deletionCost(b)); c != 0 {
		return c
	}
	if rank != nil {
		if c := cmp.Compare(rank(b), rank(a)); c != 0 {
			return c
		}
	}
	if ready {
		ta, tb := Condition(a, corev1.PodReady).LastTransitionTime, Condition(b, corev1.PodReady).LastTransitionTime
		if !ta.Equal(&tb) {
			return younger(ta.Time, tb.Time, a, b, now)
		}
	}
	if c := compareRestarts(a, b); c != 0 {
		return c
	}
	if !a.CreationTimestamp.Equal(&b.CreationTimestamp) {
		return younger(a.CreationTimestamp.Time, b.CreationTimestamp.Time, a, b, now)
	}
	return 0
}

func first(a bool) int {
	if a {
		return -1
	}
	return 1
}

// younger puts the later time first; a zero time counts as later than any.
func younger(ta, tb time.Time, a, b *corev1.Pod, now time.Time) int {
	if now.IsZero() || ta.IsZero() || tb.IsZero() {
		if ta.IsZero() || tb.IsZero() {
			return first(ta.IsZero())
		}
		return tb.Compare(ta)
	}
	if c := cmp.Compare(logAge(now.Sub(ta)), logAge(now.Sub(tb))); c != 0 {
		return c
	}
	return cmp.Compare(a.UID, b.UID)
}

func logAge(d time.Duration) int64 {
	if d <= 0 {
		return -1
	}
	return int64(math.Log2(float64(d)))
}

func deletionCost(p *corev1.Pod) int32 {
	n, err := strconv.ParseInt(p.Annotations[corev1.PodDeletionCost], 10, 32)
	if err != nil {
		return 0
	}
	return int32(n)
}

// compareRestarts puts the pod with more restarts first; side-cars decide only
// where the regular containers do not.
func compareRestarts(a, b *corev1.Pod) int {
	ra, sa := maxRestarts(a)
	rb, sb := maxRestarts(b)
	if ra != rb {
		return cmp.Compare(rb, ra)
	}
	return cmp.Compare(sb, sa)
}

func maxRestarts(p *corev1.Pod) (regular, sidecar int32) {
	for _, s := range p.Status.ContainerStatuses {
		regular = max(regular, s.RestartCount)
	}
	for _, c := range p.Spec.InitContainers {
		if c.RestartPolicy == nil || *c.RestartPolicy != corev1.ContainerRestartPolicyAlways {
			continue
		}
		for _, s := range p.Status.InitContainerStatuses {
			if s.Name == c.Name {
				sidecar = max(sidecar, s.RestartCount)
			}
		}
	}
	return regular, sidecar
}
