package batch

import (
	"context"
	"fmt"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apiequality "k8s.io/apimachinery/pkg/api/equality"
	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/utils/ptr"

	"skiff/server/registry/check"
	"skiff/server/registry/untagged"
)

// statusUpdate is an update of a job's status under check. Since jobs can be
// managed by controllers from outside (KEP-4368), the server refuses statuses that
// make no sense, but only for what the update changes: a change of the spec may
// leave a status that its controller still has to mend.
type statusUpdate struct {
	job, old *batchv1.Job
	fld      *field.Path
	errs     field.ErrorList

	finished                                           bool
	finishedChanged, completeChanged, failedChanged    bool
	failureTargetChanged, criteriaChanged              bool
	completedIndexesChanged, failedIndexesChanged      bool
	activeChanged, startChanged, completionChanged     bool
	uncountedChanged, readyChanged, terminatingChanged bool
}

func validateJobStatusUpdate(_ context.Context, j, old *batchv1.Job) field.ErrorList {
	s, o := &j.Status, &old.Status
	changed := func(t batchv1.JobConditionType) bool { return isTrue(j, t) != isTrue(old, t) }
	u := &statusUpdate{
		job: j, old: old, fld: field.NewPath("status"),
		finished:                isFinished(j),
		finishedChanged:         isFinished(j) != isFinished(old),
		completeChanged:         changed(batchv1.JobComplete),
		failedChanged:           changed(batchv1.JobFailed),
		failureTargetChanged:    changed(batchv1.JobFailureTarget),
		criteriaChanged:         changed(batchv1.JobSuccessCriteriaMet),
		completedIndexesChanged: s.CompletedIndexes != o.CompletedIndexes,
		failedIndexesChanged:    !ptr.Equal(s.FailedIndexes, o.FailedIndexes),
		activeChanged:           s.Active != o.Active,
		startChanged:            !ptr.Equal(s.StartTime, o.StartTime),
		completionChanged:       !ptr.Equal(s.CompletionTime, o.CompletionTime),
		uncountedChanged:        !apiequality.Semantic.DeepEqual(s.UncountedTerminatedPods, o.UncountedTerminatedPods),
		readyChanged:            !ptr.Equal(s.Ready, o.Ready),
		terminatingChanged:      !ptr.Equal(s.Terminating, o.Terminating),
	}
	u.counters()
	u.uncounted()
	u.conditionsWithTimes()
	u.finishedJob()
	u.indexes()
	u.pods()
	u.criteria()
	u.transitions()
	return u.errs
}

func isFinished(j *batchv1.Job) bool {
	return isTrue(j, batchv1.JobComplete) || isTrue(j, batchv1.JobFailed)
}

func (u *statusUpdate) add(errs ...*field.Error) { u.errs = append(u.errs, errs...) }

func (u *statusUpdate) conditions(when bool, detail string) {
	if when {
		u.add(field.Invalid(u.fld.Child("conditions"), field.OmitValueType{}, detail))
	}
}

func (u *statusUpdate) counters() {
	s := &u.job.Status
	u.add(check.NonNegative(s.Active, u.fld.Child("active"))...)
	u.add(check.NonNegative(s.Succeeded, u.fld.Child("succeeded"))...)
	u.add(check.NonNegative(s.Failed, u.fld.Child("failed"))...)
	u.add(check.NonNegativePtr(s.Ready, u.fld.Child("ready"))...)
	u.add(check.NonNegativePtr(s.Terminating, u.fld.Child("terminating"))...)
}

func (u *statusUpdate) uncounted() {
	pods := u.job.Status.UncountedTerminatedPods
	if pods == nil {
		return
	}
	seen := map[types.UID]bool{}
	check := func(uids []types.UID, fld *field.Path) {
		for i, uid := range uids {
			switch {
			case uid == "":
				u.add(field.Invalid(fld.Index(i), uid, "must not be empty"))
			case seen[uid]:
				u.add(field.Duplicate(fld.Index(i), uid))
			}
			seen[uid] = true
		}
	}
	fld := u.fld.Child("uncountedTerminatedPods")
	check(pods.Succeeded, fld.Child("succeeded"))
	check(pods.Failed, fld.Child("failed"))
}

