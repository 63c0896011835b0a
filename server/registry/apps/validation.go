package apps

import (
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	metav1validation "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/utils/ptr"

	"skiff/server/registry/untagged"
)

// internal renders a value in messages with Go's field names, as clients know it.
func internal(v any) any { return untagged.Value(v) }

func atMostReplicas(n, replicas int32, fld *field.Path) field.ErrorList {
	if n > replicas {
		return field.ErrorList{field.Invalid(fld, n, "cannot be greater than status.replicas")}
	}
	return nil
}

// notDecremented checks a counter that only grows, and that never becomes unset.
func notDecremented(n, old *int32, fld *field.Path) field.ErrorList {
	if old != nil && (n == nil || *n < *old) {
		return field.ErrorList{field.Invalid(fld, ptr.Deref(n, 0), "cannot be decremented")}
	}
	return nil
}

// validateSelector checks a required selector that must select something.
func validateSelector(s *metav1.LabelSelector, kind string, fld *field.Path) field.ErrorList {
	if s == nil {
		return field.ErrorList{field.Required(fld, "")}
	}
	errs := metav1validation.ValidateLabelSelector(s, metav1validation.LabelSelectorValidationOptions{}, fld)
	return append(errs, validateNotEmpty(s, kind, fld)...)
}

func validateNotEmpty(s *metav1.LabelSelector, kind string, fld *field.Path) field.ErrorList {
	if len(s.MatchLabels)+len(s.MatchExpressions) == 0 {
		return field.ErrorList{field.Invalid(fld, s, "empty selector is invalid for "+kind)}
	}
	return nil
}

// validateTemplateMatches checks that a controller's selector selects the pods
// that it makes from the template at fld.
func validateTemplateMatches(t *corev1.PodTemplateSpec, s labels.Selector, fld *field.Path) field.ErrorList {
	if s.Matches(labels.Set(t.Labels)) {
		return nil
	}
	return field.ErrorList{field.Invalid(fld.Child("metadata", "labels"), t.Labels, "`selector` does not match template `labels`")}
}

// validateLongRunning checks that the template's pods are to run forever.
func validateLongRunning(t *corev1.PodTemplateSpec, kind string, fld *field.Path) field.ErrorList {
	var errs field.ErrorList
	if t.Spec.RestartPolicy != corev1.RestartPolicyAlways {
		errs = append(errs, field.NotSupported(fld.Child("spec", "restartPolicy"), t.Spec.RestartPolicy, []corev1.RestartPolicy{corev1.RestartPolicyAlways}))
	}
	if t.Spec.ActiveDeadlineSeconds != nil {
		errs = append(errs, field.Forbidden(fld.Child("spec", "activeDeadlineSeconds"), "activeDeadlineSeconds in "+kind+" is not Supported"))
	}
	return errs
}
