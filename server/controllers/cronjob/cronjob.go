// Package cronjob makes jobs by schedule.
package cronjob

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"
	_ "time/tzdata" // a box may have no time zone database

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apiequality "k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	batchlisters "k8s.io/client-go/listers/batch/v1"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/record"
	"k8s.io/utils/clock"

	"skiff/server/controller"
	"skiff/server/controller/pending"
	"skiff/server/controller/refs"
)

var gvk = batchv1.SchemeGroupVersion.WithKind("CronJob")

// New returns the controller of cron jobs.
func New(client kubernetes.Interface, f informers.SharedInformerFactory, events record.EventRecorder, clk clock.PassiveClock) controller.Controller {
	crons, jobs := f.Batch().V1().CronJobs(), f.Batch().V1().Jobs()
	r := &reconciler{
		client: client, events: events, clock: clk, crons: crons.Lister(), jobs: jobs.Lister(),
		pending: pending.New(crons.Informer().GetIndexer()), pendingJobs: pending.New(jobs.Informer().GetIndexer()),
		known: map[string]known{},
	}
	return controller.Controller{
		Name: "cronjob", Reconciler: r, Workers: 5,
		Sources: []controller.Source{controller.For(crons.Informer()), refs.Wake[batchv1.Job](jobs.Informer(), gvk, nil)},
	}
}

type reconciler struct {
	client               kubernetes.Interface
	events               record.EventRecorder
	clock                clock.PassiveClock
	crons                batchlisters.CronJobLister
	jobs                 batchlisters.JobLister
	pending, pendingJobs *pending.Tracker

	mu    sync.Mutex
	known map[string]known
}

// known is the schedule that a cron job was last seen with, and since when if
// that was seen as well.
type known struct {
	spec, zone string
	since      time.Time
}

// scheduledSince returns when the cron job got its schedule, zero if that was
// before this process began: what a new schedule missed in the past is not made
// up for.
func (r *reconciler) scheduledSince(key, spec, zone string, now time.Time) time.Time {
	r.mu.Lock()
	defer r.mu.Unlock()
	k, ok := r.known[key]
	if !ok || k.spec != spec || k.zone != zone {
		k = known{spec: spec, zone: zone}
		if ok {
			k.since = now
		}
		r.known[key] = k
	}
	return k.since
}

func (r *reconciler) forget(key string) {
	r.pending.Forget(key)
	r.pendingJobs.Forget(key)
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.known, key)
}

// Reconcile implements controller.Reconciler.
func (r *reconciler) Reconcile(ctx context.Context, key string) (controller.Result, error) {
	ns, name, err := cache.SplitMetaNamespaceKey(key)
	if err != nil {
		return controller.Result{}, err
	}
	cached, err := r.crons.CronJobs(ns).Get(name)
	if apierrors.IsNotFound(err) {
		r.forget(key)
		return controller.Result{}, nil
	}
	if err != nil {
		return controller.Result{}, err
	}
	if !r.pending.Synced(key) || !r.pendingJobs.Synced(key) {
		return controller.Result{RequeueAfter: pending.Recheck}, nil
	}
	all, err := r.jobs.Jobs(ns).List(labels.Everything())
	if err != nil {
		return controller.Result{}, err
	}
	t := &turn{reconciler: r, key: key, cron: cached.DeepCopy(), now: r.clock.Now()}
	for _, j := range all {
		if metav1.IsControlledBy(j, cached) {
			t.jobs = append(t.jobs, j)
		}
	}
	err = t.run(ctx)
	if werr := t.write(ctx, cached); err == nil {
		err = werr
	}
	return controller.Result{RequeueAfter: t.again}, err
}

// turn is one cron job during one reconcile.
type turn struct {
	*reconciler
	key  string
	cron *batchv1.CronJob // a copy
	jobs []*batchv1.Job
	now  time.Time
	// since is when the cron job got its schedule.
	since time.Time
	again time.Duration
}

func ended(j *batchv1.Job) (batchv1.JobConditionType, bool) {
	for _, c := range j.Status.Conditions {
		if (c.Type == batchv1.JobComplete || c.Type == batchv1.JobFailed) && c.Status == corev1.ConditionTrue {
			return c.Type, true
		}
	}
	return "", false
}

