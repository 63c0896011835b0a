package resource

import (
	"context"

	resourcev1 "k8s.io/api/resource/v1"
	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	metav1validation "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	utilvalidation "k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"skiff/server/registry/check"
	"skiff/server/registry/podtemplate"
)

const (
	maxRequests = 32
	maxDevices  = 128
	maxReserved = 256
)

func validateClass(_ context.Context, c *resourcev1.DeviceClass) field.ErrorList {
	return validateSelectors(c.Spec.Selectors, field.NewPath("spec", "selectors"))
}

func validateClassUpdate(ctx context.Context, c, _ *resourcev1.DeviceClass) field.ErrorList {
	return validateClass(ctx, c)
}

func validateSelectors(selectors []resourcev1.DeviceSelector, fld *field.Path) field.ErrorList {
	var errs field.ErrorList
	if len(selectors) > maxRequests {
		errs = append(errs, field.TooMany(fld, len(selectors), maxRequests))
	}
	for i, s := range selectors {
		switch {
		case s.CEL == nil:
			errs = append(errs, field.Required(fld.Index(i).Child("cel"), ""))
		case s.CEL.Expression == "":
			errs = append(errs, field.Required(fld.Index(i).Child("cel", "expression"), ""))
		}
	}
	return errs
}

func validateClaim(_ context.Context, c *resourcev1.ResourceClaim) field.ErrorList {
	return validateClaimSpec(&c.Spec, field.NewPath("spec"))
}

// validateClaimUpdate keeps the spec: what is allocated depends on it.
func validateClaimUpdate(ctx context.Context, c, old *resourcev1.ResourceClaim) field.ErrorList {
	errs := check.Immutable(c.Spec, old.Spec, field.NewPath("spec"))
	if len(errs) == 0 {
		return errs
	}
	return append(errs, validateClaim(ctx, c)...)
}

func validateClaimSpec(s *resourcev1.ResourceClaimSpec, fld *field.Path) field.ErrorList {
	requests := fld.Child("devices", "requests")
	var errs field.ErrorList
	if n := len(s.Devices.Requests); n > maxRequests {
		errs = append(errs, field.TooMany(requests, n, maxRequests))
	}
	seen := map[string]bool{}
	for i := range s.Devices.Requests {
		r, path := &s.Devices.Requests[i], requests.Index(i)
		errs = append(errs, requiredLabel(r.Name, path.Child("name"))...)
		if seen[r.Name] {
			errs = append(errs, field.Duplicate(path.Child("name"), r.Name))
		}
		seen[r.Name] = true
		errs = append(errs, validateRequest(r, path)...)
	}
	return errs
}

func requiredLabel(name string, fld *field.Path) field.ErrorList {
	if name == "" {
		return field.ErrorList{field.Required(fld, "")}
	}
	return check.Messages(name, utilvalidation.IsDNS1123Label(name), fld)
}

func validateRequest(r *resourcev1.DeviceRequest, fld *field.Path) field.ErrorList {
	switch exactly, first := r.Exactly != nil, len(r.FirstAvailable) > 0; {
	case !exactly && !first:
		return field.ErrorList{field.Required(fld, "exactly one of `exactly` or `firstAvailable` is required")}
	case exactly && first:
		return field.ErrorList{field.Invalid(fld, nil, "exactly one of `exactly` or `firstAvailable` is required, but multiple fields are set")}
	case exactly:
		e, path := r.Exactly, fld.Child("exactly")
		errs := validateClassName(e.DeviceClassName, path.Child("deviceClassName"))
		errs = append(errs, validateSelectors(e.Selectors, path.Child("selectors"))...)
		return append(errs, validateCount(e.AllocationMode, e.Count, path)...)
	}
	var errs field.ErrorList
	for i := range r.FirstAvailable {
		sub, path := &r.FirstAvailable[i], fld.Child("firstAvailable").Index(i)
		errs = append(errs, requiredLabel(sub.Name, path.Child("name"))...)
		errs = append(errs, validateClassName(sub.DeviceClassName, path.Child("deviceClassName"))...)
		errs = append(errs, validateSelectors(sub.Selectors, path.Child("selectors"))...)
		errs = append(errs, validateCount(sub.AllocationMode, sub.Count, path)...)
	}
	return errs
}

func validateClassName(name string, fld *field.Path) field.ErrorList {
	if name == "" {
		return field.ErrorList{field.Required(fld, "")}
	}
	return check.Messages(name, apivalidation.NameIsDNSSubdomain(name, false), fld)
}

func validateCount(mode resourcev1.DeviceAllocationMode, count int64, fld *field.Path) field.ErrorList {
	switch mode {
	case resourcev1.DeviceAllocationModeAll:
		if count != 0 {
			return field.ErrorList{field.Invalid(fld.Child("count"), count, "must not be specified when allocationMode is 'All'")}
		}
	case resourcev1.DeviceAllocationModeExactCount:
		if count <= 0 {
			return field.ErrorList{field.Invalid(fld.Child("count"), count, "must be greater than zero")}
		}
	default:
		return field.ErrorList{field.NotSupported(fld.Child("allocationMode"), mode, []resourcev1.DeviceAllocationMode{resourcev1.DeviceAllocationModeAll, resourcev1.DeviceAllocationModeExactCount})}
	}
	return nil
}

