package batch

import (
	"context"
	"fmt"
	"maps"
	"math"
	"strconv"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/util/duration"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/utils/ptr"

	"skiff/server/registry"
	"skiff/server/registry/podtemplate"
	"skiff/server/registry/table"
)

// The labels of a job's pods from before labels had prefixes.
const (
	legacyJobNameLabel       = "job-name"
	legacyControllerUIDLabel = "controller-uid"
)

// Jobs returns the resource jobs.
func Jobs() *registry.Resource {
	return &registry.Resource{
		Group: Group, Plural: "jobs", Singular: "job", Kind: "Job", Namespaced: true,
		Categories: []string{"all"},
		Versions:   []registry.Version{{Name: "v1", New: registry.New[batchv1.Job](), NewList: registry.New[batchv1.JobList]()}},
		Rules: registry.Rules{
			Default:                  registry.Default(defaultJob),
			PrepareCreate:            registry.Prepare(prepareJob),
			PrepareUpdate:            registry.PrepareUpdate(prepareJobUpdate),
			Generation:               true,
			Validate:                 registry.Validate(validateJob),
			ValidateUpdate:           registry.ValidateUpdate(validateJobUpdate),
			Warnings:                 jobWarnings,
			AllowUnconditionalUpdate: true,
			// Clients that name no policy expect pods to survive, as they did
			// when jobs were new.
			DefaultPropagation: metav1.DeletePropagationOrphan,
		},
		Fields: func(o registry.Object) fields.Set {
			return fields.Set{"status.successful": strconv.Itoa(int(o.(*batchv1.Job).Status.Succeeded))}
		},
		FieldNames: []string{"status.successful"},
		Columns:    jobColumns(),
		Cells:      registry.Cells(jobCells),
		Subresources: []registry.Subresource{{Name: "status", Update: &registry.Rules{
			Default:                  registry.Default(defaultJob),
			PrepareUpdate:            registry.PrepareUpdate(prepareJobStatus),
			ValidateUpdate:           registry.ValidateUpdate(validateJobStatusUpdate),
			AllowUnconditionalUpdate: true,
		}}},
	}
}

func defaultJob(j *batchv1.Job) {
	podtemplate.DefaultTemplate(&j.Spec.Template)
	if j.Spec.Completions == nil && j.Spec.Parallelism == nil {
		setDefault(&j.Spec.Completions, 1)
	}
	setDefault(&j.Spec.Parallelism, 1)
	backoff := int32(6)
	if j.Spec.BackoffLimitPerIndex != nil {
		backoff = math.MaxInt32
	}
	setDefault(&j.Spec.BackoffLimit, backoff)
	setDefault(&j.Spec.CompletionMode, batchv1.NonIndexedCompletion)
	setDefault(&j.Spec.Suspend, false)
	replacement := batchv1.TerminatingOrFailed
	if j.Spec.PodFailurePolicy != nil {
		replacement = batchv1.Failed
	}
	setDefault(&j.Spec.PodReplacementPolicy, replacement)
	setDefault(&j.Spec.ManualSelector, false)
	defaultFailurePolicy(j.Spec.PodFailurePolicy)
}

func defaultFailurePolicy(p *batchv1.PodFailurePolicy) {
	if p == nil {
		return
	}
	for i := range p.Rules {
		for k := range p.Rules[i].OnPodConditions {
			if c := &p.Rules[i].OnPodConditions[k]; c.Status == "" {
				c.Status = corev1.ConditionTrue
			}
		}
	}
}

func prepareJob(_ context.Context, j *batchv1.Job) {
	if !ptr.Deref(j.Spec.ManualSelector, false) {
		generateSelector(j)
	}
	defaultLabels(j)
	j.Status = batchv1.JobStatus{}
	dropDisabled(&j.Spec, nil)
}

// defaultLabels gives a job without labels those of its pods, with the ones that
// are made for it: hence not before these are.
func defaultLabels(j *batchv1.Job) {
	if len(j.Labels) == 0 {
		j.Labels = maps.Clone(j.Spec.Template.Labels)
	}
}

func prepareJobUpdate(_ context.Context, j, old *batchv1.Job) {
	defaultLabels(j)
	j.Status = old.Status
	dropDisabled(&j.Spec, &old.Spec)
}

func prepareJobStatus(_ context.Context, j, old *batchv1.Job) {
	defaultLabels(j)
	j.Spec = old.Spec
	defaultLabels(j)
}

// dropDisabled removes fields of features that are off, as far as old (nil on
// create) does not use them.
func dropDisabled(spec, old *batchv1.JobSpec) {
	var template *corev1.PodTemplateSpec
	if old != nil {
		template = &old.Template
	}
	if old == nil || old.Scheduling == nil {
		spec.Scheduling = nil
	}
	podtemplate.DropDisabledTemplate(&spec.Template, template)
}