func (u *statusUpdate) conditionsWithTimes() {
	s := &u.job.Status
	complete, failed := isTrue(u.job, batchv1.JobComplete), isTrue(u.job, batchv1.JobFailed)
	target, criteria := isTrue(u.job, batchv1.JobFailureTarget), isTrue(u.job, batchv1.JobSuccessCriteriaMet)
	u.conditions((u.completeChanged || u.failedChanged) && complete && failed, "cannot set Complete=True and Failed=true conditions")
	u.conditions((u.completeChanged || u.failureTargetChanged) && complete && target, "cannot set Complete=True and FailureTarget=true conditions")
	time := u.fld.Child("completionTime")
	if u.completeChanged || u.completionChanged {
		if s.CompletionTime != nil && !complete {
			u.add(field.Invalid(time, s.CompletionTime, "cannot set completionTime when there is no Complete=True condition"))
		}
		if s.CompletionTime == nil && complete {
			u.add(field.Required(time, "completionTime is required for Complete jobs"))
		}
	}
	if (u.startChanged || u.completionChanged) && s.StartTime != nil && s.CompletionTime != nil && s.CompletionTime.Before(s.StartTime) {
		u.add(field.Invalid(time, s.CompletionTime, "must be equal to or after `startTime`"))
	}
	u.conditions((u.failedChanged || u.failedIndexesChanged) && failed && !target, "cannot set Failed=True condition without the FailureTarget=true condition")
	u.conditions((u.completeChanged || u.criteriaChanged) && complete && !criteria, "cannot set Complete=True condition without the SuccessCriteriaMet=true condition")
}

func (u *statusUpdate) finishedJob() {
	s := &u.job.Status
	if !u.finished {
		return
	}
	if (u.finishedChanged || u.activeChanged) && s.Active > 0 {
		u.add(field.Invalid(u.fld.Child("active"), s.Active, "active>0 is invalid for finished job"))
	}
	// A job that was suspended with nothing to do finishes without a start.
	idle := ptr.Deref(u.job.Spec.Suspend, false) && u.job.Spec.Completions != nil && *u.job.Spec.Completions == 0
	if (u.finishedChanged || u.startChanged) && !idle && s.StartTime == nil {
		u.add(field.Required(u.fld.Child("startTime"), "startTime is required for finished job"))
	}
	if p := s.UncountedTerminatedPods; (u.finishedChanged || u.uncountedChanged) && p != nil && len(p.Failed)+len(p.Succeeded) > 0 {
		u.add(field.Invalid(u.fld.Child("uncountedTerminatedPods"), untagged.Value(p), "must be empty for finished job"))
	}
}

func (u *statusUpdate) indexes() {
	spec, s := &u.job.Spec, &u.job.Status
	completed, failed := u.fld.Child("completedIndexes"), u.fld.Child("failedIndexes")
	if u.completedIndexesChanged && spec.Completions != nil {
		if _, err := countIndexes(s.CompletedIndexes, *spec.Completions); err != nil {
			u.add(field.Invalid(completed, s.CompletedIndexes, fmt.Sprintf("error parsing completedIndexes: %s", err)))
		}
	}
	if u.failedIndexesChanged && spec.Completions != nil && spec.BackoffLimitPerIndex != nil && s.FailedIndexes != nil {
		if _, err := countIndexes(*s.FailedIndexes, *spec.Completions); err != nil {
			u.add(field.Invalid(failed, s.FailedIndexes, fmt.Sprintf("error parsing failedIndexes: %s", err)))
		}
	}
	if u.completedIndexesChanged && s.CompletedIndexes != "" && !isIndexed(spec) {
		u.add(field.Invalid(completed, s.CompletedIndexes, "cannot set non-empty completedIndexes when non-indexed completion mode"))
	}
	if u.failedIndexesChanged && spec.BackoffLimitPerIndex == nil && s.FailedIndexes != nil {
		u.add(field.Invalid(failed, *s.FailedIndexes, "cannot set non-null failedIndexes when backoffLimitPerIndex is null"))
	}
	if (u.failedIndexesChanged || u.completedIndexesChanged) && spec.Completions != nil && s.FailedIndexes != nil {
		if index := overlap(s.CompletedIndexes, *s.FailedIndexes, *spec.Completions); index >= 0 {
			u.add(field.Invalid(failed, *s.FailedIndexes, fmt.Sprintf("failedIndexes and completedIndexes overlap at index: %d", index)))
		}
	}
}

