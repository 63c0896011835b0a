package job

import (
	"context"
	"fmt"
	"slices"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"skiff/server/controller/pods"
)

// pass is one job with its pods during one reconcile.
type pass struct {
	*reconciler
	key  string
	job  *batchv1.Job // a copy, whose status this pass changes
	pods []*corev1.Pod
	now  time.Time
	// again is when to look again.
	again time.Duration

	// holding are the pods that have the tracking finalizer.
	holding map[types.UID]bool

	active                       []*corev1.Pod
	ready, terminating           int32
	uncountedGood, uncountedBad  map[types.UID]bool
	succeeded, failed            int32
	prevGoodIndexes, goodIndexes intervals
	badIndexes                   intervals
	// delayed are the failed pods that stay until their index is tried again.
	delayed  map[int]*corev1.Pod
	failures failures
	// outcome is how the job will end: FailureTarget or SuccessCriteriaMet.
	outcome *batchv1.JobCondition
}

func (p *pass) indexed() bool {
	return p.job.Spec.CompletionMode != nil && *p.job.Spec.CompletionMode == batchv1.IndexedCompletion
}
func (p *pass) perIndex() bool  { return p.job.Spec.BackoffLimitPerIndex != nil }
func (p *pass) suspended() bool { return p.job.Spec.Suspend != nil && *p.job.Spec.Suspend }

// onlyFailed tells that a pod is replaced only once it has failed, not already
// when it is being deleted.
func (p *pass) onlyFailed() bool {
	return p.job.Spec.PodReplacementPolicy != nil && *p.job.Spec.PodReplacementPolicy == batchv1.Failed || p.job.Spec.PodFailurePolicy != nil
}

// hasFailed tells whether a pod counts as failed; so do deleted ones, which may
// never get to that phase, but where the job waits for it.
func (p *pass) hasFailed(pod *corev1.Pod) bool {
	if pod.Status.Phase == corev1.PodFailed {
		return true
	}
	return !p.onlyFailed() && pod.DeletionTimestamp != nil && pod.Status.Phase != corev1.PodSucceeded
}

// run does what is due, and writes the status.
func (p *pass) run(ctx context.Context) error {
	p.look()
	if p.job.Status.StartTime == nil && !p.suspended() {
		t := metav1.NewTime(p.now)
		p.job.Status.StartTime = &t
	}
	p.decide()
	before := p.job.Status.DeepCopy()
	active := int32(len(p.active))
	var actErr error
	if p.outcome != nil {
		deleted, err := p.deletePods(ctx, p.active)
		if deleted != active {
			p.outcome = nil // not before all are on their way
		}
		active -= deleted
		actErr = err
	} else {
		if p.job.DeletionTimestamp == nil {
			active, actErr = p.manage(ctx)
			p.setSuspended()
		}
		if p.complete(active) {
			p.outcome = p.condition(batchv1.JobSuccessCriteriaMet, batchv1.JobReasonCompletionsReached, "Reached expected number of succeeded pods")
		}
	}
	changed := active != before.Active || before.Ready == nil || *before.Ready != p.ready ||
		before.Terminating == nil || *before.Terminating != p.terminating || len(before.Conditions) != len(p.job.Status.Conditions) || !slices.Equal(before.Conditions, p.job.Status.Conditions)
	p.job.Status.Active, p.job.Status.Ready, p.job.Status.Terminating = active, &p.ready, &p.terminating
	if err := p.track(ctx, changed); err != nil {
		return fmt.Errorf("tracking status: %w", err)
	}
	return actErr
}

// look counts the pods.
func (p *pass) look() {
	if p.job.Status.UncountedTerminatedPods == nil {
		p.job.Status.UncountedTerminatedPods = &batchv1.UncountedTerminatedPods{}
	}
	p.uncountedGood, p.uncountedBad = set(p.job.Status.UncountedTerminatedPods.Succeeded), set(p.job.Status.UncountedTerminatedPods.Failed)
	p.holding = p.reconciler.holding(p.key, p.pods)
	p.active = pods.Filter(p.pods, pods.IsActive)
	for _, pod := range p.active {
		if pods.IsReady(pod) {
			p.ready++
		}
	}
	p.terminating = int32(len(pods.Filter(p.pods, pods.IsTerminating)))
	good := p.uncounted(p.uncountedGood, func(pod *corev1.Pod) bool { return pod.Status.Phase == corev1.PodSucceeded })
	bad := p.uncounted(p.uncountedBad, p.hasFailed)
	counted := 0
	for _, pod := range bad {
		if _, counts, _ := match(p.job.Spec.PodFailurePolicy, pod); counts {
			counted++
		}
	}
	p.succeeded = p.job.Status.Succeeded + int32(len(good)+len(p.uncountedGood))
	p.failed = p.job.Status.Failed + int32(counted+len(p.uncountedBad))
	p.failures = p.nextFailures(good, bad)
	if p.indexed() {
		p.lookAtIndexes()
		p.succeeded = int32(p.goodIndexes.total())
	}
}

func set(uids []types.UID) map[types.UID]bool {
	out := make(map[types.UID]bool, len(uids))
	for _, u := range uids {
		out[u] = true
	}
	return out
}

