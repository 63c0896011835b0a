package core

import (
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/apimachinery/pkg/util/validation/field"
	netutils "k8s.io/utils/net"

	"skiff/server/registry/podtemplate"
)

// validateAddresses checks how clusterIP, clusterIPs, ipFamilies and
// ipFamilyPolicy of a service fit together; old is nil on create.
func validateAddresses(s, old *corev1.Service) field.ErrorList {
	if s.Spec.Type == corev1.ServiceTypeExternalName {
		return nil
	}
	spec := &s.Spec
	at := path("spec", "clusterIPs")
	var errs field.ErrorList
	switch {
	case spec.ClusterIP != "" && len(spec.ClusterIPs) == 0:
		errs = append(errs, field.Required(at, ""))
	case spec.ClusterIP != "" && spec.ClusterIPs[0] != spec.ClusterIP:
		errs = append(errs, field.Invalid(at, spec.ClusterIPs, "first value must match `clusterIP`"))
	case spec.ClusterIP == "" && len(spec.ClusterIPs) > 0:
		errs = append(errs, field.Invalid(at, spec.ClusterIPs, "must be empty when `clusterIP` is not specified"))
	}
	errs = append(errs, validateFamilies(spec)...)
	var existing []string
	if old != nil {
		existing = old.Spec.ClusterIPs
	}
	broken := false
	for i, ip := range spec.ClusterIPs {
		if i == 0 && ip == corev1.ClusterIPNone {
			if len(spec.ClusterIPs) > 1 {
				broken = true
				errs = append(errs, field.Invalid(at, spec.ClusterIPs, "'None' must be the first and only value"))
			}
			continue
		}
		found := podtemplate.LegacyIP(at.Index(i), ip, existing)
		broken = broken || len(found) > 0
		errs = append(errs, found...)
	}
	if len(spec.ClusterIPs) > 2 {
		errs = append(errs, field.Invalid(at, spec.ClusterIPs, "may only hold up to 2 values"))
	}
	if broken {
		return errs // the rest would be about addresses that are none
	}
	return append(errs, validateFamiliesOfAddresses(spec, at)...)
}

func validateFamilies(spec *corev1.ServiceSpec) field.ErrorList {
	var errs field.ErrorList
	seen := sets.New[corev1.IPFamily]()
	for i, family := range spec.IPFamilies {
		at := path("spec", "ipFamilies").Index(i)
		errs = append(errs, podtemplate.OneOf(at, family, corev1.IPv4Protocol, corev1.IPv6Protocol)...)
		if seen.Has(family) {
			errs = append(errs, field.Duplicate(at, family))
		}
		seen.Insert(family)
	}
	if spec.IPFamilyPolicy != nil {
		errs = append(errs, podtemplate.OneOf(path("spec", "ipFamilyPolicy"), *spec.IPFamilyPolicy,
			corev1.IPFamilyPolicySingleStack, corev1.IPFamilyPolicyPreferDualStack, corev1.IPFamilyPolicyRequireDualStack)...)
	}
	return errs
}

func validateFamiliesOfAddresses(spec *corev1.ServiceSpec, fld *field.Path) field.ErrorList {
	var errs field.ErrorList
	if len(spec.ClusterIPs) > 1 {
		dual, err := netutils.IsDualStackIPStrings(spec.ClusterIPs)
		if err != nil {
			errs = append(errs, field.InternalError(fld, fmt.Errorf("failed to check for dual stack with error:%w", err)))
		}
		if !dual {
			errs = append(errs, field.Invalid(fld, spec.ClusterIPs, "may specify no more than one IP for each IP family"))
		}
	}
	if isHeadless(spec) {
		return errs
	}
	for i, ip := range spec.ClusterIPs {
		if i >= len(spec.IPFamilies) {
			break
		}
		if want := spec.IPFamilies[i]; want == corev1.IPv4Protocol && netutils.IsIPv6String(ip) || want == corev1.IPv6Protocol && !netutils.IsIPv6String(ip) {
			errs = append(errs, field.Invalid(fld.Index(i), ip, fmt.Sprintf("expected an %s value as indicated by `ipFamilies[%v]`", want, i)))
		}
	}
	return errs
}

const notOnceSet = "may not change once set"

