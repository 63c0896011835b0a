package apps

import (
	"context"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/utils/ptr"

	"skiff/server/registry/check"
	"skiff/server/registry/podtemplate"
)

func validateDeployment(_ context.Context, d *appsv1.Deployment) field.ErrorList {
	return validateDeploymentSpec(&d.Spec, field.NewPath("spec"), podtemplate.OptionsForTemplate(&d.Spec.Template, nil))
}

func validateDeploymentUpdate(_ context.Context, d, old *appsv1.Deployment) field.ErrorList {
	spec := field.NewPath("spec")
	errs := validateDeploymentSpec(&d.Spec, spec, podtemplate.OptionsForTemplate(&d.Spec.Template, &old.Spec.Template))
	return append(errs, apivalidation.ValidateImmutableField(d.Spec.Selector, old.Spec.Selector, spec.Child("selector"))...)
}

func validateDeploymentSpec(spec *appsv1.DeploymentSpec, fld *field.Path, opts podtemplate.Options) field.ErrorList {
	errs := check.NonNegative(ptr.Deref(spec.Replicas, 0), fld.Child("replicas"))
	errs = append(errs, validateSelector(spec.Selector, "deployment", fld.Child("selector"))...)
	errs = append(errs, validateReplicaTemplate(&spec.Template, spec.Selector, fld, opts)...)
	errs = append(errs, validateDeploymentStrategy(&spec.Strategy, fld.Child("strategy"))...)
	errs = append(errs, check.NonNegative(spec.MinReadySeconds, fld.Child("minReadySeconds"))...)
	errs = append(errs, check.NonNegativePtr(spec.RevisionHistoryLimit, fld.Child("revisionHistoryLimit"))...)
	if deadline := spec.ProgressDeadlineSeconds; deadline != nil {
		errs = append(errs, check.NonNegative(*deadline, fld.Child("progressDeadlineSeconds"))...)
		if *deadline <= spec.MinReadySeconds {
			errs = append(errs, field.Invalid(fld.Child("progressDeadlineSeconds"), deadline, "must be greater than minReadySeconds"))
		}
	}
	return errs
}

// validateReplicaTemplate checks the template of a deployment or replica set
// whose spec is at fld, together with the selector that must match it.
func validateReplicaTemplate(t *corev1.PodTemplateSpec, selector *metav1.LabelSelector, fld *field.Path, opts podtemplate.Options) field.ErrorList {
	s, err := metav1.LabelSelectorAsSelector(selector)
	if err != nil {
		return field.ErrorList{field.Invalid(fld.Child("selector"), selector, "invalid label selector")}
	}
	template := fld.Child("template")
	var errs field.ErrorList
	if !s.Empty() {
		errs = append(errs, validateTemplateMatches(t, s, template)...)
	}
	errs = append(errs, podtemplate.ValidateTemplate(t, template, opts)...)
	return append(errs, validateLongRunning(t, "ReplicaSet", template)...)
}

func validateDeploymentStrategy(s *appsv1.DeploymentStrategy, fld *field.Path) field.ErrorList {
	switch s.Type {
	case appsv1.RecreateDeploymentStrategyType:
		if s.RollingUpdate != nil {
			return field.ErrorList{field.Forbidden(fld.Child("rollingUpdate"), "may not be specified when strategy `type` is 'Recreate'")}
		}
		return nil
	case appsv1.RollingUpdateDeploymentStrategyType:
		if s.RollingUpdate == nil {
			return field.ErrorList{field.Required(fld.Child("rollingUpdate"), "this should be defaulted and never be nil")}
		}
		return validateRollingUpdateDeployment(s.RollingUpdate, fld.Child("rollingUpdate"))
	default:
		return field.ErrorList{field.NotSupported(fld, internal(s), []appsv1.DeploymentStrategyType{appsv1.RecreateDeploymentStrategyType, appsv1.RollingUpdateDeploymentStrategyType})}
	}
}

func validateRollingUpdateDeployment(r *appsv1.RollingUpdateDeployment, fld *field.Path) field.ErrorList {
	unavailable, surge := fld.Child("maxUnavailable"), fld.Child("maxSurge")
	errs := check.CountOrPercent(r.MaxUnavailable, unavailable)
	errs = append(errs, check.CountOrPercent(r.MaxSurge, surge)...)
	if check.Amount(r.MaxUnavailable) == 0 && check.Amount(r.MaxSurge) == 0 {
		errs = append(errs, field.Invalid(unavailable, r.MaxUnavailable, "may not be 0 when `maxSurge` is 0"))
	}
	return append(errs, check.AtMostAll(r.MaxUnavailable, unavailable)...)
}

func validateDeploymentStatusUpdate(_ context.Context, d, old *appsv1.Deployment) field.ErrorList {
	s, fld := &d.Status, field.NewPath("status")
	errs := apivalidation.ValidateNonnegativeField(s.ObservedGeneration, fld.Child("observedGeneration"))
	errs = append(errs, check.NonNegative(s.Replicas, fld.Child("replicas"))...)
	errs = append(errs, check.NonNegative(s.UpdatedReplicas, fld.Child("updatedReplicas"))...)
	errs = append(errs, check.NonNegative(s.ReadyReplicas, fld.Child("readyReplicas"))...)
	errs = append(errs, check.NonNegative(s.AvailableReplicas, fld.Child("availableReplicas"))...)
	errs = append(errs, check.NonNegative(s.UnavailableReplicas, fld.Child("unavailableReplicas"))...)
	errs = append(errs, check.NonNegativePtr(s.TerminatingReplicas, fld.Child("terminatingReplicas"))...)
	errs = append(errs, check.NonNegativePtr(s.CollisionCount, fld.Child("collisionCount"))...)
	errs = append(errs, atMostReplicas(s.UpdatedReplicas, s.Replicas, fld.Child("updatedReplicas"))...)
	errs = append(errs, atMostReplicas(s.ReadyReplicas, s.Replicas, fld.Child("readyReplicas"))...)
	errs = append(errs, atMostReplicas(s.AvailableReplicas, s.Replicas, fld.Child("availableReplicas"))...)
	if s.AvailableReplicas > s.ReadyReplicas {
		errs = append(errs, field.Invalid(fld.Child("availableReplicas"), s.AvailableReplicas, "cannot be greater than readyReplicas"))
	}
	return append(errs, notDecremented(s.CollisionCount, old.Status.CollisionCount, fld.Child("collisionCount"))...)
}
