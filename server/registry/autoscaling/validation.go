package autoscaling

import (
	"context"
	"errors"
	"fmt"

	autoscalingv2 "k8s.io/api/autoscaling/v2"
	"k8s.io/apimachinery/pkg/api/validate/content"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"skiff/server/registry/check"
	"skiff/server/registry/podtemplate"
)

const (
	maxPeriodSeconds        int32 = 1800
	maxStabilizationSeconds int32 = 3600
)

// refOptions say which API versions a reference may have.
type refOptions struct{ emptyGroup, anyVersion bool }

func validateHPA(_ context.Context, h *hpa) field.ErrorList {
	return validateSpec(&h.Spec, refOptions{emptyGroup: isController(h)}, refOptions{emptyGroup: true})
}

// isController tells whether the autoscaler's target is of the only kind that
// scales and is in the core group.
func isController(h *hpa) bool { return h.Spec.ScaleTargetRef.Kind == "ReplicationController" }

func validateHPAUpdate(_ context.Context, h, old *hpa) field.ErrorList {
	is, was := h.Spec.ScaleTargetRef, old.Spec.ScaleTargetRef
	target := refOptions{emptyGroup: isController(h), anyVersion: is.APIVersion == was.APIVersion && is.Kind == was.Kind}
	object := refOptions{emptyGroup: true}
	for i := range old.Spec.Metrics {
		m := &old.Spec.Metrics[i]
		if m.Type == autoscalingv2.ObjectMetricSourceType && m.Object != nil && checkVersion(&m.Object.DescribedObject, object) != nil {
			object.anyVersion = true
		}
	}
	return validateSpec(&h.Spec, target, object)
}

func validateHPAStatus(_ context.Context, h, _ *hpa) field.ErrorList {
	s, fld := &h.Status, field.NewPath("status")
	var errs field.ErrorList
	for i := range s.Conditions {
		errs = append(errs, check.NonNegativePtr(s.Conditions[i].ObservedGeneration, fld.Child("conditions").Index(i).Child("observedGeneration"))...)
	}
	errs = append(errs, check.NonNegative(s.CurrentReplicas, fld.Child("currentReplicas"))...)
	return append(errs, check.NonNegative(s.DesiredReplicas, fld.Child("desiredReplicas"))...)
}

func validateSpec(s *autoscalingv2.HorizontalPodAutoscalerSpec, target, object refOptions) field.ErrorList {
	fld := field.NewPath("spec")
	var errs field.ErrorList
	if n := s.MinReplicas; n != nil && *n < 0 {
		errs = append(errs, field.Invalid(fld.Child("minReplicas"), *n, "must be greater than or equal to 0"))
	}
	switch n := s.MaxReplicas; {
	case n == 0:
		errs = append(errs, field.Required(fld.Child("maxReplicas"), ""))
	case n < 0:
		errs = append(errs, field.Invalid(fld.Child("maxReplicas"), n, "must be greater than or equal to 1"))
	}
	if s.MinReplicas != nil && s.MaxReplicas < *s.MinReplicas {
		errs = append(errs, field.Invalid(fld.Child("maxReplicas"), s.MaxReplicas, "must be greater than or equal to `minReplicas`"))
	}
	errs = append(errs, validateRef(&s.ScaleTargetRef, target, fld.Child("scaleTargetRef"))...)
	errs = append(errs, validateMetrics(s.Metrics, s.MinReplicas, object, fld.Child("metrics"))...)
	if b := s.Behavior; b != nil {
		errs = append(errs, validateRules(b.ScaleUp, fld.Child("behavior", "scaleUp"))...)
		errs = append(errs, validateRules(b.ScaleDown, fld.Child("behavior", "scaleDown"))...)
	}
	return errs
}

func validateRef(ref *autoscalingv2.CrossVersionObjectReference, opts refOptions, fld *field.Path) field.ErrorList {
	errs := requiredSegment(ref.Kind, "", fld.Child("kind"))
	errs = append(errs, requiredSegment(ref.Name, "", fld.Child("name"))...)
	if err := checkVersion(ref, opts); err != nil {
		errs = append(errs, field.Invalid(fld.Child("apiVersion"), ref.APIVersion, err.Error()))
	}
	return errs
}

func requiredSegment(s, missing string, fld *field.Path) field.ErrorList {
	if s == "" {
		return field.ErrorList{field.Required(fld, missing)}
	}
	return check.Messages(s, content.IsPathSegmentName(s), fld)
}

func checkVersion(ref *autoscalingv2.CrossVersionObjectReference, opts refOptions) error {
	if opts.anyVersion {
		return nil
	}
	gv, err := schema.ParseGroupVersion(ref.APIVersion)
	if err == nil && gv.Group == "" && !opts.emptyGroup {
		return errors.New("apiVersion must specify API group")
	}
	return err
}

func validateRules(r *autoscalingv2.HPAScalingRules, fld *field.Path) field.ErrorList {
	if r == nil {
		return nil
	}
	var errs field.ErrorList
	if n := r.StabilizationWindowSeconds; n != nil && *n < 0 {
		errs = append(errs, field.Invalid(fld.Child("stabilizationWindowSeconds"), n, "must be greater than or equal to zero"))
	} else if n != nil && *n > maxStabilizationSeconds {
		errs = append(errs, field.Invalid(fld.Child("stabilizationWindowSeconds"), n, fmt.Sprintf("must be less than or equal to %v", maxStabilizationSeconds)))
	}
	if p := r.SelectPolicy; p != nil {
		errs = append(errs, check.Supported(*p, []autoscalingv2.ScalingPolicySelect{autoscalingv2.DisabledPolicySelect, autoscalingv2.MaxChangePolicySelect, autoscalingv2.MinChangePolicySelect}, fld.Child("selectPolicy"))...)
	}
	policies := fld.Child("policies")
	if len(r.Policies) == 0 {
		errs = append(errs, field.Required(policies, "must specify at least one Policy"))
	}
	for i := range r.Policies {
		errs = append(errs, validatePolicy(&r.Policies[i], policies.Index(i))...)
	}
	if r.Tolerance != nil {
		errs = append(errs, podtemplate.NonnegativeQuantity(*r.Tolerance, fld.Child("tolerance"))...)
	}
	return errs
}

func validatePolicy(p *autoscalingv2.HPAScalingPolicy, fld *field.Path) field.ErrorList {
	errs := check.Supported(p.Type, []autoscalingv2.HPAScalingPolicyType{autoscalingv2.PercentScalingPolicy, autoscalingv2.PodsScalingPolicy}, fld.Child("type"))
	if p.Value <= 0 {
		errs = append(errs, field.Invalid(fld.Child("value"), p.Value, "must be greater than zero"))
	}
	if p.PeriodSeconds <= 0 {
		errs = append(errs, field.Invalid(fld.Child("periodSeconds"), p.PeriodSeconds, "must be greater than zero"))
	}
	if p.PeriodSeconds > maxPeriodSeconds {
		errs = append(errs, field.Invalid(fld.Child("periodSeconds"), p.PeriodSeconds, fmt.Sprintf("must be less than or equal to %v", maxPeriodSeconds)))
	}
	return errs
}