// validateServiceChange checks what an update may change: the second address and
// family may come and go, the first ones stay.
func validateServiceChange(s, old *corev1.Service) field.ErrorList {
	errs := append(validateAddressChange(&s.Spec, &old.Spec), validateFamilyChange(&s.Spec, &old.Spec)...)
	before, now := old.Spec.LoadBalancerClass, s.Spec.LoadBalancerClass
	if old.Spec.Type == corev1.ServiceTypeLoadBalancer && s.Spec.Type == corev1.ServiceTypeLoadBalancer && !samePointer(before, now) {
		errs = append(errs, field.Invalid(path("spec", "loadBalancerClass"), now, notOnceSet))
	}
	errs = append(errs, validateLoadBalancerClass(&s.Spec)...)
	if needsHealthPort(&old.Spec) && needsHealthPort(&s.Spec) && s.Spec.HealthCheckNodePort != old.Spec.HealthCheckNodePort {
		errs = append(errs, field.Forbidden(path("spec", "healthCheckNodePort"), "field is immutable"))
	}
	return errs
}

func samePointer[T comparable](a, b *T) bool {
	return a == nil && b == nil || a != nil && b != nil && *a == *b
}

func validateAddressChange(spec, old *corev1.ServiceSpec) field.ErrorList {
	if spec.Type == corev1.ServiceTypeExternalName || old.Type == corev1.ServiceTypeExternalName || isHeadless(spec) && isHeadless(old) {
		return nil
	}
	at := path("spec", "clusterIPs")
	changed := func(i int) field.ErrorList {
		return field.ErrorList{field.Invalid(at.Index(i), spec.ClusterIPs, notOnceSet)}
	}
	now, before := spec.ClusterIPs, old.ClusterIPs
	var errs field.ErrorList
	switch {
	case len(now) == len(before):
		for i := range before {
			if before[i] != now[i] {
				errs = append(errs, changed(i)...)
			}
		}
	case len(now) == 0:
		return field.ErrorList{field.Invalid(at.Index(0), now, "primary clusterIP can not be unset")}
	case len(before) > 0 && now[0] != before[0]:
		errs = append(errs, changed(0)...)
	}
	if len(now) == 1 && len(before) > 1 && familyPolicy(spec) != corev1.IPFamilyPolicySingleStack {
		errs = append(errs, field.Invalid(path("spec", "ipFamilyPolicy"), spec.IPFamilyPolicy, "must be set to 'SingleStack' when releasing the secondary clusterIP"))
	}
	return errs
}

func validateFamilyChange(spec, old *corev1.ServiceSpec) field.ErrorList {
	if spec.Type == corev1.ServiceTypeExternalName || old.Type == corev1.ServiceTypeExternalName || isHeadless(spec) || isHeadless(old) {
		return nil
	}
	at := path("spec", "ipFamilies").Index(0)
	now, before := spec.IPFamilies, old.IPFamilies
	var errs field.ErrorList
	switch {
	case len(now) == len(before):
		for i := range before {
			if before[i] != now[i] {
				errs = append(errs, field.Invalid(at, now, notOnceSet))
			}
		}
		return errs
	case len(now) < len(before) && len(spec.ClusterIPs) == 0:
		errs = append(errs, field.Invalid(at, now, "primary ipFamily can not be unset"))
	}
	if len(now) > 0 && len(before) > 0 && now[0] != before[0] {
		errs = append(errs, field.Invalid(at, spec.ClusterIPs, notOnceSet))
	}
	if len(now) == 1 && len(before) > 1 && familyPolicy(spec) != corev1.IPFamilyPolicySingleStack {
		errs = append(errs, field.Invalid(path("spec", "ipFamilyPolicy"), spec.IPFamilyPolicy, "must be set to 'SingleStack' when releasing the secondary ipFamily"))
	}
	return errs
}

func familyPolicy(spec *corev1.ServiceSpec) corev1.IPFamilyPolicy {
	if spec.IPFamilyPolicy == nil {
		return ""
	}
	return *spec.IPFamilyPolicy
}

func familyOf(ip string) corev1.IPFamily {
	if netutils.IsIPv6String(ip) {
		return corev1.IPv6Protocol
	}
	return corev1.IPv4Protocol
}

func otherFamily(f corev1.IPFamily) corev1.IPFamily {
	if f == corev1.IPv4Protocol {
		return corev1.IPv6Protocol
	}
	return corev1.IPv4Protocol
}

func sameAddresses(a, b *corev1.ServiceSpec) bool { return slices.Equal(a.ClusterIPs, b.ClusterIPs) }

func sameFamilies(a, b *corev1.ServiceSpec) bool { return slices.Equal(a.IPFamilies, b.IPFamilies) }
