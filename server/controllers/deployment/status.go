package deployment

import (
	"fmt"
	"math"
	"slices"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
)

// Reasons of conditions and events.
const (
	reasonUpdated     = "ReplicaSetUpdated"
	reasonCreateError = "ReplicaSetCreateError"
	reasonCreated     = "NewReplicaSetCreated"
	reasonFound       = "FoundNewReplicaSet"
	reasonAvailable   = "NewReplicaSetAvailable"
	reasonTimedOut    = "ProgressDeadlineExceeded"
	reasonPaused      = "DeploymentPaused"
	reasonResumed     = "DeploymentResumed"
)

func (ro *rollout) hasDeadline() bool {
	return ro.d.Spec.ProgressDeadlineSeconds != nil && *ro.d.Spec.ProgressDeadlineSeconds != math.MaxInt32
}

// checkPaused keeps the clock of the progress deadline from running while the
// deployment is paused.
func (ro *rollout) checkPaused() {
	c := condition(&ro.d.Status, appsv1.DeploymentProgressing)
	if !ro.hasDeadline() || c != nil && c.Reason == reasonTimedOut {
		return
	}
	paused := c != nil && c.Reason == reasonPaused
	switch {
	case ro.d.Spec.Paused && !paused:
		ro.setCondition(&ro.d.Status, appsv1.DeploymentProgressing, corev1.ConditionUnknown, reasonPaused, "Deployment is paused")
	case !ro.d.Spec.Paused && paused:
		ro.setCondition(&ro.d.Status, appsv1.DeploymentProgressing, corev1.ConditionUnknown, reasonResumed, "Deployment is resumed")
	}
}

// counts returns the deployment's status as its sets make it; conditions are
// carried over, and Available is set.
func (ro *rollout) counts() appsv1.DeploymentStatus {
	s := appsv1.DeploymentStatus{
		ObservedGeneration: ro.d.Generation, CollisionCount: ro.d.Status.CollisionCount,
		Conditions: slices.Clone(ro.d.Status.Conditions),
	}
	var terminating int32
	known := true
	for _, rs := range ro.all {
		s.Replicas += rs.Status.Replicas
		s.ReadyReplicas += rs.Status.ReadyReplicas
		s.AvailableReplicas += rs.Status.AvailableReplicas
		if n := rs.Status.TerminatingReplicas; n != nil {
			terminating += *n
		} else if rs.Status.ObservedGeneration != 0 {
			known = false
		}
	}
	if known {
		s.TerminatingReplicas = &terminating
	}
	if ro.latest != nil {
		s.UpdatedReplicas = ro.latest.Status.Replicas
	}
	s.UnavailableReplicas = max(wanted(ro.all)-s.AvailableReplicas, 0)
	if s.AvailableReplicas >= ro.minAvailable() {
		ro.setCondition(&s, appsv1.DeploymentAvailable, corev1.ConditionTrue, "MinimumReplicasAvailable", "Deployment has minimum availability.")
	} else {
		ro.setCondition(&s, appsv1.DeploymentAvailable, corev1.ConditionFalse, "MinimumReplicasUnavailable", "Deployment does not have minimum availability.")
	}
	return s
}

func (ro *rollout) setStatus() { ro.d.Status = ro.counts() }

// setRolloutStatus sets the status of a deployment that is rolled out or being
// so, and returns when its progress deadline has to be checked.
func (ro *rollout) setRolloutStatus() time.Duration {
	s := ro.counts()
	if !ro.hasDeadline() {
		dropCondition(&s, appsv1.DeploymentProgressing)
	}
	current := condition(&ro.d.Status, appsv1.DeploymentProgressing)
	done := s.Replicas == s.UpdatedReplicas && current != nil && current.Reason == reasonAvailable
	if ro.hasDeadline() && !done {
		ro.setProgress(&s, current)
	}
	ro.setFailure(&s)
	ro.d.Status = s
	return ro.untilDeadline()
}

