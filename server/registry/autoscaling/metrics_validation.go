package autoscaling

import (
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	utilvalidation "k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"skiff/server/registry/check"
	"skiff/server/registry/podtemplate"
)

// metricTypes are all types of metrics, sorted.
var metricTypes = []autoscalingv2.MetricSourceType{
	autoscalingv2.ContainerResourceMetricSourceType, autoscalingv2.ExternalMetricSourceType, autoscalingv2.ObjectMetricSourceType,
	autoscalingv2.PodsMetricSourceType, autoscalingv2.ResourceMetricSourceType,
}

func validateMetrics(metrics []autoscalingv2.MetricSpec, least *int32, object refOptions, fld *field.Path) field.ErrorList {
	var errs field.ErrorList
	outside := false
	for i := range metrics {
		errs = append(errs, validateMetric(&metrics[i], object, fld.Index(i))...)
		t := metrics[i].Type
		outside = outside || t == autoscalingv2.ObjectMetricSourceType || t == autoscalingv2.ExternalMetricSourceType
	}
	// Without pods there are no metrics of pods that could bring them back.
	if least != nil && *least == 0 && !outside {
		errs = append(errs, field.Forbidden(fld, "must specify at least one Object or External metric to support scaling to zero replicas"))
	}
	return errs
}

// source is one of a metric's sources, of which the type names one.
type source struct {
	t        autoscalingv2.MetricSourceType
	name     string
	set      bool
	validate func(fld *field.Path) field.ErrorList
}

func sources(m *autoscalingv2.MetricSpec, object refOptions) []source {
	return []source{
		{autoscalingv2.ObjectMetricSourceType, "object", m.Object != nil, func(fld *field.Path) field.ErrorList { return validateObject(m.Object, object, fld) }},
		{autoscalingv2.ExternalMetricSourceType, "external", m.External != nil, func(fld *field.Path) field.ErrorList { return validateExternal(m.External, fld) }},
		{autoscalingv2.PodsMetricSourceType, "pods", m.Pods != nil, func(fld *field.Path) field.ErrorList { return validatePods(m.Pods, fld) }},
		{autoscalingv2.ResourceMetricSourceType, "resource", m.Resource != nil, func(fld *field.Path) field.ErrorList { return validateResource(m.Resource, fld) }},
		{autoscalingv2.ContainerResourceMetricSourceType, "containerResource", m.ContainerResource != nil, func(fld *field.Path) field.ErrorList {
			return validateContainerResource(m.ContainerResource, fld)
		}},
	}
}

func validateMetric(m *autoscalingv2.MetricSpec, object refOptions, fld *field.Path) field.ErrorList {
	var errs field.ErrorList
	if m.Type == "" {
		errs = append(errs, field.Required(fld.Child("type"), "must specify a metric source type"))
	}
	errs = append(errs, check.Supported(m.Type, metricTypes, fld.Child("type"))...)
	set, known := 0, false
	list := sources(m, object)
	for _, s := range list {
		if s.set {
			if set++; set == 1 {
				errs = append(errs, s.validate(fld.Child(s.name))...)
			}
		}
		if s.t != m.Type {
			continue
		}
		if known = true; !s.set {
			errs = append(errs, field.Required(fld.Child(s.name), "must populate information for the given metric source"))
		}
	}
	if !known {
		errs = append(errs, field.NotSupported(fld.Child("type"), m.Type, metricTypes))
	}
	if set == 1 {
		return errs
	}
	for _, s := range list {
		if s.set && s.t != m.Type {
			errs = append(errs, field.Forbidden(fld.Child(s.name), "must populate the given metric source only"))
		}
	}
	return errs
}

func validateObject(s *autoscalingv2.ObjectMetricSource, ref refOptions, fld *field.Path) field.ErrorList {
	errs := validateRef(&s.DescribedObject, ref, fld.Child("describedObject"))
	errs = append(errs, validateIdentifier(&s.Metric, fld.Child("metric"))...)
	errs = append(errs, validateTarget(&s.Target, fld.Child("target"))...)
	if s.Target.Value == nil && s.Target.AverageValue == nil {
		errs = append(errs, field.Required(fld.Child("target", "averageValue"), "must set either a target value or averageValue"))
	}
	return errs
}

