package replicaset

import (
	"context"
	"slices"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apiequality "k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/utils/ptr"

	"skiff/server/controller/pods"
)

func newStatus(rs *appsv1.ReplicaSet, active, terminating []*corev1.Pod, manageErr error, now time.Time) appsv1.ReplicaSetStatus {
	status := appsv1.ReplicaSetStatus{
		ObservedGeneration:  rs.Generation,
		Replicas:            int32(len(active)),
		TerminatingReplicas: ptr.To(int32(len(terminating))),
		Conditions:          slices.Clone(rs.Status.Conditions),
	}
	template := labels.Set(rs.Spec.Template.Labels).AsSelectorPreValidated()
	for _, p := range active {
		if template.Matches(labels.Set(p.Labels)) {
			status.FullyLabeledReplicas++
		}
		if pods.IsReady(p) {
			status.ReadyReplicas++
			if pods.IsAvailable(p, rs.Spec.MinReadySeconds, now) {
				status.AvailableReplicas++
			}
		}
	}
	isFailure := func(c appsv1.ReplicaSetCondition) bool { return c.Type == appsv1.ReplicaSetReplicaFailure }
	failed := slices.ContainsFunc(status.Conditions, isFailure)
	switch {
	case manageErr != nil && !failed:
		reason := "FailedCreate"
		if len(active) > int(*rs.Spec.Replicas) {
			reason = "FailedDelete"
		}
		status.Conditions = append(status.Conditions, appsv1.ReplicaSetCondition{
			Type: appsv1.ReplicaSetReplicaFailure, Status: corev1.ConditionTrue,
			LastTransitionTime: metav1.NewTime(now), Reason: reason, Message: manageErr.Error(),
		})
	case manageErr == nil && failed:
		status.Conditions = slices.DeleteFunc(status.Conditions, isFailure)
	}
	return status
}

func (r *reconciler) writeStatus(ctx context.Context, rs *appsv1.ReplicaSet, status appsv1.ReplicaSetStatus) error {
	if !r.kind.countsTerminating() {
		status.TerminatingReplicas = nil
	}
	if apiequality.Semantic.DeepEqual(rs.Status, status) {
		return nil
	}
	if err := r.kind.updateStatus(ctx, rs, status); !apierrors.IsNotFound(err) {
		return err
	}
	return nil // deleted meanwhile
}
