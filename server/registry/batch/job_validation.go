package batch

import (
	"context"
	"fmt"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	metav1validation "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/labels"
	utilvalidation "k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/utils/ptr"

	"skiff/server/registry/check"
	"skiff/server/registry/podtemplate"
)

// Limits that keep the lists of completed and failed indexes in a job's status
// small enough to be stored (KEP-3850).
const (
	maxIndexedParallelism         = 100_000
	maxFailedIndexes              = 100_000
	highCompletions               = 100_000
	highCompletionsParallelism    = 10_000
	highCompletionsFailedIndexes  = 10_000
	maxManagedByLength            = 63
	maxFailurePolicyRules         = 20
	maxFailurePolicyExitCodes     = 255
	maxFailurePolicyPodConditions = 20
	maxSuccessPolicyRules         = 20
	maxSuccessPolicyIndexesLength = 64 * 1024
)

func validateJob(_ context.Context, j *batchv1.Job) field.ErrorList {
	errs := validateGeneratedSelector(j)
	errs = append(errs, validateJobSpec(&j.Spec, field.NewPath("spec"), podtemplate.OptionsForTemplate(&j.Spec.Template, nil))...)
	return append(errs, validateNameFitsIndexes(j)...)
}

// validateGeneratedSelector checks that the client has not set other values for
// the labels that generateSelector makes.
func validateGeneratedSelector(j *batchv1.Job) field.ErrorList {
	if ptr.Deref(j.Spec.ManualSelector, false) || j.Spec.Selector == nil {
		return nil
	}
	var errs field.ErrorList
	if j.UID == "" {
		errs = append(errs, field.Required(field.NewPath("metadata", "uid"), ""))
	}
	fld := field.NewPath("spec", "template", "metadata", "labels")
	expected := labels.Set{
		legacyControllerUIDLabel:   string(j.UID),
		legacyJobNameLabel:         j.Name,
		batchv1.ControllerUidLabel: string(j.UID),
		batchv1.JobNameLabel:       j.Name,
	}
	for _, key := range []string{legacyControllerUIDLabel, legacyJobNameLabel, batchv1.ControllerUidLabel, batchv1.JobNameLabel} {
		errs = append(errs, validateHasLabel(j.Spec.Template.Labels, key, expected[key], fld)...)
	}
	if selector, err := metav1.LabelSelectorAsSelector(j.Spec.Selector); err == nil && !selector.Matches(expected) {
		errs = append(errs, field.Invalid(field.NewPath("spec", "selector"), j.Spec.Selector, "`selector` not auto-generated"))
	}
	return errs
}

func validateHasLabel(l map[string]string, key, expected string, fld *field.Path) field.ErrorList {
	switch actual, ok := l[key]; {
	case !ok:
		return field.ErrorList{field.Required(fld.Key(key), fmt.Sprintf("must be '%s'", expected))}
	case actual != expected:
		return field.ErrorList{field.Invalid(fld.Key(key), l, fmt.Sprintf("must be '%s'", expected))}
	}
	return nil
}

// validateNameFitsIndexes checks that the pods of an indexed job, whose host names
// end in their index, can have host names.
func validateNameFitsIndexes(j *batchv1.Job) field.ErrorList {
	if !isIndexed(&j.Spec) || ptr.Deref(j.Spec.Completions, 0) <= 0 {
		return nil
	}
	last := fmt.Sprintf("%s-%d", j.Name, *j.Spec.Completions-1)
	if len(utilvalidation.IsDNS1123Label(last)) == 0 {
		return nil
	}
	return field.ErrorList{field.Invalid(field.NewPath("metadata", "name"), j.Name, "will not able to create pod with invalid DNS label: "+last)}
}

func isIndexed(spec *batchv1.JobSpec) bool {
	return ptr.Deref(spec.CompletionMode, batchv1.NonIndexedCompletion) == batchv1.IndexedCompletion
}