// generateSelector makes the job select its own pods by its uid. Labels that the
// client set stay; validation refuses wrong ones.
func generateSelector(j *batchv1.Job) {
	template := &j.Spec.Template.ObjectMeta
	if template.Labels == nil {
		template.Labels = map[string]string{}
	}
	for _, l := range []string{legacyJobNameLabel, batchv1.JobNameLabel} {
		setMissing(template.Labels, l, j.Name)
	}
	for _, l := range []string{legacyControllerUIDLabel, batchv1.ControllerUidLabel} {
		setMissing(template.Labels, l, string(j.UID))
	}
	if j.Spec.Selector == nil {
		j.Spec.Selector = &metav1.LabelSelector{}
	}
	if j.Spec.Selector.MatchLabels == nil {
		j.Spec.Selector.MatchLabels = map[string]string{}
	}
	setMissing(j.Spec.Selector.MatchLabels, batchv1.ControllerUidLabel, string(j.UID))
}

func setMissing(m map[string]string, key, value string) {
	if _, ok := m[key]; !ok {
		m[key] = value
	}
}

func jobWarnings(_ context.Context, obj, old registry.Object) []string {
	j := obj.(*batchv1.Job)
	var warnings []string
	if old == nil {
		warnings = podtemplate.NameWarnings(j.Name)
	} else if j.Generation == old.GetGeneration() {
		return nil
	}
	return append(warnings, jobSpecWarnings(&j.Spec, field.NewPath("spec"))...)
}

func jobSpecWarnings(spec *batchv1.JobSpec, fld *field.Path) []string {
	var warnings []string
	if ptr.Deref(spec.CompletionMode, "") == batchv1.IndexedCompletion &&
		ptr.Deref(spec.Completions, 0) > highCompletions && ptr.Deref(spec.Parallelism, 0) > highCompletionsParallelism {
		warnings = []string{fld.String() + ": In Indexed Jobs with a number of completions higher than 10^5 and a parallelism higher than 10^4, Kubernetes might not be able to track completedIndexes when a big number of indexes fail"}
	}
	return append(warnings, podtemplate.TemplateWarnings(&spec.Template, fld.Child("template"))...)
}

func jobColumns() []table.Column {
	return append([]table.Column{
		table.Name(),
		table.String("Status", "Status of the job."),
		table.String("Completions", table.Doc(batchv1.JobStatus{}, "succeeded")),
		table.String("Duration", "Time required to complete the job."),
		table.Age(),
	}, append(table.ContainersWide(), table.Wide("Selector", table.Doc(batchv1.JobSpec{}, "selector")))...)
}

func jobCells(j *batchv1.Job) []any {
	names, images := table.Containers(j.Spec.Template.Spec.Containers)
	return []any{
		j.Name, jobState(j), completions(j), jobDuration(j), table.Since(j.CreationTimestamp),
		names, images, metav1.FormatLabelSelector(j.Spec.Selector),
	}
}

func jobState(j *batchv1.Job) string {
	switch {
	case isTrue(j, batchv1.JobComplete):
		return "Complete"
	case isTrue(j, batchv1.JobFailed):
		return "Failed"
	case j.DeletionTimestamp != nil:
		return "Terminating"
	case isTrue(j, batchv1.JobSuspended):
		return "Suspended"
	case isTrue(j, batchv1.JobFailureTarget):
		return "FailureTarget"
	case isTrue(j, batchv1.JobSuccessCriteriaMet):
		return "SuccessCriteriaMet"
	default:
		return "Running"
	}
}

func completions(j *batchv1.Job) string {
	switch parallelism := ptr.Deref(j.Spec.Parallelism, 0); {
	case j.Spec.Completions != nil:
		return fmt.Sprintf("%d/%d", j.Status.Succeeded, *j.Spec.Completions)
	case parallelism > 1:
		return fmt.Sprintf("%d/1 of %d", j.Status.Succeeded, parallelism)
	default:
		return fmt.Sprintf("%d/1", j.Status.Succeeded)
	}
}

func jobDuration(j *batchv1.Job) string {
	switch s := &j.Status; {
	case s.StartTime == nil:
		return ""
	case s.CompletionTime == nil:
		return duration.HumanDuration(time.Since(s.StartTime.Time))
	default:
		return duration.HumanDuration(s.CompletionTime.Sub(s.StartTime.Time))
	}
}

// isTrue tells whether the job has the condition with status True.
func isTrue(j *batchv1.Job, t batchv1.JobConditionType) bool {
	return hasCondition(j, t, corev1.ConditionTrue)
}

func hasCondition(j *batchv1.Job, t batchv1.JobConditionType, status corev1.ConditionStatus) bool {
	for i := range j.Status.Conditions {
		if c := &j.Status.Conditions[i]; c.Type == t && c.Status == status {
			return true
		}
	}
	return false
}
