package statefulset

import (
	"context"
	"slices"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"skiff/server/controller/pods"
)

// plan is a stateful set with its pods during one reconcile.
type plan struct {
	*reconciler
	key             string
	set             *appsv1.StatefulSet
	now             time.Time
	current, update *appsv1.ControllerRevision
	collisions      int32
	// replicas are the wanted pods by ordinal; those that don't exist have no
	// phase.
	replicas []*corev1.Pod
	// condemned are surplus pods, highest ordinal first.
	condemned []*corev1.Pod
	// firstUnavailable is the pod with the lowest ordinal that holds others up.
	firstUnavailable *corev1.Pod
	// deletedCurrent counts pods of the current revision that this pass deleted.
	deletedCurrent int32
}

func (p *plan) start() int {
	if p.set.Spec.Ordinals != nil {
		return int(p.set.Spec.Ordinals.Start)
	}
	return 0
}

func (p *plan) inRange(ordinal int) bool {
	return ordinal >= p.start() && ordinal < p.start()+int(*p.set.Spec.Replicas)
}

// ordered tells whether pods are made and removed one after the other.
func (p *plan) ordered() bool { return p.set.Spec.PodManagementPolicy != appsv1.ParallelPodManagement }

// arrange sorts the pods into their places.
func (p *plan) arrange(own []*corev1.Pod) error {
	p.replicas = make([]*corev1.Pod, *p.set.Spec.Replicas)
	for _, pod := range own {
		if n := ordinal(pod); p.inRange(n) {
			p.replicas[n-p.start()] = pod
		} else if n >= 0 {
			p.condemned = append(p.condemned, pod)
		}
	}
	for i := range p.replicas {
		if p.replicas[i] == nil {
			pod, err := p.newPod(p.start() + i)
			if err != nil {
				return err
			}
			p.replicas[i] = pod
		}
	}
	slices.SortFunc(p.condemned, func(a, b *corev1.Pod) int { return ordinal(b) - ordinal(a) })
	for _, pod := range p.replicas {
		if p.firstUnavailable == nil && p.unavailable(pod) {
			p.firstUnavailable = pod
		}
	}
	for _, pod := range slices.Backward(p.condemned) {
		if p.firstUnavailable == nil && p.unavailable(pod) {
			p.firstUnavailable = pod
		}
	}
	return nil
}

func (p *plan) available(pod *corev1.Pod) bool {
	return pods.IsAvailable(pod, p.set.Spec.MinReadySeconds, p.now)
}

func (p *plan) unavailable(pod *corev1.Pod) bool { return !p.available(pod) || terminating(pod) }

func created(pod *corev1.Pod) bool     { return pod.Status.Phase != "" }
func terminating(pod *corev1.Pod) bool { return pod.DeletionTimestamp != nil }
func runningReady(pod *corev1.Pod) bool {
	return pod.Status.Phase == corev1.PodRunning && pods.IsReady(pod)
}
func revisionOf(pod *corev1.Pod) string { return pod.Labels[appsv1.StatefulSetRevisionLabel] }

// act does what may be done now: first all wanted pods, then the surplus ones,
// then the update.
func (p *plan) act(ctx context.Context) error {
	if stop, err := p.forAll(p.replicas, func(pod *corev1.Pod) (bool, error) { return p.keep(ctx, pod) }); stop || err != nil {
		return err
	}
	if stop, err := p.forAll(p.condemned, func(pod *corev1.Pod) (bool, error) { return false, p.fixClaims(ctx, pod) }); stop || err != nil {
		return err
	}
	if stop, err := p.forAll(p.condemned, func(pod *corev1.Pod) (bool, error) { return p.condemn(ctx, pod) }); stop || err != nil {
		return err
	}
	if p.set.Spec.UpdateStrategy.Type == appsv1.OnDeleteStatefulSetStrategyType {
		return nil
	}
	return p.roll(ctx)
}

// forAll calls f for each pod: in order up to the first one that says stop, or
// for all of them at once.
func (p *plan) forAll(list []*corev1.Pod, f func(*corev1.Pod) (bool, error)) (bool, error) {
	if !p.ordered() {
		_, err := pods.SlowStart(len(list), func(i int) error {
			_, err := f(list[i])
			return err
		})
		return err != nil, err
	}
	for _, pod := range list {
		if stop, err := f(pod); stop || err != nil {
			return true, err
		}
	}
	return false, nil
}