func validateClaimStatus(_ context.Context, c, old *resourcev1.ResourceClaim) field.ErrorList {
	fld := field.NewPath("status")
	var errs field.ErrorList
	if n := len(c.Status.ReservedFor); n > maxReserved {
		errs = append(errs, field.TooMany(fld.Child("reservedFor"), n, maxReserved))
	}
	seen := map[string]bool{}
	for i, r := range c.Status.ReservedFor {
		path := fld.Child("reservedFor").Index(i)
		if r.Resource == "" {
			errs = append(errs, field.Required(path.Child("resource"), ""))
		}
		if r.Name == "" {
			errs = append(errs, field.Required(path.Child("name"), ""))
		}
		if r.UID == "" {
			errs = append(errs, field.Required(path.Child("uid"), ""))
		}
		if seen[string(r.UID)] {
			errs = append(errs, field.Duplicate(path.Child("uid"), r.UID))
		}
		seen[string(r.UID)] = true
	}
	if len(c.Status.ReservedFor) > 0 && c.Status.Allocation == nil {
		errs = append(errs, field.Forbidden(fld.Child("reservedFor"), "may not be specified when `allocated` is not set"))
	}
	if old.Status.Allocation != nil && c.Status.Allocation != nil {
		errs = append(errs, check.Immutable(c.Status.Allocation, old.Status.Allocation, fld.Child("allocation"))...)
	}
	return errs
}

func validateTemplate(_ context.Context, t *resourcev1.ResourceClaimTemplate) field.ErrorList {
	fld := field.NewPath("spec")
	errs := metav1validation.ValidateLabels(t.Spec.Labels, fld.Child("metadata", "labels"))
	errs = append(errs, apivalidation.ValidateAnnotations(t.Spec.Annotations, fld.Child("metadata", "annotations"))...)
	return append(errs, validateClaimSpec(&t.Spec.Spec, fld.Child("spec"))...)
}

func validateTemplateUpdate(ctx context.Context, t, old *resourcev1.ResourceClaimTemplate) field.ErrorList {
	errs := check.Immutable(t.Spec, old.Spec, field.NewPath("spec"))
	if len(errs) == 0 {
		return errs
	}
	return append(errs, validateTemplate(ctx, t)...)
}

func validateSlice(_ context.Context, s *resourcev1.ResourceSlice) field.ErrorList {
	spec, fld := &s.Spec, field.NewPath("spec")
	errs := podtemplate.CSIDriverName(spec.Driver, fld.Child("driver"))
	if spec.Pool.Name == "" {
		errs = append(errs, field.Required(fld.Child("pool", "name"), ""))
	}
	if spec.Pool.ResourceSliceCount <= 0 {
		errs = append(errs, field.Invalid(fld.Child("pool", "resourceSliceCount"), spec.Pool.ResourceSliceCount, "must be greater than zero"))
	}
	errs = append(errs, check.NonNegative(spec.Pool.Generation, fld.Child("pool", "generation"))...)
	if n := len(spec.Devices); n > maxDevices {
		errs = append(errs, field.TooMany(fld.Child("devices"), n, maxDevices))
	}
	seen := map[string]bool{}
	for i := range spec.Devices {
		name, path := spec.Devices[i].Name, fld.Child("devices").Index(i).Child("name")
		errs = append(errs, requiredLabel(name, path)...)
		if seen[name] {
			errs = append(errs, field.Duplicate(path, name))
		}
		seen[name] = true
	}
	return errs
}

func validateSliceUpdate(ctx context.Context, s, old *resourcev1.ResourceSlice) field.ErrorList {
	fld := field.NewPath("spec")
	errs := validateSlice(ctx, s)
	errs = append(errs, apivalidation.ValidateImmutableField(s.Spec.NodeName, old.Spec.NodeName, fld.Child("nodeName"))...)
	errs = append(errs, apivalidation.ValidateImmutableField(s.Spec.Driver, old.Spec.Driver, fld.Child("driver"))...)
	return append(errs, apivalidation.ValidateImmutableField(s.Spec.Pool.Name, old.Spec.Pool.Name, fld.Child("pool", "name"))...)
}

func validateTaintRule(_ context.Context, r *resourcev1.DeviceTaintRule) field.ErrorList {
	t, fld := &r.Spec.Taint, field.NewPath("spec", "taint")
	errs := check.Messages(t.Key, utilvalidation.IsQualifiedName(t.Key), fld.Child("key"))
	if t.Value != "" {
		errs = append(errs, check.Messages(t.Value, utilvalidation.IsValidLabelValue(t.Value), fld.Child("value"))...)
	}
	return append(errs, check.OneOf(t.Effect, []resourcev1.DeviceTaintEffect{resourcev1.DeviceTaintEffectNoExecute, resourcev1.DeviceTaintEffectNoSchedule, resourcev1.DeviceTaintEffectNone}, fld.Child("effect"))...)
}

func validateTaintRuleUpdate(ctx context.Context, r, _ *resourcev1.DeviceTaintRule) field.ErrorList {
	return validateTaintRule(ctx, r)
}

func validateTaintRuleStatus(_ context.Context, r, _ *resourcev1.DeviceTaintRule) field.ErrorList {
	return metav1validation.ValidateConditions(r.Status.Conditions, field.NewPath("status", "conditions"))
}