func (ro *rollout) setProgress(s *appsv1.DeploymentStatus, current *appsv1.DeploymentCondition) {
	who := fmt.Sprintf("Deployment %q", ro.d.Name)
	if ro.latest != nil {
		who = fmt.Sprintf("ReplicaSet %q", ro.latest.Name)
	}
	switch {
	case complete(ro.d, s):
		ro.setCondition(s, appsv1.DeploymentProgressing, corev1.ConditionTrue, reasonAvailable, who+" has successfully progressed.")
	case progressed(&ro.d.Status, s):
		since := ro.now
		if current != nil && current.Status == corev1.ConditionTrue {
			since = current.LastTransitionTime
		}
		dropCondition(s, appsv1.DeploymentProgressing)
		s.Conditions = append(s.Conditions, appsv1.DeploymentCondition{
			Type: appsv1.DeploymentProgressing, Status: corev1.ConditionTrue, Reason: reasonUpdated,
			Message: who + " is progressing.", LastUpdateTime: ro.now, LastTransitionTime: since,
		})
	case ro.timedOut(current):
		ro.setCondition(s, appsv1.DeploymentProgressing, corev1.ConditionFalse, reasonTimedOut, who+" has timed out progressing.")
	}
}

func (ro *rollout) deadline(c *appsv1.DeploymentCondition) time.Time {
	return c.LastUpdateTime.Add(time.Duration(*ro.d.Spec.ProgressDeadlineSeconds) * time.Second)
}

func (ro *rollout) timedOut(c *appsv1.DeploymentCondition) bool {
	if c == nil || c.Reason == reasonAvailable {
		return false
	}
	return c.Reason == reasonTimedOut || ro.deadline(c).Before(ro.now.Time)
}

// untilDeadline returns when the rollout, if it is under way, times out.
func (ro *rollout) untilDeadline() time.Duration {
	c := condition(&ro.d.Status, appsv1.DeploymentProgressing)
	if !ro.hasDeadline() || c == nil || c.Reason == reasonTimedOut || complete(ro.d, &ro.d.Status) {
		return 0
	}
	// One second more: times in conditions have no fractions.
	return max(ro.deadline(c).Sub(ro.now.Time), 0) + time.Second
}

// setFailure shows the latest set's failure to make pods, or any other's.
func (ro *rollout) setFailure(s *appsv1.DeploymentStatus) {
	sets := ro.all
	if ro.latest != nil {
		sets = append([]*appsv1.ReplicaSet{ro.latest}, sets...)
	}
	for _, rs := range sets {
		for _, c := range rs.Status.Conditions {
			if c.Type != appsv1.ReplicaSetReplicaFailure {
				continue
			}
			setCondition(s, appsv1.DeploymentCondition{
				Type: appsv1.DeploymentReplicaFailure, Status: c.Status, Reason: c.Reason, Message: c.Message,
				LastTransitionTime: c.LastTransitionTime, LastUpdateTime: c.LastTransitionTime,
			})
			return
		}
	}
	dropCondition(s, appsv1.DeploymentReplicaFailure)
}

func complete(d *appsv1.Deployment, s *appsv1.DeploymentStatus) bool {
	n := *d.Spec.Replicas
	return s.UpdatedReplicas == n && s.Replicas == n && s.AvailableReplicas == n && s.ObservedGeneration >= d.Generation
}

func progressed(before, after *appsv1.DeploymentStatus) bool {
	return after.UpdatedReplicas > before.UpdatedReplicas ||
		after.Replicas-after.UpdatedReplicas < before.Replicas-before.UpdatedReplicas ||
		after.ReadyReplicas > before.ReadyReplicas || after.AvailableReplicas > before.AvailableReplicas
}

func condition(s *appsv1.DeploymentStatus, t appsv1.DeploymentConditionType) *appsv1.DeploymentCondition {
	for i := range s.Conditions {
		if s.Conditions[i].Type == t {
			return &s.Conditions[i]
		}
	}
	return nil
}

func (ro *rollout) setCondition(s *appsv1.DeploymentStatus, t appsv1.DeploymentConditionType, status corev1.ConditionStatus, reason, message string) {
	setCondition(s, appsv1.DeploymentCondition{
		Type: t, Status: status, Reason: reason, Message: message, LastUpdateTime: ro.now, LastTransitionTime: ro.now,
	})
}

// setCondition keeps a condition whose status and reason stay the same.
func setCondition(s *appsv1.DeploymentStatus, c appsv1.DeploymentCondition) {
	if old := condition(s, c.Type); old != nil {
		if old.Status == c.Status && old.Reason == c.Reason {
			return
		}
		if old.Status == c.Status {
			c.LastTransitionTime = old.LastTransitionTime
		}
	}
	dropCondition(s, c.Type)
	s.Conditions = append(s.Conditions, c)
}

func dropCondition(s *appsv1.DeploymentStatus, t appsv1.DeploymentConditionType) {
	s.Conditions = slices.DeleteFunc(s.Conditions, func(c appsv1.DeploymentCondition) bool { return c.Type == t })
}
