package deployment

import (
	"context"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"

	"skiff/server/controller/pods"
)

// roll does one step of a rolling update: first up, then down.
func (ro *rollout) roll(ctx context.Context) (time.Duration, error) {
	if err := ro.create(ctx); err != nil {
		return 0, err
	}
	target := ro.replicas()
	if *ro.latest.Spec.Replicas < target {
		target = ro.latestReplicas(ro.latest)
	}
	scaled, err := ro.resize(ctx, ro.latest, target)
	if err != nil {
		return 0, err
	}
	if !scaled {
		if scaled, err = ro.shrinkOld(ctx); err != nil {
			return 0, err
		}
	}
	if !scaled && complete(ro.d, &ro.d.Status) {
		if err := ro.cleanup(ctx); err != nil {
			return 0, err
		}
	}
	return ro.setRolloutStatus(), nil
}

// shrinkOld takes replicas from the old sets as far as enough pods stay
// available; unhealthy ones go first, as they cost no availability.
func (ro *rollout) shrinkOld(ctx context.Context) (bool, error) {
	if wanted(ro.old) == 0 {
		return false, nil
	}
	minAvailable := ro.minAvailable()
	unavailable := *ro.latest.Spec.Replicas - ro.latest.Status.AvailableReplicas
	budget := wanted(ro.all) - minAvailable - unavailable
	if budget <= 0 {
		return false, nil
	}
	cleaned, err := ro.take(ctx, budget, func(rs *appsv1.ReplicaSet) int32 {
		return *rs.Spec.Replicas - rs.Status.AvailableReplicas
	})
	if err != nil {
		return false, err
	}
	var available int32
	for _, rs := range ro.all {
		available += rs.Status.AvailableReplicas
	}
	taken, err := ro.take(ctx, available-minAvailable, func(rs *appsv1.ReplicaSet) int32 { return *rs.Spec.Replicas })
	return cleaned+taken > 0, err
}

// take removes up to budget replicas from the old sets, oldest first, and from
// each at most what part returns.
func (ro *rollout) take(ctx context.Context, budget int32, part func(*appsv1.ReplicaSet) int32) (int32, error) {
	var taken int32
	for _, rs := range withReplicas(ro.old) {
		n := min(part(rs), budget-taken)
		if n <= 0 {
			continue
		}
		if _, err := ro.resize(ctx, rs, *rs.Spec.Replicas-n); err != nil {
			return taken, err
		}
		taken += n
	}
	return taken, nil
}

// recreate stops all old pods before it starts any new one.
func (ro *rollout) recreate(ctx context.Context) (time.Duration, error) {
	scaled := false
	for _, rs := range withReplicas(ro.old) {
		did, err := ro.resize(ctx, rs, 0)
		if err != nil {
			return 0, err
		}
		scaled = scaled || did
	}
	if scaled {
		return ro.setRolloutStatus(), nil
	}
	running, err := ro.oldPodsRun()
	if err != nil {
		return 0, err
	}
	if running {
		return ro.setRolloutStatus(), nil
	}
	if err := ro.create(ctx); err != nil {
		return 0, err
	}
	if _, err := ro.resize(ctx, ro.latest, ro.replicas()); err != nil {
		return 0, err
	}
	if complete(ro.d, &ro.d.Status) {
		if err := ro.cleanup(ctx); err != nil {
			return 0, err
		}
	}
	return ro.setRolloutStatus(), nil
}

func (ro *rollout) oldPodsRun() (bool, error) {
	for _, rs := range ro.old {
		if rs.Status.Replicas > 0 {
			return true, nil
		}
		own, err := pods.Controlled(ro.pods, rs.UID)
		if err != nil {
			return false, err
		}
		if len(pods.Filter(own, func(p *corev1.Pod) bool { return !pods.IsTerminal(p) })) > 0 {
			return true, nil
		}
	}
	return false, nil
}