func (u *statusUpdate) pods() {
	s := &u.job.Status
	if (u.finishedChanged || u.terminatingChanged) && u.finished && ptr.Deref(s.Terminating, 0) > 0 {
		u.add(field.Invalid(u.fld.Child("terminating"), s.Terminating, "terminating>0 is invalid for finished job"))
	}
	if (u.readyChanged || u.activeChanged) && s.Ready != nil && *s.Ready > s.Active {
		u.add(field.Invalid(u.fld.Child("ready"), *s.Ready, "cannot set more ready pods than active"))
	}
}

func (u *statusUpdate) criteria() {
	criteria := isTrue(u.job, batchv1.JobSuccessCriteriaMet)
	u.conditions(criteria && isTrue(u.job, batchv1.JobFailed), "cannot set SuccessCriteriaMet=True and Failed=true conditions")
	u.conditions(criteria && isTrue(u.job, batchv1.JobFailureTarget), "cannot set SuccessCriteriaMet=True and FailureTarget=true conditions")
	u.conditions(u.job.Spec.SuccessPolicy != nil && !criteria && isTrue(u.job, batchv1.JobComplete), "cannot set Complete=True for Job with SuccessPolicy unless SuccessCriteriaMet=True")
}

// transitions checks what may not go back once it has been.
func (u *statusUpdate) transitions() {
	s, o := &u.job.Status, &u.old.Status
	for _, t := range []batchv1.JobConditionType{batchv1.JobFailed, batchv1.JobComplete, batchv1.JobFailureTarget} {
		u.conditions(isTrue(u.old, t) && !isTrue(u.job, t), fmt.Sprintf("cannot disable the terminal %s=True condition", t))
	}
	if s.Failed < o.Failed {
		u.add(field.Invalid(u.fld.Child("failed"), s.Failed, "cannot decrease the failed counter"))
	}
	// An indexed job that is resized forgets the indexes beyond its end.
	resizable := isIndexed(&u.job.Spec) && ptr.Equal(u.job.Spec.Completions, u.job.Spec.Parallelism)
	if !resizable && s.Succeeded < o.Succeeded {
		u.add(field.Invalid(u.fld.Child("succeeded"), s.Succeeded, "cannot decrease the succeeded counter"))
	}
	if s.CompletionTime != nil && o.CompletionTime != nil && !ptr.Equal(s.CompletionTime, o.CompletionTime) {
		u.add(field.Invalid(u.fld.Child("completionTime"), s.CompletionTime, apivalidation.FieldImmutableErrorMsg))
	}
	resumes := isTrue(u.old, batchv1.JobSuspended) && hasCondition(u.job, batchv1.JobSuspended, corev1.ConditionFalse)
	if u.startChanged && !resumes && o.StartTime != nil && !ptr.Deref(u.job.Spec.Suspend, false) {
		u.add(field.Invalid(u.fld.Child("startTime"), s.StartTime, "field is immutable for unsuspended job once set"))
	}
	was, is := isTrue(u.old, batchv1.JobSuccessCriteriaMet), isTrue(u.job, batchv1.JobSuccessCriteriaMet)
	u.conditions(was && !is, "cannot disable the SuccessCriteriaMet=True condition")
	u.conditions(isTrue(u.old, batchv1.JobComplete) && !was && is, "cannot set SuccessCriteriaMet=True for Job already has Complete=true conditions")
}
