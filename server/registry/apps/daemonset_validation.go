package apps

import (
	"context"

	appsv1 "k8s.io/api/apps/v1"
	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	metav1validation "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"skiff/server/registry/check"
	"skiff/server/registry/podtemplate"
)

func validateDaemonSet(_ context.Context, d *appsv1.DaemonSet) field.ErrorList {
	return validateDaemonSetSpec(&d.Spec, field.NewPath("spec"), podtemplate.OptionsForTemplate(&d.Spec.Template, nil))
}

func validateDaemonSetUpdate(_ context.Context, d, old *appsv1.DaemonSet) field.ErrorList {
	spec := field.NewPath("spec")
	opts := podtemplate.OptionsForTemplate(&d.Spec.Template, &old.Spec.Template)
	if metav1validation.LabelSelectorHasInvalidLabelValue(old.Spec.Selector) {
		opts.AllowInvalidLabelValueInSelector = true
	}
	errs := apivalidation.ValidateImmutableField(d.Spec.Selector, old.Spec.Selector, spec.Child("selector"))
	return append(errs, validateDaemonSetSpec(&d.Spec, spec, opts)...)
}

func validateDaemonSetSpec(spec *appsv1.DaemonSetSpec, fld *field.Path, opts podtemplate.Options) field.ErrorList {
	template := fld.Child("template")
	selectorOpts := metav1validation.LabelSelectorValidationOptions{AllowInvalidLabelValueInSelector: opts.AllowInvalidLabelValueInSelector}
	errs := metav1validation.ValidateLabelSelector(spec.Selector, selectorOpts, fld.Child("selector"))
	if selector, err := metav1.LabelSelectorAsSelector(spec.Selector); err == nil {
		errs = append(errs, validateTemplateMatches(&spec.Template, selector, template)...)
	}
	if spec.Selector != nil {
		errs = append(errs, validateNotEmpty(spec.Selector, "daemonset", fld.Child("selector"))...)
	}
	errs = append(errs, podtemplate.ValidateTemplate(&spec.Template, template, opts)...)
	errs = append(errs, validateLongRunning(&spec.Template, "DaemonSet", template)...)
	errs = append(errs, check.NonNegative(spec.MinReadySeconds, fld.Child("minReadySeconds"))...)
	errs = append(errs, validateDaemonSetStrategy(&spec.UpdateStrategy, fld.Child("updateStrategy"))...)
	return append(errs, check.NonNegativePtr(spec.RevisionHistoryLimit, fld.Child("revisionHistoryLimit"))...)
}

func validateDaemonSetStrategy(s *appsv1.DaemonSetUpdateStrategy, fld *field.Path) field.ErrorList {
	switch s.Type {
	case appsv1.OnDeleteDaemonSetStrategyType:
		return nil
	case appsv1.RollingUpdateDaemonSetStrategyType:
		if s.RollingUpdate == nil {
			return field.ErrorList{field.Required(fld.Child("rollingUpdate"), "")}
		}
		return validateRollingUpdateDaemonSet(s.RollingUpdate, fld.Child("rollingUpdate"))
	default:
		return field.ErrorList{field.NotSupported(fld, internal(s), []appsv1.DaemonSetUpdateStrategyType{appsv1.RollingUpdateDaemonSetStrategyType, appsv1.OnDeleteDaemonSetStrategyType})}
	}
}

// validateRollingUpdateDaemonSet checks, among others, that exactly one of the
// two numbers is not zero (KEP-1591).
func validateRollingUpdateDaemonSet(r *appsv1.RollingUpdateDaemonSet, fld *field.Path) field.ErrorList {
	unavailable, surge := fld.Child("maxUnavailable"), fld.Child("maxSurge")
	errs := check.CountOrPercent(r.MaxUnavailable, unavailable)
	errs = append(errs, check.CountOrPercent(r.MaxSurge, surge)...)
	errs = append(errs, check.AtMostAll(r.MaxUnavailable, unavailable)...)
	errs = append(errs, check.AtMostAll(r.MaxSurge, surge)...)
	switch hasUnavailable, hasSurge := check.Amount(r.MaxUnavailable) != 0, check.Amount(r.MaxSurge) != 0; {
	case hasUnavailable && hasSurge:
		errs = append(errs, field.Invalid(surge, r.MaxSurge, "may not be set when maxUnavailable is non-zero"))
	case !hasUnavailable && !hasSurge:
		errs = append(errs, field.Required(unavailable, "cannot be 0 when maxSurge is 0"))
	}
	return errs
}

func validateDaemonSetStatusUpdate(_ context.Context, d, old *appsv1.DaemonSet) field.ErrorList {
	s, fld := &d.Status, field.NewPath("status")
	errs := check.NonNegative(s.CurrentNumberScheduled, fld.Child("currentNumberScheduled"))
	errs = append(errs, check.NonNegative(s.NumberMisscheduled, fld.Child("numberMisscheduled"))...)
	errs = append(errs, check.NonNegative(s.DesiredNumberScheduled, fld.Child("desiredNumberScheduled"))...)
	errs = append(errs, check.NonNegative(s.NumberReady, fld.Child("numberReady"))...)
	errs = append(errs, apivalidation.ValidateNonnegativeField(s.ObservedGeneration, fld.Child("observedGeneration"))...)
	errs = append(errs, check.NonNegative(s.UpdatedNumberScheduled, fld.Child("updatedNumberScheduled"))...)
	errs = append(errs, check.NonNegative(s.NumberAvailable, fld.Child("numberAvailable"))...)
	errs = append(errs, check.NonNegative(s.NumberUnavailable, fld.Child("numberUnavailable"))...)
	errs = append(errs, check.NonNegativePtr(s.CollisionCount, fld.Child("collisionCount"))...)
	return append(errs, notDecremented(s.CollisionCount, old.Status.CollisionCount, fld.Child("collisionCount"))...)
}