// keep brings one wanted pod into being, and reports whether later ones wait.
func (p *plan) keep(ctx context.Context, pod *corev1.Pod) (stop bool, err error) {
	if pods.IsTerminal(pod) {
		if !terminating(pod) {
			err = p.delete(ctx, pod)
		}
		return true, err // its place must be free first
	}
	if !created(pod) {
		if stale, err := p.claimsStale(pod); stale || err != nil {
			return true, err // the claims of an older pod of this name are going
		}
		return p.ordered(), p.create(ctx, pod)
	}
	if pod.Status.Phase == corev1.PodPending {
		if err := p.ensureClaims(ctx, pod); err != nil {
			return true, err
		}
	}
	if p.ordered() && (terminating(pod) || !runningReady(pod) || !p.available(pod)) {
		return true, nil
	}
	return false, p.repair(ctx, pod)
}

// condemn removes one surplus pod. In order, each waits for those with lower
// ordinals to be healthy, but for the one that is not, which goes itself.
func (p *plan) condemn(ctx context.Context, pod *corev1.Pod) (stop bool, err error) {
	if terminating(pod) {
		return p.ordered(), nil
	}
	if p.ordered() && pod != p.firstUnavailable && (!runningReady(pod) || !p.available(pod)) {
		return true, nil
	}
	return true, p.delete(ctx, pod)
}

// roll deletes pods of older revisions, highest ordinal first, down to the
// partition, as far as maxUnavailable allows (KEP-961).
func (p *plan) roll(ctx context.Context) error {
	partition, maxUnavailable := 0, 1
	if u := p.set.Spec.UpdateStrategy.RollingUpdate; u != nil {
		if u.Partition != nil {
			partition = int(*u.Partition)
		}
		n, err := intstr.GetScaledValueFromIntOrPercent(intstr.ValueOrDefault(u.MaxUnavailable, intstr.FromInt32(1)), len(p.replicas), false)
		if err != nil {
			return err
		}
		maxUnavailable = max(n, 1)
	}
	unavailable, free := 0, 0
	for _, pod := range p.replicas {
		if p.unavailable(pod) {
			unavailable++
			if !p.ordered() && revisionOf(pod) != p.update.Name && !terminating(pod) {
				free++ // replacing it costs no availability
			}
		}
	}
	if unavailable >= maxUnavailable && free == 0 {
		return nil
	}
	budget := maxUnavailable - unavailable
	// Upstream compares the partition with the index among the replicas.
	for i := len(p.replicas) - 1; i >= partition; i-- {
		pod := p.replicas[i]
		if revisionOf(pod) == p.update.Name || terminating(pod) || !created(pod) {
			continue
		}
		isFree := !p.ordered() && p.unavailable(pod)
		if !isFree && budget <= 0 {
			continue
		}
		if err := p.delete(ctx, pod); err != nil {
			return err
		}
		p.deletedCurrent++
		if !isFree {
			budget--
		}
	}
	return nil
}

func (p *plan) create(ctx context.Context, pod *corev1.Pod) error {
	if err := p.ensureClaims(ctx, pod); err != nil {
		p.event("Create", pod, err)
		return err
	}
	out, err := p.client.CoreV1().Pods(pod.Namespace).Create(ctx, pod, metav1.CreateOptions{})
	switch {
	case err == nil:
		p.pending.Wrote(p.key, out.ResourceVersion)
	case apierrors.IsAlreadyExists(err):
		return err // the cache is behind, or the name is another's
	case apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause):
		return nil
	}
	p.event("Create", pod, err)
	return err
}

func (p *plan) delete(ctx context.Context, pod *corev1.Pod) error {
	err := p.client.CoreV1().Pods(pod.Namespace).Delete(ctx, pod.Name, *metav1.NewPreconditionDeleteOptions(string(pod.UID)))
	if apierrors.IsNotFound(err) || apierrors.IsConflict(err) {
		return nil
	}
	if err == nil {
		p.pending.Deleted(p.key, pod.UID)
	}
	p.event("Delete", pod, err)
	return err
}

// event records what was done to a pod, in upstream's words.
func (p *plan) event(verb string, pod *corev1.Pod, err error) {
	if err != nil {
		p.events.Eventf(p.set, corev1.EventTypeWarning, "Failed"+verb, "%s Pod %s in StatefulSet %s failed error: %s", verb, pod.Name, p.set.Name, err)
		return
	}
	p.events.Eventf(p.set, corev1.EventTypeNormal, "Successful"+verb, "%s Pod %s in StatefulSet %s successful", verb, pod.Name, p.set.Name)
}