func validateExternal(s *autoscalingv2.ExternalMetricSource, fld *field.Path) field.ErrorList {
	errs := validateIdentifier(&s.Metric, fld.Child("metric"))
	errs = append(errs, validateTarget(&s.Target, fld.Child("target"))...)
	switch value, average := s.Target.Value != nil, s.Target.AverageValue != nil; {
	case !value && !average:
		errs = append(errs, field.Required(fld.Child("target", "averageValue"), "must set either a target value for metric or a per-pod target"))
	case value && average:
		errs = append(errs, field.Forbidden(fld.Child("target", "value"), "may not set both a target value for metric and a per-pod target"))
	}
	return errs
}

func validatePods(s *autoscalingv2.PodsMetricSource, fld *field.Path) field.ErrorList {
	errs := validateIdentifier(&s.Metric, fld.Child("metric"))
	errs = append(errs, validateTarget(&s.Target, fld.Child("target"))...)
	if s.Target.AverageValue == nil {
		errs = append(errs, field.Required(fld.Child("target", "averageValue"), "must specify a positive target averageValue"))
	}
	return errs
}

func validateResource(s *autoscalingv2.ResourceMetricSource, fld *field.Path) field.ErrorList {
	var errs field.ErrorList
	if s.Name == "" {
		errs = append(errs, field.Required(fld.Child("name"), "must specify a resource name"))
	}
	return append(errs, validateUsage(&s.Target, fld.Child("target"))...)
}

func validateContainerResource(s *autoscalingv2.ContainerResourceMetricSource, fld *field.Path) field.ErrorList {
	var errs field.ErrorList
	if s.Name == "" {
		errs = append(errs, field.Required(fld.Child("name"), "must specify a resource name"))
	} else {
		errs = append(errs, podtemplate.ContainerResourceName(s.Name, fld.Child("name"))...)
	}
	if s.Container == "" {
		errs = append(errs, field.Required(fld.Child("container"), "must specify a container"))
	} else {
		errs = append(errs, check.Messages(s.Container, utilvalidation.IsDNS1123Label(s.Container), fld.Child("container"))...)
	}
	return append(errs, validateUsage(&s.Target, fld.Child("target"))...)
}

// validateUsage checks a target that is an amount or a part of what is requested.
func validateUsage(t *autoscalingv2.MetricTarget, fld *field.Path) field.ErrorList {
	errs := validateTarget(t, fld)
	switch utilization, value := t.AverageUtilization != nil, t.AverageValue != nil; {
	case !utilization && !value:
		errs = append(errs, field.Required(fld.Child("averageUtilization"), "must set either a target raw value or a target utilization"))
	case utilization && value:
		errs = append(errs, field.Forbidden(fld.Child("averageValue"), "may not set both a target raw value and a target utilization"))
	}
	return errs
}

func validateTarget(t *autoscalingv2.MetricTarget, fld *field.Path) field.ErrorList {
	var errs field.ErrorList
	switch t.Type {
	case autoscalingv2.UtilizationMetricType, autoscalingv2.ValueMetricType, autoscalingv2.AverageValueMetricType:
	default:
		if t.Type == "" {
			errs = append(errs, field.Required(fld.Child("type"), "must specify a metric target type"))
		}
		errs = append(errs, field.Invalid(fld.Child("type"), t.Type, "must be either Utilization, Value, or AverageValue"))
	}
	if t.Value != nil && t.Value.Sign() != 1 {
		errs = append(errs, field.Invalid(fld.Child("value"), t.Value, "must be positive"))
	}
	if t.AverageValue != nil && t.AverageValue.Sign() != 1 {
		errs = append(errs, field.Invalid(fld.Child("averageValue"), t.AverageValue, "must be positive"))
	}
	if t.AverageUtilization != nil && *t.AverageUtilization < 1 {
		errs = append(errs, field.Invalid(fld.Child("averageUtilization"), t.AverageUtilization, "must be greater than 0"))
	}
	return errs
}

func validateIdentifier(id *autoscalingv2.MetricIdentifier, fld *field.Path) field.ErrorList {
	return requiredSegment(id.Name, "must specify a metric name", fld.Child("name"))
}