// validateJobSpec checks a job's spec, including its selector.
func validateJobSpec(spec *batchv1.JobSpec, fld *field.Path, opts podtemplate.Options) field.ErrorList {
	errs := validateJobTemplateSpec(spec, fld, opts)
	if spec.Selector == nil {
		errs = append(errs, field.Required(fld.Child("selector"), ""))
	} else {
		selectorOpts := metav1validation.LabelSelectorValidationOptions{AllowInvalidLabelValueInSelector: opts.AllowInvalidLabelValueInSelector}
		errs = append(errs, metav1validation.ValidateLabelSelector(spec.Selector, selectorOpts, fld.Child("selector"))...)
	}
	if selector, err := metav1.LabelSelectorAsSelector(spec.Selector); err == nil && !selector.Matches(labels.Set(spec.Template.Labels)) {
		errs = append(errs, field.Invalid(fld.Child("template", "metadata", "labels"), spec.Template.Labels, "`selector` does not match template `labels`"))
	}
	return errs
}

// validateJobTemplateSpec checks what jobs and the job templates of cron jobs have
// in common.
func validateJobTemplateSpec(spec *batchv1.JobSpec, fld *field.Path, opts podtemplate.Options) field.ErrorList {
	errs := check.NonNegativePtr(spec.Parallelism, fld.Child("parallelism"))
	errs = append(errs, check.NonNegativePtr(spec.Completions, fld.Child("completions"))...)
	errs = append(errs, check.NonNegativePtr(spec.ActiveDeadlineSeconds, fld.Child("activeDeadlineSeconds"))...)
	errs = append(errs, check.NonNegativePtr(spec.BackoffLimit, fld.Child("backoffLimit"))...)
	errs = append(errs, check.NonNegativePtr(spec.TTLSecondsAfterFinished, fld.Child("ttlSecondsAfterFinished"))...)
	errs = append(errs, check.NonNegativePtr(spec.BackoffLimitPerIndex, fld.Child("backoffLimitPerIndex"))...)
	errs = append(errs, check.NonNegativePtr(spec.MaxFailedIndexes, fld.Child("maxFailedIndexes"))...)
	if spec.MaxFailedIndexes != nil && spec.BackoffLimitPerIndex == nil {
		errs = append(errs, field.Required(fld.Child("backoffLimitPerIndex"), "when maxFailedIndexes is specified"))
	}
	if spec.ManagedBy != nil {
		errs = append(errs, utilvalidation.IsDomainPrefixedPath(fld.Child("managedBy"), *spec.ManagedBy)...)
		if len(*spec.ManagedBy) > maxManagedByLength {
			errs = append(errs, field.TooLong(fld.Child("managedBy"), "", maxManagedByLength))
		}
	}
	errs = append(errs, validateCompletionMode(spec, fld)...)
	if spec.PodFailurePolicy != nil {
		errs = append(errs, validateFailurePolicy(spec, fld.Child("podFailurePolicy"))...)
	}
	if spec.SuccessPolicy != nil {
		errs = append(errs, validateSuccessPolicy(spec, fld.Child("successPolicy"))...)
	}
	errs = append(errs, validateReplacementPolicy(spec, fld.Child("podReplacementPolicy"))...)
	errs = append(errs, podtemplate.ValidateTemplate(&spec.Template, fld.Child("template"), opts)...)
	return append(errs, validateRestartPolicy(spec, fld.Child("template", "spec", "restartPolicy"))...)
}

func validateCompletionMode(spec *batchv1.JobSpec, fld *field.Path) field.ErrorList {
	var errs field.ErrorList
	if m := spec.CompletionMode; m != nil && *m != batchv1.NonIndexedCompletion && *m != batchv1.IndexedCompletion {
		errs = append(errs, field.NotSupported(fld.Child("completionMode"), m, []batchv1.CompletionMode{batchv1.NonIndexedCompletion, batchv1.IndexedCompletion}))
	}
	switch ptr.Deref(spec.CompletionMode, batchv1.NonIndexedCompletion) {
	case batchv1.IndexedCompletion:
		errs = append(errs, validateIndexed(spec, fld)...)
	case batchv1.NonIndexedCompletion:
		if n := spec.BackoffLimitPerIndex; n != nil {
			errs = append(errs, field.Invalid(fld.Child("backoffLimitPerIndex"), *n, "requires indexed completion mode"))
		}
		if n := spec.MaxFailedIndexes; n != nil {
			errs = append(errs, field.Invalid(fld.Child("maxFailedIndexes"), *n, "requires indexed completion mode"))
		}
	}
	return errs
}

