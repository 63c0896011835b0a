package job

import (
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
)

// Back-off before a failed pod is replaced: doubles from the first to the last.
const (
	firstBackoff = 10 * time.Second
	lastBackoff  = 10 * time.Minute
)

// failures are those since the last success.
type failures struct {
	count int32
	last  time.Time
}

// left returns how long the next pod has to wait.
func (f failures) left(now time.Time) time.Duration {
	if f.count == 0 {
		return 0
	}
	d := firstBackoff
	for i := int32(1); i < f.count && d < lastBackoff; i++ {
		d *= 2
	}
	return max(0, min(d, lastBackoff)-now.Sub(f.last))
}

// nextFailures adds the pods that ended since the last pass to the job's record.
func (p *pass) nextFailures(good, bad []*corev1.Pod) failures {
	p.mu.Lock()
	f := p.reconciler.failures[p.key]
	p.mu.Unlock()
	var success time.Time
	for _, pod := range good {
		if t := finishTime(pod); t.After(success) {
			success = t
		}
	}
	if !success.IsZero() {
		f.count = 0
	}
	bad = slices.Clone(bad)
	slices.SortFunc(bad, func(a, b *corev1.Pod) int { return finishTime(a).Compare(finishTime(b)) })
	for _, pod := range bad {
		if t := finishTime(pod); !t.Before(success) {
			f.count++
			f.last = t
		}
	}
	return f
}

func (p *pass) keepFailures() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.reconciler.failures[p.key] = p.failures
}

// finishTime returns when a pod ended, as far as it can be told.
func finishTime(pod *corev1.Pod) time.Time {
	var last time.Time
	all := len(pod.Status.ContainerStatuses) > 0
	for _, s := range pod.Status.ContainerStatuses {
		if s.State.Terminated == nil || s.State.Terminated.FinishedAt.IsZero() {
			all = false
			break
		}
		if t := s.State.Terminated.FinishedAt.Time; t.After(last) {
			last = t
		}
	}
	if all {
		return last
	}
	for _, c := range pod.Status.Conditions {
		if c.Type == corev1.PodReady && c.Status == corev1.ConditionFalse && !c.LastTransitionTime.IsZero() {
			return c.LastTransitionTime.Time
		}
	}
	if pod.DeletionTimestamp != nil {
		var grace time.Duration
		if s := pod.DeletionGracePeriodSeconds; s != nil {
			grace = time.Duration(*s) * time.Second
		}
		return pod.DeletionTimestamp.Add(-grace)
	}
	return pod.CreationTimestamp.Time
}