func (t *turn) run(ctx context.Context) error {
	if err := t.cleanup(ctx); err != nil {
		return err
	}
	if err := t.updateActive(ctx); err != nil {
		return err
	}
	if t.cron.DeletionTimestamp != nil {
		return nil
	}
	zone := ""
	if t.cron.Spec.TimeZone != nil {
		zone = *t.cron.Spec.TimeZone
		if _, err := time.LoadLocation(zone); err != nil {
			t.events.Eventf(t.cron, corev1.EventTypeWarning, "UnknownTimeZone", "invalid timeZone: %q: %s", zone, err)
			return nil
		}
	}
	t.since = t.scheduledSince(t.key, t.cron.Spec.Schedule, zone, t.now)
	if t.cron.Spec.Suspend != nil && *t.cron.Spec.Suspend {
		return nil
	}
	s, err := parse(t.cron.Spec.Schedule, zone)
	if err != nil {
		t.events.Eventf(t.cron, corev1.EventTypeWarning, "UnparseableSchedule", "unparseable schedule: %q : %s", t.cron.Spec.Schedule, err)
		return nil
	}
	t.again = s.Next(t.now).Sub(t.now) + 100*time.Millisecond
	return t.start(ctx, s)
}

// updateActive brings the list of running jobs up to date.
func (t *turn) updateActive(ctx context.Context) error {
	own := map[types.UID]bool{}
	for _, j := range t.jobs {
		own[j.UID] = true
		how, done := ended(j)
		listed := t.listed(j.UID)
		switch {
		case done && listed:
			t.unlist(j.UID)
			t.events.Eventf(t.cron, corev1.EventTypeNormal, "SawCompletedJob", "Saw completed job: %s, condition: %v", j.Name, how)
		case !done && !listed:
			// Made by a pass that could not write the status any more, or by hand.
			t.events.Eventf(t.cron, corev1.EventTypeWarning, "UnexpectedJob", "Saw a job that the controller did not create or forgot: %s", j.Name)
		}
		if end := j.Status.CompletionTime; how == batchv1.JobComplete && end != nil &&
			(t.cron.Status.LastSuccessfulTime == nil || end.After(t.cron.Status.LastSuccessfulTime.Time)) {
			t.cron.Status.LastSuccessfulTime = end
		}
	}
	for _, a := range slices.Clone(t.cron.Status.Active) {
		if own[a.UID] {
			continue
		}
		j, err := t.client.BatchV1().Jobs(t.cron.Namespace).Get(ctx, a.Name, metav1.GetOptions{})
		switch {
		case apierrors.IsNotFound(err), err == nil && j.UID != a.UID:
			t.events.Eventf(t.cron, corev1.EventTypeNormal, "MissingJob", "Active job went missing: %v", a.Name)
			t.unlist(a.UID)
		case err != nil:
			return err
		}
	}
	return nil
}

func (t *turn) listed(uid types.UID) bool {
	return slices.ContainsFunc(t.cron.Status.Active, func(a corev1.ObjectReference) bool { return a.UID == uid })
}

func (t *turn) unlist(uid types.UID) {
	t.cron.Status.Active = slices.DeleteFunc(t.cron.Status.Active, func(a corev1.ObjectReference) bool { return a.UID == uid })
}

// start makes the job for the latest time that has passed, if it was not made.
func (t *turn) start(ctx context.Context, s schedule) error {
	at, missed := latest(t.cron, t.since, t.now, s)
	if at.IsZero() {
		return nil
	}
	if missed > 100 {
		t.events.Eventf(t.cron, corev1.EventTypeWarning, "TooManyMissedTimes", "too many missed start times. Set or decrease .spec.startingDeadlineSeconds or check clock skew")
	}
	if d := t.cron.Spec.StartingDeadlineSeconds; d != nil && at.Add(time.Duration(*d)*time.Second).Before(t.now) {
		t.events.Eventf(t.cron, corev1.EventTypeWarning, "MissSchedule", "Missed scheduled time to start a job: %s", at.UTC().Format(time.RFC1123Z))
		return nil
	}
	name := jobName(t.cron, at)
	if slices.ContainsFunc(t.cron.Status.Active, func(a corev1.ObjectReference) bool { return a.Name == name }) ||
		t.cron.Status.LastScheduleTime.Equal(&metav1.Time{Time: at}) {
		return nil
	}
	if len(t.cron.Status.Active) > 0 {
		switch t.cron.Spec.ConcurrencyPolicy {
		case batchv1.ForbidConcurrent:
			t.events.Eventf(t.cron, corev1.EventTypeNormal, "JobAlreadyActive", "Not starting job because prior execution is running and concurrency policy is Forbid")
			return nil
		case batchv1.ReplaceConcurrent:
			if err := t.replace(ctx); err != nil {
				return err
			}
		}
	}
	return t.create(ctx, name, at)
}

// replace deletes the running jobs.
func (t *turn) replace(ctx context.Context) error {
	for _, a := range slices.Clone(t.cron.Status.Active) {
		if err := t.delete(ctx, a.Name, a.UID); err != nil {
			return err
		}
		t.unlist(a.UID)
	}
	return nil
}

