package deployment

import (
	"cmp"
	"context"
	"math"
	"slices"
	"strconv"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

func (ro *rollout) replicas() int32 { return *ro.d.Spec.Replicas }

func (ro *rollout) rolling() bool {
	return ro.d.Spec.Strategy.Type == appsv1.RollingUpdateDeploymentStrategyType && ro.d.Spec.Strategy.RollingUpdate != nil
}

// bounds returns how many pods may be above and below the wanted number. Surge
// is rounded up, unavailable down; both being 0 would never move, so one pod may
// then be unavailable.
func (ro *rollout) bounds() (surge, unavailable int32) {
	if !ro.rolling() {
		return 0, 0
	}
	u := ro.d.Spec.Strategy.RollingUpdate
	s, err1 := intstr.GetScaledValueFromIntOrPercent(intstr.ValueOrDefault(u.MaxSurge, intstr.FromInt32(0)), int(ro.replicas()), true)
	n, err2 := intstr.GetScaledValueFromIntOrPercent(intstr.ValueOrDefault(u.MaxUnavailable, intstr.FromInt32(0)), int(ro.replicas()), false)
	if err1 != nil || err2 != nil {
		s, n = 0, 0 // validation lets no such value in
	}
	if s == 0 && n == 0 {
		n = 1
	}
	return int32(s), min(int32(n), ro.replicas())
}

// maxTotal is the number of pods that may exist at most.
func (ro *rollout) maxTotal() int32 {
	surge, _ := ro.bounds()
	return ro.replicas() + surge
}

func (ro *rollout) minAvailable() int32 {
	_, unavailable := ro.bounds()
	return ro.replicas() - unavailable
}

// latestReplicas is the size that rs, as the latest set, may have now.
func (ro *rollout) latestReplicas(rs *appsv1.ReplicaSet) int32 {
	if !ro.rolling() {
		return ro.replicas()
	}
	// rs may not be among all yet; then it counts for nothing there.
	room := ro.maxTotal() - wanted(ro.all)
	if room <= 0 {
		return *rs.Spec.Replicas
	}
	return *rs.Spec.Replicas + min(room, ro.replicas()-*rs.Spec.Replicas)
}

// resized tells whether the deployment's size was changed since the sets that
// have replicas were last scaled.
func (ro *rollout) resized() bool {
	return slices.ContainsFunc(withReplicas(ro.all), func(rs *appsv1.ReplicaSet) bool {
		n, ok := count(rs, annDesired)
		return ok && n != ro.replicas()
	})
}

// scale brings the sets to the deployment's size without moving replicas between
// templates: the only or the latest set gets all of the difference; in the midst
// of a rolling update each set gets its share, so that a resize adds no risk.
func (ro *rollout) scale(ctx context.Context) error {
	if rs := ro.activeOrLatest(); rs != nil {
		_, err := ro.resize(ctx, rs, ro.replicas())
		return err
	}
	if ro.saturated() {
		for _, rs := range withReplicas(ro.old) {
			if _, err := ro.resize(ctx, rs, 0); err != nil {
				return err
			}
		}
		return nil
	}
	if !ro.rolling() {
		return nil
	}
	return ro.scaleProportionally(ctx)
}

func (ro *rollout) scaleProportionally(ctx context.Context) error {
	active := withReplicas(ro.all)
	var allowed int32
	if ro.replicas() > 0 {
		allowed = ro.maxTotal()
	}
	add := allowed - wanted(active)
	// The larger set goes first and gets what rounding leaves over; among equals,
	// growing favours the newer and shrinking the older.
	slices.SortFunc(active, func(a, b *appsv1.ReplicaSet) int {
		if c := cmp.Compare(*b.Spec.Replicas, *a.Spec.Replicas); c != 0 {
			return c
		}
		if add > 0 {
			return older(b, a)
		}
		return older(a, b)
	})
	sizes := make([]int32, len(active))
	var added int32
	for i, rs := range active {
		sizes[i] = *rs.Spec.Replicas
		if add != 0 {
			share := ro.share(rs, add, added)
			sizes[i] += share
			added += share
		}
	}
	for i, rs := range active {
		if i == 0 && add != 0 {
			sizes[i] = max(sizes[i]+add-added, 0)
		}
		if _, err := ro.setSize(ctx, rs, sizes[i]); err != nil {
			return err
		}
	}
	return nil
}

// share is the part of add that rs gets, in proportion to its part of the size
// that the deployment had when rs was last scaled.
func (ro *rollout) share(rs *appsv1.ReplicaSet, add, added int32) int32 {
	if *rs.Spec.Replicas == 0 || add == added {
		return 0
	}
	var fraction int32
	if ro.replicas() == 0 {
		fraction = -*rs.Spec.Replicas
	} else if before, ok := count(rs, annMax); ok && before != 0 || ro.d.Status.Replicas != 0 {
		if !ok || before == 0 {
			before = ro.d.Status.Replicas
		}
		fraction = int32(math.Round(float64(*rs.Spec.Replicas)*float64(ro.maxTotal())/float64(before))) - *rs.Spec.Replicas
	}
	if add > 0 {
		return min(fraction, add-added)
	}
	return max(fraction, add-added)
}

// activeOrLatest returns the one set that has replicas, or the latest (or newest)
// if none has; nil if several have.
func (ro *rollout) activeOrLatest() *appsv1.ReplicaSet {
	switch active := withReplicas(ro.all); {
	case len(active) == 1:
		return active[0]
	case len(active) > 1:
		return nil
	case ro.latest != nil:
		return ro.latest
	case len(ro.old) > 0:
		return ro.old[len(ro.old)-1]
	}
	return nil
}

// saturated tells whether the latest set alone provides all that is wanted.
func (ro *rollout) saturated() bool {
	if ro.latest == nil {
		return false
	}
	n, ok := count(ro.latest, annDesired)
	return ok && n == ro.replicas() && *ro.latest.Spec.Replicas == n && ro.latest.Status.AvailableReplicas == n
}

// resize scales rs if its size differs.
func (ro *rollout) resize(ctx context.Context, rs *appsv1.ReplicaSet, size int32) (bool, error) {
	if *rs.Spec.Replicas == size {
		return false, nil
	}
	return ro.setSize(ctx, rs, size)
}

// setSize writes size and the annotations that say what it was computed for, if
// they differ, and reports whether the size changed.
func (ro *rollout) setSize(ctx context.Context, rs *appsv1.ReplicaSet, size int32) (bool, error) {
	from := *rs.Spec.Replicas
	update := rs.DeepCopy()
	if !ro.annotateSize(update) && from == size {
		return false, nil
	}
	update.Spec.Replicas = &size
	updated, err := ro.client.AppsV1().ReplicaSets(rs.Namespace).Update(ctx, update, metav1.UpdateOptions{})
	if err != nil {
		return false, err
	}
	ro.replace(updated)
	if from == size {
		return false, nil
	}
	direction := "up"
	if size < from {
		direction = "down"
	}
	ro.events.Eventf(ro.d, corev1.EventTypeNormal, "ScalingReplicaSet", "Scaled %s replica set %s from %d to %d", direction, rs.Name, from, size)
	return true, nil
}

// replace puts an updated set in the place of its older state.
func (ro *rollout) replace(rs *appsv1.ReplicaSet) {
	if ro.latest != nil && ro.latest.UID == rs.UID {
		ro.latest = rs
	}
	for _, list := range [][]*appsv1.ReplicaSet{ro.all, ro.old} {
		for i := range list {
			if list[i].UID == rs.UID {
				list[i] = rs
			}
		}
	}
}

func (ro *rollout) annotateSize(rs *appsv1.ReplicaSet) bool {
	if rs.Annotations == nil {
		rs.Annotations = map[string]string{}
	}
	changed := false
	for k, n := range map[string]int32{annDesired: ro.replicas(), annMax: ro.maxTotal()} {
		if v := strconv.Itoa(int(n)); rs.Annotations[k] != v {
			rs.Annotations[k] = v
			changed = true
		}
	}
	return changed
}

// cleanup removes the oldest empty sets above the revision history limit.
func (ro *rollout) cleanup(ctx context.Context) error {
	limit := ro.d.Spec.RevisionHistoryLimit
	if limit == nil || *limit == math.MaxInt32 {
		return nil
	}
	var alive []*appsv1.ReplicaSet
	for _, rs := range ro.old {
		if rs.DeletionTimestamp == nil {
			alive = append(alive, rs)
		}
	}
	surplus := len(alive) - int(*limit)
	if surplus <= 0 {
		return nil
	}
	slices.SortFunc(alive, func(a, b *appsv1.ReplicaSet) int {
		return cmp.Or(cmp.Compare(revision(a), revision(b)), older(a, b))
	})
	for _, rs := range alive[:surplus] {
		if rs.Status.Replicas != 0 || *rs.Spec.Replicas != 0 || rs.Generation > rs.Status.ObservedGeneration {
			continue
		}
		opts := *metav1.NewPreconditionDeleteOptions(string(rs.UID))
		if err := ro.client.AppsV1().ReplicaSets(rs.Namespace).Delete(ctx, rs.Name, opts); err != nil && !apierrors.IsNotFound(err) {
			return err
		}
	}
	return nil
}

func withReplicas(sets []*appsv1.ReplicaSet) []*appsv1.ReplicaSet {
	var out []*appsv1.ReplicaSet
	for _, rs := range sets {
		if *rs.Spec.Replicas > 0 {
			out = append(out, rs)
		}
	}
	return out
}

func wanted(sets []*appsv1.ReplicaSet) (n int32) {
	for _, rs := range sets {
		n += *rs.Spec.Replicas
	}
	return n
}

func older(a, b *appsv1.ReplicaSet) int {
	return cmp.Or(a.CreationTimestamp.Time.Compare(b.CreationTimestamp.Time), strings.Compare(a.Name, b.Name))
}

func count(rs *appsv1.ReplicaSet, annotation string) (int32, bool) {
	n, err := strconv.ParseUint(rs.Annotations[annotation], 10, 31)
	return int32(n), err == nil
}
