package job

import (
	"context"
	"errors"
	"slices"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"skiff/server/controller/pods"
)

// maxUncounted bounds the pods that are named in the status at a time.
const maxUncounted = 500

// track counts the pods that ended, each exactly once, and ends the job.
func (p *pass) track(ctx context.Context, flush bool) error {
	flush = p.settle() || flush
	release, named := p.nameEnded()
	flush = p.setIndexes() || named || flush
	end := p.announce(&flush)
	if flush {
		if err := p.write(ctx); err != nil {
			return err
		}
		p.keepFailures()
	}
	flush = false
	rmErr := p.release(ctx, release)
	flush = p.settle()
	if rmErr != nil {
		if flush {
			return errors.Join(rmErr, p.write(ctx))
		}
		return rmErr
	}
	done := p.finish(end)
	if flush || done {
		if err := p.write(ctx); err != nil {
			return err
		}
	}
	if done {
		p.recordEnd(end)
	}
	return nil
}

// settle moves the pods that no longer have the finalizer from the names into the
// counters.
func (p *pass) settle() bool {
	u := p.job.Status.UncountedTerminatedPods
	keep := func(uid types.UID) bool { return !p.holding[uid] }
	good := slices.DeleteFunc(slices.Clone(u.Succeeded), keep)
	bad := slices.DeleteFunc(slices.Clone(u.Failed), keep)
	if len(good) == len(u.Succeeded) && len(bad) == len(u.Failed) {
		return false
	}
	p.job.Status.Succeeded += int32(len(u.Succeeded) - len(good))
	p.job.Status.Failed += int32(len(u.Failed) - len(bad))
	u.Succeeded, u.Failed = good, bad
	return true
}

// nameEnded names the pods that ended in the status, and returns those whose
// finalizer can go once that is written.
func (p *pass) nameEnded() (release []*corev1.Pod, named bool) {
	u := p.job.Status.UncountedTerminatedPods
	news := 0
	failing := p.outcome != nil && p.outcome.Type == batchv1.JobFailureTarget
	ordered := slices.Clone(p.pods)
	slices.SortStableFunc(ordered, func(a, b *corev1.Pod) int { return indexOf(a) - indexOf(b) })
	for _, pod := range ordered {
		if !p.holding[pod.UID] || !p.releasable(pod) {
			continue
		}
		release = append(release, pod)
		ix := indexOf(pod)
		valid := !p.indexed() || ix >= 0 && ix < int(*p.job.Spec.Completions)
		switch {
		case pod.Status.Phase == corev1.PodSucceeded && !p.uncountedBad[pod.UID]:
			if p.indexed() {
				named = named || valid && !p.prevGoodIndexes.has(ix)
				news++
			} else if !p.uncountedGood[pod.UID] {
				u.Succeeded = append(u.Succeeded, pod.UID)
				named = true
			}
		case (p.hasFailed(pod) || failing) && !p.uncountedBad[pod.UID] && valid:
			if _, counts, _ := match(p.job.Spec.PodFailurePolicy, pod); counts {
				u.Failed = append(u.Failed, pod.UID)
				named = true
			}
		}
		if news+len(u.Succeeded)+len(u.Failed) >= maxUncounted {
			p.wait(time.Millisecond)
			break
		}
	}
	return release, named
}

// releasable tells whether a pod's finalizer may go: it ended, and does not have
// to stay for its index's next try. When the job ends, all may go.
func (p *pass) releasable(pod *corev1.Pod) bool {
	if p.job.DeletionTimestamp != nil || p.outcome != nil || pod.Status.Phase == corev1.PodSucceeded {
		return true
	}
	if !p.hasFailed(pod) {
		return false
	}
	last := p.delayed[indexOf(pod)]
	return last == nil || last.UID != pod.UID
}

func (p *pass) setIndexes() bool {
	if !p.indexed() {
		return false
	}
	s, changed := p.goodIndexes.String(), false
	if s != p.job.Status.CompletedIndexes {
		p.job.Status.CompletedIndexes, changed = s, true
	}
	p.job.Status.Succeeded = int32(p.goodIndexes.total())
	if p.perIndex() {
		bad := p.badIndexes.String()
		if p.job.Status.FailedIndexes == nil || *p.job.Status.FailedIndexes != bad {
			p.job.Status.FailedIndexes, changed = &bad, true
		}
	}
	return changed
}

// announce adds the condition that tells how the job will end, and returns the
// one with which it does.
func (p *pass) announce(flush *bool) *batchv1.JobCondition {
	if p.outcome == nil {
		return nil
	}
	if p.has(p.outcome.Type) == nil {
		p.job.Status.Conditions = append(p.job.Status.Conditions, *p.outcome)
		*flush = true
	}
	t := batchv1.JobComplete
	if p.outcome.Type == batchv1.JobFailureTarget {
		t = batchv1.JobFailed
	}
	return p.condition(t, p.outcome.Reason, p.outcome.Message)
}

// finish ends the job once everything is counted and nothing runs any more.
func (p *pass) finish(end *batchv1.JobCondition) bool {
	u := p.job.Status.UncountedTerminatedPods
	if end == nil || len(u.Succeeded)+len(u.Failed) > 0 || p.terminating > 0 {
		return false
	}
	p.job.Status.Conditions = append(p.job.Status.Conditions, *end)
	if end.Type == batchv1.JobComplete {
		p.job.Status.CompletionTime = &end.LastTransitionTime
	}
	return true
}

func (p *pass) recordEnd(end *batchv1.JobCondition) {
	if end.Type == batchv1.JobComplete {
		p.control.Events.Event(p.job, corev1.EventTypeNormal, "Completed", "Job completed")
		return
	}
	p.control.Events.Event(p.job, corev1.EventTypeWarning, end.Reason, end.Message)
}

func (p *pass) write(ctx context.Context) error {
	out, err := p.client.BatchV1().Jobs(p.job.Namespace).UpdateStatus(ctx, p.job, metav1.UpdateOptions{})
	if err != nil {
		return err
	}
	p.pendingJobs.Wrote(p.key, out.ResourceVersion)
	p.job = out
	if p.job.Status.UncountedTerminatedPods == nil {
		p.job.Status.UncountedTerminatedPods = &batchv1.UncountedTerminatedPods{}
	}
	return nil
}

// release takes the finalizer off the pods, and marks those where that worked as
// no longer holding it.
func (p *pass) release(ctx context.Context, list []*corev1.Pod) error {
	done := make(chan types.UID, len(list))
	err := pods.Each(list, func(pod *corev1.Pod) error {
		if err := p.untrack(ctx, pod); err != nil {
			return err
		}
		p.markReleased(p.key, pod.UID)
		done <- pod.UID
		return nil
	})
	close(done)
	for uid := range done {
		delete(p.holding, uid)
	}
	return err
}
