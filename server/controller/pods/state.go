// Package pods has what controllers need to know and do about pods: their state,
// the order in which to delete them, an index by controller, and making them
// from templates.
package pods

import (
	"time"

	corev1 "k8s.io/api/core/v1"
)

// Condition returns the pod's condition of this type, or nil.
func Condition(pod *corev1.Pod, t corev1.PodConditionType) *corev1.PodCondition {
	for i := range pod.Status.Conditions {
		if pod.Status.Conditions[i].Type == t {
			return &pod.Status.Conditions[i]
		}
	}
	return nil
}

// IsReady tells whether the pod's Ready condition is true.
func IsReady(pod *corev1.Pod) bool {
	c := Condition(pod, corev1.PodReady)
	return c != nil && c.Status == corev1.ConditionTrue
}

// IsAvailable tells whether the pod has been ready for minReady seconds.
func IsAvailable(pod *corev1.Pod, minReady int32, now time.Time) bool {
	c := Condition(pod, corev1.PodReady)
	if c == nil || c.Status != corev1.ConditionTrue {
		return false
	}
	d := time.Duration(minReady) * time.Second
	return minReady == 0 || !c.LastTransitionTime.IsZero() && !c.LastTransitionTime.Add(d).After(now)
}

// UntilAvailable returns the time until the next of the ready pods becomes
// available, 0 if none is waiting for that.
func UntilAvailable(pods []*corev1.Pod, minReady int32, now time.Time) time.Duration {
	var next time.Duration
	for _, p := range pods {
		c := Condition(p, corev1.PodReady)
		if minReady <= 0 || c == nil || c.Status != corev1.ConditionTrue || c.LastTransitionTime.IsZero() {
			continue
		}
		if d := c.LastTransitionTime.Add(time.Duration(minReady) * time.Second).Sub(now); d > 0 && (next == 0 || d < next) {
			next = d
		}
	}
	return next
}

// IsTerminal tells whether the pod has run to its end.
func IsTerminal(pod *corev1.Pod) bool {
	return pod.Status.Phase == corev1.PodSucceeded || pod.Status.Phase == corev1.PodFailed
}

// IsActive tells whether the pod neither ended nor is being deleted.
func IsActive(pod *corev1.Pod) bool { return !IsTerminal(pod) && pod.DeletionTimestamp == nil }

// IsTerminating tells whether the pod is being deleted and did not end yet.
func IsTerminating(pod *corev1.Pod) bool { return !IsTerminal(pod) && pod.DeletionTimestamp != nil }

// Filter returns the pods that keep accepts.
func Filter(pods []*corev1.Pod, keep func(*corev1.Pod) bool) []*corev1.Pod {
	var out []*corev1.Pod
	for _, p := range pods {
		if keep(p) {
			out = append(out, p)
		}
	}
	return out
}