func validateIndexed(spec *batchv1.JobSpec, fld *field.Path) field.ErrorList {
	var errs field.ErrorList
	parallelism, failed := fld.Child("parallelism"), fld.Child("maxFailedIndexes")
	if spec.Completions == nil {
		errs = append(errs, field.Required(fld.Child("completions"), fmt.Sprintf("when completion mode is %s", batchv1.IndexedCompletion)))
	}
	if n := spec.Parallelism; n != nil && *n > maxIndexedParallelism {
		errs = append(errs, field.Invalid(parallelism, *n, fmt.Sprintf("must be less than or equal to %d when completion mode is %s", maxIndexedParallelism, batchv1.IndexedCompletion)))
	}
	if n := spec.MaxFailedIndexes; n != nil && spec.Completions != nil && *n > *spec.Completions {
		errs = append(errs, field.Invalid(failed, *n, "must be less than or equal to completions"))
	}
	if n := spec.MaxFailedIndexes; n != nil && *n > maxFailedIndexes {
		errs = append(errs, field.Invalid(failed, *n, fmt.Sprintf("must be less than or equal to %d", maxFailedIndexes)))
	}
	if ptr.Deref(spec.Completions, 0) <= highCompletions || spec.BackoffLimitPerIndex == nil {
		return errs
	}
	const limited = "must be less than or equal to %d when completions are above %d and used with backoff limit per index"
	if spec.MaxFailedIndexes == nil {
		errs = append(errs, field.Required(failed, fmt.Sprintf("must be specified when completions is above %d", highCompletions)))
	}
	if n := spec.Parallelism; n != nil && *n > highCompletionsParallelism {
		errs = append(errs, field.Invalid(parallelism, *n, fmt.Sprintf(limited, highCompletionsParallelism, highCompletions)))
	}
	if n := spec.MaxFailedIndexes; n != nil && *n > highCompletionsFailedIndexes {
		errs = append(errs, field.Invalid(failed, *n, fmt.Sprintf(limited, highCompletionsFailedIndexes, highCompletions)))
	}
	return errs
}

func validateReplacementPolicy(spec *batchv1.JobSpec, fld *field.Path) field.ErrorList {
	if spec.PodReplacementPolicy == nil {
		return nil
	}
	supported := []batchv1.PodReplacementPolicy{batchv1.Failed, batchv1.TerminatingOrFailed}
	if spec.PodFailurePolicy != nil {
		// A pod that terminates may still fail in a way that the policy ignores.
		supported = supported[:1]
	}
	for _, p := range supported {
		if *spec.PodReplacementPolicy == p {
			return nil
		}
	}
	return field.ErrorList{field.NotSupported(fld, *spec.PodReplacementPolicy, supported)}
}

func validateRestartPolicy(spec *batchv1.JobSpec, fld *field.Path) field.ErrorList {
	switch policy := spec.Template.Spec.RestartPolicy; policy {
	case "", corev1.RestartPolicyAlways:
		// Left out, it has been defaulted to Always.
		return field.ErrorList{field.Required(fld, fmt.Sprintf("valid values: %q, %q", corev1.RestartPolicyOnFailure, corev1.RestartPolicyNever))}
	case corev1.RestartPolicyNever:
		return nil
	case corev1.RestartPolicyOnFailure:
		if spec.PodFailurePolicy != nil {
			return field.ErrorList{field.Invalid(fld, policy, fmt.Sprintf("only %q is supported when podFailurePolicy is specified", corev1.RestartPolicyNever))}
		}
		return nil
	default:
		return field.ErrorList{field.NotSupported(fld, policy, []corev1.RestartPolicy{corev1.RestartPolicyOnFailure, corev1.RestartPolicyNever})}
	}
}