func (t *turn) delete(ctx context.Context, name string, uid types.UID) error {
	background := metav1.DeletePropagationBackground
	err := t.client.BatchV1().Jobs(t.cron.Namespace).Delete(ctx, name, metav1.DeleteOptions{
		PropagationPolicy: &background, Preconditions: &metav1.Preconditions{UID: &uid},
	})
	switch {
	case apierrors.IsNotFound(err), apierrors.IsConflict(err):
		return nil
	case err != nil:
		t.events.Eventf(t.cron, corev1.EventTypeWarning, "FailedDelete", "Deleted job: %v", err)
		return err
	}
	t.events.Eventf(t.cron, corev1.EventTypeNormal, "SuccessfulDelete", "Deleted job %v", name)
	return nil
}

func (t *turn) create(ctx context.Context, name string, at time.Time) error {
	jobs := t.client.BatchV1().Jobs(t.cron.Namespace)
	j, err := jobs.Create(ctx, t.newJob(name, at), metav1.CreateOptions{})
	switch {
	case apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause):
		return err
	case apierrors.IsAlreadyExists(err):
		// Made by an earlier pass that did not get to write the status.
		if j, err = jobs.Get(ctx, name, metav1.GetOptions{}); err != nil {
			return err
		}
		if !metav1.IsControlledBy(j, t.cron) {
			return nil
		}
	case err != nil:
		t.events.Eventf(t.cron, corev1.EventTypeWarning, "FailedCreate", "Error creating job: %v", err)
		return err
	default:
		t.pendingJobs.Wrote(t.key, j.ResourceVersion)
		t.events.Eventf(t.cron, corev1.EventTypeNormal, "SuccessfulCreate", "Created job %v", j.Name)
	}
	if _, done := ended(j); !done && !t.listed(j.UID) {
		t.cron.Status.Active = append(t.cron.Status.Active, corev1.ObjectReference{
			Kind: "Job", APIVersion: "batch/v1", Namespace: j.Namespace, Name: j.Name, UID: j.UID, ResourceVersion: j.ResourceVersion,
		})
	}
	t.cron.Status.LastScheduleTime = &metav1.Time{Time: at}
	return nil
}

func (t *turn) newJob(name string, at time.Time) *batchv1.Job {
	template := t.cron.Spec.JobTemplate.DeepCopy()
	zone := time.UTC
	if z := t.cron.Spec.TimeZone; z != nil {
		if l, err := time.LoadLocation(*z); err == nil {
			zone = l
		}
	}
	j := &batchv1.Job{
		ObjectMeta: metav1.ObjectMeta{
			Name: name, Namespace: t.cron.Namespace, Labels: maps.Clone(template.Labels), Annotations: maps.Clone(template.Annotations),
			OwnerReferences: []metav1.OwnerReference{*metav1.NewControllerRef(t.cron, gvk)},
		},
		Spec: template.Spec,
	}
	if j.Annotations == nil {
		j.Annotations = map[string]string{}
	}
	j.Annotations[batchv1.CronJobScheduledTimestampAnnotation] = at.In(zone).Format(time.RFC3339)
	return j
}

// cleanup deletes the oldest finished jobs above the history limits.
func (t *turn) cleanup(ctx context.Context) error {
	for how, limit := range map[batchv1.JobConditionType]*int32{
		batchv1.JobComplete: t.cron.Spec.SuccessfulJobsHistoryLimit, batchv1.JobFailed: t.cron.Spec.FailedJobsHistoryLimit,
	} {
		if limit == nil {
			continue
		}
		var old []*batchv1.Job
		for _, j := range t.jobs {
			if c, done := ended(j); done && c == how && j.DeletionTimestamp == nil {
				old = append(old, j)
			}
		}
		slices.SortFunc(old, func(a, b *batchv1.Job) int {
			return cmp.Or(startTime(a).Compare(startTime(b)), cmp.Compare(a.Name, b.Name))
		})
		for i := 0; i < len(old)-int(*limit); i++ {
			if err := t.delete(ctx, old[i].Name, old[i].UID); err != nil {
				return err
			}
			t.unlist(old[i].UID)
		}
	}
	return nil
}

func startTime(j *batchv1.Job) time.Time {
	if j.Status.StartTime != nil {
		return j.Status.StartTime.Time
	}
	return time.Unix(1<<40, 0) // not started yet: latest of all
}

func (t *turn) write(ctx context.Context, cached *batchv1.CronJob) error {
	if apiequality.Semantic.DeepEqual(cached.Status, t.cron.Status) {
		return nil
	}
	out, err := t.client.BatchV1().CronJobs(t.cron.Namespace).UpdateStatus(ctx, t.cron, metav1.UpdateOptions{})
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("unable to update status for %s (rv = %s): %w", t.key, t.cron.ResourceVersion, err)
	}
	t.pending.Wrote(t.key, out.ResourceVersion)
	return nil
}