// uncounted returns the pods that ended as f says and are in no count yet.
func (p *pass) uncounted(known map[types.UID]bool, f func(*corev1.Pod) bool) []*corev1.Pod {
	return pods.Filter(p.pods, func(pod *corev1.Pod) bool {
		if !p.holding[pod.UID] || known[pod.UID] {
			return false
		}
		if p.indexed() {
			if ix := indexOf(pod); ix < 0 || ix >= int(*p.job.Spec.Completions) {
				return false
			}
		}
		return f(pod)
	})
}

// decide finds out whether the job's end is decided.
func (p *pass) decide() {
	if c := p.has(batchv1.JobSuccessCriteriaMet); c != nil {
		p.outcome = c
		return
	}
	if c := p.has(batchv1.JobFailureTarget); c != nil {
		p.outcome = c
		return
	}
	if msg := p.policyFailure(); msg != "" {
		p.fail(batchv1.JobReasonPodFailurePolicy, msg)
		return
	}
	deadline := p.job.Spec.ActiveDeadlineSeconds
	var left time.Duration
	if deadline != nil && !p.suspended() && p.job.Status.StartTime != nil {
		left = time.Duration(*deadline)*time.Second - p.now.Sub(p.job.Status.StartTime.Time)
	}
	switch {
	case p.failed > *p.job.Spec.BackoffLimit || p.restartedTooOften():
		p.fail(batchv1.JobReasonBackoffLimitExceeded, "Job has reached the specified backoff limit")
		return
	case deadline != nil && !p.suspended() && left <= 0:
		p.fail(batchv1.JobReasonDeadlineExceeded, "Job was active longer than specified deadline")
		return
	default:
		p.wait(left)
	}
	if !p.indexed() {
		return
	}
	if p.perIndex() {
		bad := p.badIndexes.total()
		switch {
		case p.job.Spec.MaxFailedIndexes != nil && bad > int(*p.job.Spec.MaxFailedIndexes):
			p.fail(batchv1.JobReasonMaxFailedIndexesExceeded, "Job has exceeded the specified maximal number of failed indexes")
			return
		case bad > 0 && bad+p.goodIndexes.total() >= int(*p.job.Spec.Completions):
			p.fail(batchv1.JobReasonFailedIndexes, "Job has failed indexes")
			return
		}
	}
	if msg, ok := p.successPolicy(); ok {
		p.outcome = p.condition(batchv1.JobSuccessCriteriaMet, batchv1.JobReasonSuccessPolicy, msg)
	}
}

func (p *pass) fail(reason, msg string) {
	p.outcome = p.condition(batchv1.JobFailureTarget, reason, msg)
}

func (p *pass) condition(t batchv1.JobConditionType, reason, msg string) *batchv1.JobCondition {
	now := metav1.NewTime(p.now)
	return &batchv1.JobCondition{Type: t, Status: corev1.ConditionTrue, Reason: reason, Message: msg, LastProbeTime: now, LastTransitionTime: now}
}

func (p *pass) has(t batchv1.JobConditionType) *batchv1.JobCondition {
	for i := range p.job.Status.Conditions {
		if c := &p.job.Status.Conditions[i]; c.Type == t && c.Status == corev1.ConditionTrue {
			return c
		}
	}
	return nil
}

// restartedTooOften applies the back-off limit to the restarts of pods that the
// node restarts itself.
func (p *pass) restartedTooOften() bool {
	if p.job.Spec.Template.Spec.RestartPolicy != corev1.RestartPolicyOnFailure {
		return false
	}
	var n int32
	for _, pod := range p.pods {
		if pod.Status.Phase != corev1.PodRunning && pod.Status.Phase != corev1.PodPending {
			continue
		}
		for _, list := range [][]corev1.ContainerStatus{pod.Status.InitContainerStatuses, pod.Status.ContainerStatuses} {
			for _, s := range list {
				n += s.RestartCount
			}
		}
	}
	if *p.job.Spec.BackoffLimit == 0 {
		return n > 0
	}
	return n >= *p.job.Spec.BackoffLimit
}

func (p *pass) complete(active int32) bool {
	if p.job.Spec.Completions == nil {
		return p.succeeded > 0 && active == 0
	}
	return p.succeeded >= *p.job.Spec.Completions && active == 0
}

// setSuspended keeps the Suspended condition, and restarts the job's time when it
// is resumed.
func (p *pass) setSuspended() {
	if p.suspended() {
		if p.setCondition(batchv1.JobSuspended, corev1.ConditionTrue, "JobSuspended", "Job suspended") {
			p.control.Events.Event(p.job, corev1.EventTypeNormal, "Suspended", "Job suspended")
		}
		p.job.Status.StartTime = nil
		return
	}
	if p.setCondition(batchv1.JobSuspended, corev1.ConditionFalse, "JobResumed", "Job resumed") {
		p.control.Events.Event(p.job, corev1.EventTypeNormal, "Resumed", "Job resumed")
		t := metav1.NewTime(p.now)
		p.job.Status.StartTime = &t
	}
}

// setCondition adds the condition, or changes its status, and reports whether it
// did; a condition that is not there is not added as false.
func (p *pass) setCondition(t batchv1.JobConditionType, status corev1.ConditionStatus, reason, msg string) bool {
	for i := range p.job.Status.Conditions {
		c := &p.job.Status.Conditions[i]
		if c.Type != t {
			continue
		}
		if c.Status == status {
			return false
		}
		*c = *p.condition(t, reason, msg)
		c.Status = status
		return true
	}
	if status != corev1.ConditionTrue {
		return false
	}
	p.job.Status.Conditions = append(p.job.Status.Conditions, *p.condition(t, reason, msg))
	return true
}
