package batch

import (
	"context"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	metav1validation "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/utils/ptr"

	"skiff/server/registry/check"
	"skiff/server/registry/podtemplate"
)

func validateJobUpdate(_ context.Context, j, old *batchv1.Job) field.ErrorList {
	opts := podtemplate.OptionsForTemplate(&j.Spec.Template, &old.Spec.Template)
	if metav1validation.LabelSelectorHasInvalidLabelValue(old.Spec.Selector) {
		opts.AllowInvalidLabelValueInSelector = true
	}
	spec, fld := &j.Spec, field.NewPath("spec")
	errs := validateJobSpec(spec, fld, opts)
	errs = append(errs, validateCompletionsUpdate(spec, &old.Spec, fld.Child("completions"))...)
	errs = append(errs, apivalidation.ValidateImmutableField(spec.Selector, old.Spec.Selector, fld.Child("selector"))...)
	errs = append(errs, validateTemplateUpdate(j, old, fld)...)
	errs = append(errs, apivalidation.ValidateImmutableField(spec.CompletionMode, old.Spec.CompletionMode, fld.Child("completionMode"))...)
	errs = append(errs, check.Immutable(spec.PodFailurePolicy, old.Spec.PodFailurePolicy, fld.Child("podFailurePolicy"))...)
	errs = append(errs, apivalidation.ValidateImmutableField(spec.BackoffLimitPerIndex, old.Spec.BackoffLimitPerIndex, fld.Child("backoffLimitPerIndex"))...)
	errs = append(errs, apivalidation.ValidateImmutableField(spec.ManagedBy, old.Spec.ManagedBy, fld.Child("managedBy"))...)
	errs = append(errs, check.Immutable(spec.SuccessPolicy, old.Spec.SuccessPolicy, fld.Child("successPolicy"))...)
	return append(errs, validateNameFitsIndexes(j)...)
}

// validateCompletionsUpdate lets indexed jobs be resized, where completions and
// parallelism go together (KEP-3715).
func validateCompletionsUpdate(spec, old *batchv1.JobSpec, fld *field.Path) field.ErrorList {
	if !isIndexed(spec) {
		return apivalidation.ValidateImmutableField(spec.Completions, old.Completions, fld)
	}
	if ptr.Equal(spec.Completions, old.Completions) || spec.Completions == nil {
		return nil
	}
	if *spec.Completions != ptr.Deref(spec.Parallelism, 0) {
		return field.ErrorList{field.Invalid(fld, spec.Completions, "can only be modified in tandem with "+fld.Root().Child("parallelism").String())}
	}
	return nil
}

// templateIsMutable tells whether no pod of the job depends on its template: it is
// suspended, has no active pods, and either never started or has been noticed to
// be suspended (KEP-5440).
func templateIsMutable(j *batchv1.Job) bool {
	return ptr.Deref(j.Spec.Suspend, false) && j.Status.Active == 0 &&
		(j.Status.StartTime == nil || isTrue(j, batchv1.JobSuspended))
}

// validateTemplateUpdate lets where and with what the pods run be changed while
// templateIsMutable, so that queueing systems can place a job before it starts.
func validateTemplateUpdate(j, oldJob *batchv1.Job, fld *field.Path) field.ErrorList {
	t, old := &j.Spec.Template, &oldJob.Spec.Template
	if !templateIsMutable(oldJob) {
		return podtemplate.ValidateTemplateUpdate(t, old, fld.Child("template"))
	}
	old = old.DeepCopy()
	adoptScheduling(old, t)
	adoptResources(old.Spec.Containers, t.Spec.Containers)
	adoptResources(old.Spec.InitContainers, t.Spec.InitContainers)
	return check.Immutable(t.Spec, old.Spec, fld.Child("template.spec"))
}

// adoptScheduling sets in old what t may change of the pods' placement.
func adoptScheduling(old, t *corev1.PodTemplateSpec) {
	switch a, b := old.Spec.Affinity, t.Spec.Affinity; {
	case b == nil && a != nil:
		a.NodeAffinity = nil
		if *a == (corev1.Affinity{}) {
			old.Spec.Affinity = nil
		}
	case b != nil && a == nil:
		old.Spec.Affinity = &corev1.Affinity{NodeAffinity: b.NodeAffinity}
	case b != nil && a != nil:
		a.NodeAffinity = b.NodeAffinity
	}
	old.Spec.NodeSelector = t.Spec.NodeSelector
	old.Spec.Tolerations = t.Spec.Tolerations
	old.Spec.SchedulingGates = t.Spec.SchedulingGates
	old.Annotations, old.Labels = t.Annotations, t.Labels
}

func adoptResources(old, containers []corev1.Container) {
	if len(old) != len(containers) {
		return
	}
	for i := range old {
		if old[i].Name == containers[i].Name {
			old[i].Resources = containers[i].Resources
		}
	}
}
