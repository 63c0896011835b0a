package core

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/apimachinery/pkg/util/uuid"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"skiff/server/registry"
	"skiff/server/registry/podtemplate"
)

func limitRanges() *registry.Resource {
	r := resourceOf[corev1.LimitRange, corev1.LimitRangeList]("limitranges", "LimitRange", "limits")
	r.Rules.CreateOnUpdate = true
	r.Rules.Default = registry.Default(func(l *corev1.LimitRange) {
		for i := range l.Spec.Limits {
			defaultLimit(&l.Spec.Limits[i])
		}
	})
	r.Rules.PrepareCreate = registry.Prepare(func(_ context.Context, l *corev1.LimitRange) {
		if l.Name == "" {
			l.Name = string(uuid.NewUUID())
		}
	})
	r.Rules.Validate = registry.Validate(func(_ context.Context, l *corev1.LimitRange) field.ErrorList {
		return validateLimitRange(l)
	})
	r.Rules.ValidateUpdate = registry.ValidateUpdate(func(_ context.Context, l, _ *corev1.LimitRange) field.ErrorList {
		return validateLimitRange(l)
	})
	return r
}

// defaultLimit derives a container's default limits from its maximum, and its
// default requests from those limits or its minimum.
func defaultLimit(l *corev1.LimitRangeItem) {
	if l.Type == corev1.LimitTypeContainer {
		if l.Default == nil {
			l.Default = corev1.ResourceList{}
		}
		if l.DefaultRequest == nil {
			l.DefaultRequest = corev1.ResourceList{}
		}
		fill(l.Default, l.Max)
		fill(l.DefaultRequest, l.Default)
		fill(l.DefaultRequest, l.Min)
	}
	for _, list := range []corev1.ResourceList{l.Max, l.Min, l.Default, l.DefaultRequest, l.MaxLimitRequestRatio} {
		podtemplate.DefaultResourceList(list)
	}
}

func fill(to, from corev1.ResourceList) {
	for name, quantity := range from {
		if _, ok := to[name]; !ok {
			to[name] = quantity.DeepCopy()
		}
	}
}

func validateLimitRange(l *corev1.LimitRange) field.ErrorList {
	var errs field.ErrorList
	seen := sets.New[corev1.LimitType]()
	for i := range l.Spec.Limits {
		limit, at := &l.Spec.Limits[i], path("spec", "limits").Index(i)
		errs = append(errs, limitType(limit.Type, at.Child("type"))...)
		if seen.Has(limit.Type) {
			errs = append(errs, field.Duplicate(at.Child("type"), limit.Type))
		}
		seen.Insert(limit.Type)
		errs = append(errs, validateLimit(limit, at)...)
	}
	return errs
}

func limitType(t corev1.LimitType, fld *field.Path) field.ErrorList {
	var errs field.ErrorList
	for _, msg := range validation.IsQualifiedName(string(t)) {
		errs = append(errs, field.Invalid(fld, t, msg))
	}
	if len(errs) > 0 || strings.Contains(string(t), "/") {
		return errs
	}
	switch t {
	case corev1.LimitTypePod, corev1.LimitTypeContainer, corev1.LimitTypePersistentVolumeClaim:
		return nil
	}
	return field.ErrorList{field.Invalid(fld, t, "must be a standard limit type or fully qualified")}
}

