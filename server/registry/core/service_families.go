package core

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// syncAddresses makes clusterIPs follow clusterIP for clients that know only the
// older field.
func syncAddresses(s, old *corev1.Service) {
	spec := &s.Spec
	if old == nil {
		if spec.ClusterIP != "" && len(spec.ClusterIPs) == 0 {
			spec.ClusterIPs = []string{spec.ClusterIP}
		}
		return
	}
	before := &old.Spec
	if len(spec.ClusterIPs) == 0 && len(before.ClusterIPs) > 0 && spec.ClusterIP == before.ClusterIP {
		spec.ClusterIPs = before.ClusterIPs
	}
	if spec.ClusterIP == before.ClusterIP || !sameAddresses(spec, before) {
		return
	}
	if spec.ClusterIP == "" && before.ClusterIP != "" {
		spec.ClusterIPs = nil
	} else {
		spec.ClusterIPs = []string{spec.ClusterIP}
	}
}

// keepsDualStack tells whether an update leaves a service that prefers two
// families as it is, so that it does not get a second address behind its owner's
// back when the cluster has become dual-stack.
func keepsDualStack(s, old *corev1.Service) bool {
	return old != nil && s.Spec.Type == old.Spec.Type && hasAddress(&s.Spec) &&
		s.Spec.IPFamilyPolicy != nil && *s.Spec.IPFamilyPolicy == corev1.IPFamilyPolicyPreferDualStack &&
		(old.Spec.IPFamilyPolicy == nil || *old.Spec.IPFamilyPolicy == corev1.IPFamilyPolicyPreferDualStack) &&
		sameAddresses(&s.Spec, &old.Spec) && sameFamilies(&s.Spec, &old.Spec)
}

// completeFamilies fills in the policy and the families that a service leaves
// out, and checks that the cluster has them.
func (a *allocator) completeFamilies(s, old *corev1.Service) error {
	spec := &s.Spec
	if spec.Type == corev1.ServiceTypeExternalName || keepsDualStack(s, old) {
		return nil
	}
	anyEndpoints := spec.ClusterIP == corev1.ClusterIPNone && len(spec.Selector) == 0
	if spec.IPFamilyPolicy == nil {
		spec.IPFamilyPolicy = new(defaultPolicy(old, anyEndpoints))
	}
	if errs := validateAddresses(s, old); len(errs) > 0 {
		return apierrors.NewInvalid(serviceKind, s.Name, errs)
	}
	errs := reduceFamilies(spec, old)
	errs = append(errs, a.inferFamilies(spec)...)
	if len(errs) > 0 {
		return apierrors.NewInvalid(serviceKind, s.Name, errs)
	}
	if anyEndpoints {
		// Its endpoints can be of families that the cluster does not have.
		if len(spec.IPFamilies) == 0 {
			spec.IPFamilies = []corev1.IPFamily{a.primary}
		}
		if len(spec.IPFamilies) == 1 && *spec.IPFamilyPolicy != corev1.IPFamilyPolicySingleStack {
			spec.IPFamilies = append(spec.IPFamilies, otherFamily(spec.IPFamilies[0]))
		}
		return nil
	}
	if *spec.IPFamilyPolicy == corev1.IPFamilyPolicyRequireDualStack && len(a.pools) < 2 {
		errs = append(errs, field.Invalid(path("spec", "ipFamilyPolicy"), spec.IPFamilyPolicy, "this cluster is not configured for dual-stack services"))
	}
	for i, family := range spec.IPFamilies {
		if a.pools[family] == nil {
			errs = append(errs, field.Invalid(path("spec", "ipFamilies").Index(i), family, "not configured on this cluster"))
		}
	}
	if len(errs) > 0 {
		return apierrors.NewInvalid(serviceKind, s.Name, errs)
	}
	if len(spec.IPFamilies) == 0 {
		spec.IPFamilies = []corev1.IPFamily{a.primary}
	}
	if *spec.IPFamilyPolicy != corev1.IPFamilyPolicySingleStack && len(spec.IPFamilies) == 1 && len(a.pools) == 2 {
		spec.IPFamilies = append(spec.IPFamilies, otherFamily(spec.IPFamilies[0]))
	}
	return nil
}

// defaultPolicy is the policy of an update that names none, and of a new service.
func defaultPolicy(old *corev1.Service, anyEndpoints bool) corev1.IPFamilyPolicy {
	switch {
	case old != nil && old.Spec.IPFamilyPolicy != nil:
		return *old.Spec.IPFamilyPolicy
	case anyEndpoints:
		return corev1.IPFamilyPolicyRequireDualStack
	}
	return corev1.IPFamilyPolicySingleStack
}

// reduceFamilies takes the second address and family away if the policy says so,
// and refuses to lose them without it.
func reduceFamilies(spec *corev1.ServiceSpec, old *corev1.Service) field.ErrorList {
	var errs field.ErrorList
	at := path("spec", "ipFamilyPolicy")
	single := *spec.IPFamilyPolicy == corev1.IPFamilyPolicySingleStack
	if old != nil && single {
		if sameAddresses(spec, &old.Spec) && len(spec.ClusterIPs) > 1 {
			spec.ClusterIPs = spec.ClusterIPs[:1]
		}
		if sameFamilies(spec, &old.Spec) && len(spec.IPFamilies) > 1 {
			spec.IPFamilies = spec.IPFamilies[:1]
		}
	}
	if old != nil && !single {
		if n := len(spec.ClusterIPs); n > 0 && n < len(old.Spec.ClusterIPs) {
			errs = append(errs, field.Invalid(at, spec.IPFamilyPolicy, "must be 'SingleStack' to release the secondary cluster IP"))
		}
		if n := len(spec.IPFamilies); n > 0 && n < len(old.Spec.IPFamilies) {
			errs = append(errs, field.Invalid(at, spec.IPFamilyPolicy, "must be 'SingleStack' to release the secondary IP family"))
		}
	}
	if single && len(spec.ClusterIPs) == 2 {
		errs = append(errs, field.Invalid(at, spec.IPFamilyPolicy, "must be 'RequireDualStack' or 'PreferDualStack' when multiple cluster IPs are specified"))
	}
	if single && len(spec.IPFamilies) == 2 {
		errs = append(errs, field.Invalid(at, spec.IPFamilyPolicy, "must be 'RequireDualStack' or 'PreferDualStack' when multiple IP families are specified"))
	}
	return errs
}

// inferFamilies adds the families of the addresses that a service asks for.
func (a *allocator) inferFamilies(spec *corev1.ServiceSpec) field.ErrorList {
	var errs field.ErrorList
	for i, ip := range spec.ClusterIPs {
		if ip == corev1.ClusterIPNone {
			break
		}
		if i < len(spec.IPFamilies) {
			continue
		}
		family := familyOf(ip)
		if a.pools[family] == nil {
			errs = append(errs, field.Invalid(path("spec", "clusterIPs").Index(i), spec.ClusterIPs, fmt.Sprintf("%s is not configured on this cluster", family)))
			continue
		}
		spec.IPFamilies = append(spec.IPFamilies, family)
	}
	return errs
}