func validateLimit(l *corev1.LimitRangeItem, fld *field.Path) field.ErrorList {
	var errs field.ErrorList
	all := sets.New[corev1.ResourceName]()
	names := func(list corev1.ResourceList, name string) {
		for _, key := range slices.SortedFunc(maps.Keys(list), cmp.Compare[corev1.ResourceName]) {
			errs = append(errs, limitResource(l.Type, key, fld.Child(name).Key(string(key)))...)
			all.Insert(key)
		}
	}
	names(l.Max, "max")
	names(l.Min, "min")
	defaults, requests := l.Default, l.DefaultRequest
	if l.Type == corev1.LimitTypePod {
		defaults, requests = nil, nil
		if len(l.Default) > 0 {
			errs = append(errs, field.Forbidden(fld.Child("default"), "may not be specified when `type` is 'Pod'"))
		}
		if len(l.DefaultRequest) > 0 {
			errs = append(errs, field.Forbidden(fld.Child("defaultRequest"), "may not be specified when `type` is 'Pod'"))
		}
	}
	names(defaults, "default")
	names(requests, "defaultRequest")
	if l.Type == corev1.LimitTypePersistentVolumeClaim {
		_, least := l.Min[corev1.ResourceStorage]
		_, most := l.Max[corev1.ResourceStorage]
		if !least && !most {
			errs = append(errs, field.Required(fld.Child("limits"), "either minimum or maximum storage value is required, but neither was provided"))
		}
	}
	names(l.MaxLimitRequestRatio, "maxLimitRequestRatio")
	for _, name := range sets.List(all) {
		errs = append(errs, limitOrder(name, l, defaults, requests, fld)...)
		errs = append(errs, limitRatio(name, l, fld)...)
		limit, ok1 := defaults[name]
		request, ok2 := requests[name]
		if ok1 && ok2 && !podtemplate.IsOvercommittable(name) && limit.Cmp(request) != 0 {
			errs = append(errs, field.Invalid(fld.Child("defaultRequest").Key(string(name)), request,
				fmt.Sprintf("default value %s must equal to defaultRequest value %s in %s", limit.String(), request.String(), name)))
		}
	}
	return errs
}

func limitResource(t corev1.LimitType, name corev1.ResourceName, fld *field.Path) field.ErrorList {
	if t == corev1.LimitTypePod || t == corev1.LimitTypeContainer {
		return podtemplate.ContainerResourceName(name, fld)
	}
	return podtemplate.ResourceName(name, fld)
}

// limitOrder checks that of the values of one resource, none that has to be lower
// is higher than another.
func limitOrder(name corev1.ResourceName, l *corev1.LimitRangeItem, defaults, requests corev1.ResourceList, fld *field.Path) field.ErrorList {
	var errs field.ErrorList
	for _, pair := range []struct {
		low, high         corev1.ResourceList
		lowName, highName string
		at                string
		shown             corev1.ResourceList
	}{
		{l.Min, l.Max, "min", "max", "min", l.Min},
		{l.Min, requests, "min", "default request", "defaultRequest", requests},
		{requests, l.Max, "default request", "max", "defaultRequest", requests},
		{requests, defaults, "default request", "default limit", "defaultRequest", requests},
		{l.Min, defaults, "min", "default", "default", l.Min},
		{defaults, l.Max, "default", "max", "default", l.Max},
	} {
		low, ok1 := pair.low[name]
		high, ok2 := pair.high[name]
		if ok1 && ok2 && low.Cmp(high) > 0 {
			errs = append(errs, field.Invalid(fld.Child(pair.at).Key(string(name)), pair.shown[name],
				fmt.Sprintf("%s value %s is greater than %s value %s", pair.lowName, low.String(), pair.highName, high.String())))
		}
	}
	return errs
}

func limitRatio(name corev1.ResourceName, l *corev1.LimitRangeItem, fld *field.Path) field.ErrorList {
	ratio, ok := l.MaxLimitRequestRatio[name]
	if !ok {
		return nil
	}
	var errs field.ErrorList
	at := fld.Child("maxLimitRequestRatio").Key(string(name))
	if ratio.Cmp(*resource.NewQuantity(1, resource.DecimalSI)) < 0 {
		errs = append(errs, field.Invalid(at, ratio, fmt.Sprintf("ratio %s is less than 1", ratio.String())))
	}
	least, ok1 := l.Min[name]
	most, ok2 := l.Max[name]
	if !ok1 || !ok2 {
		return errs
	}
	value, low, high := float64(ratio.Value()), least.Value(), most.Value()
	if ratio.Value() < resource.MaxMilliValue && low < resource.MaxMilliValue && high < resource.MaxMilliValue {
		value, low, high = float64(ratio.MilliValue())/1000, least.MilliValue(), most.MilliValue()
	}
	if limit := float64(high) / float64(low); value > limit {
		errs = append(errs, field.Invalid(at, ratio, fmt.Sprintf("ratio %s is greater than max/min = %f", ratio.String(), limit)))
	}
	return errs
}
