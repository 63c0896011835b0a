package networking

import (
	"context"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1validation "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/util/intstr"
	utilvalidation "k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
	netutils "k8s.io/utils/net"

	"skiff/server/registry/check"
)

// policyOptions loosen the rules for what is stored already.
type policyOptions struct {
	selectors metav1validation.LabelSelectorValidationOptions
	// cidrs are those that may be malformed.
	cidrs []string
}

func validateNetworkPolicy(_ context.Context, p *networkingv1.NetworkPolicy) field.ErrorList {
	return validatePolicySpec(&p.Spec, policyOptions{}, field.NewPath("spec"))
}

func validateNetworkPolicyUpdate(_ context.Context, p, old *networkingv1.NetworkPolicy) field.ErrorList {
	var opts policyOptions
	opts.selectors.AllowInvalidLabelValueInSelector = len(metav1validation.ValidateLabelSelector(&old.Spec.PodSelector, opts.selectors, nil)) > 0
	collect := func(peers []networkingv1.NetworkPolicyPeer) {
		for i := range peers {
			if b := peers[i].IPBlock; b != nil {
				opts.cidrs = append(append(opts.cidrs, b.CIDR), b.Except...)
			}
		}
	}
	for i := range old.Spec.Ingress {
		collect(old.Spec.Ingress[i].From)
	}
	for i := range old.Spec.Egress {
		collect(old.Spec.Egress[i].To)
	}
	return validatePolicySpec(&p.Spec, opts, field.NewPath("spec"))
}

func validatePolicySpec(spec *networkingv1.NetworkPolicySpec, opts policyOptions, fld *field.Path) field.ErrorList {
	errs := metav1validation.ValidateLabelSelector(&spec.PodSelector, opts.selectors, fld.Child("podSelector"))
	for i := range spec.Ingress {
		rule := fld.Child("ingress").Index(i)
		errs = append(errs, validatePolicyPorts(spec.Ingress[i].Ports, rule.Child("ports"))...)
		errs = append(errs, validatePeers(spec.Ingress[i].From, opts, rule.Child("from"))...)
	}
	for i := range spec.Egress {
		rule := fld.Child("egress").Index(i)
		errs = append(errs, validatePolicyPorts(spec.Egress[i].Ports, rule.Child("ports"))...)
		errs = append(errs, validatePeers(spec.Egress[i].To, opts, rule.Child("to"))...)
	}
	types := []networkingv1.PolicyType{networkingv1.PolicyTypeIngress, networkingv1.PolicyTypeEgress}
	if len(spec.PolicyTypes) > len(types) {
		return append(errs, field.Invalid(fld.Child("policyTypes"), &spec.PolicyTypes, "may not specify more than two policyTypes"))
	}
	for i, t := range spec.PolicyTypes {
		errs = append(errs, check.Supported(t, types, fld.Child("policyTypes").Index(i))...)
	}
	return errs
}

func validatePolicyPorts(ports []networkingv1.NetworkPolicyPort, fld *field.Path) field.ErrorList {
	var errs field.ErrorList
	for i := range ports {
		errs = append(errs, validatePolicyPort(&ports[i], fld.Index(i))...)
	}
	return errs
}

func validatePolicyPort(p *networkingv1.NetworkPolicyPort, fld *field.Path) field.ErrorList {
	var errs field.ErrorList
	if p.Protocol != nil {
		errs = append(errs, check.Supported(*p.Protocol, []corev1.Protocol{corev1.ProtocolTCP, corev1.ProtocolUDP, corev1.ProtocolSCTP}, fld.Child("protocol"))...)
	}
	port, end := fld.Child("port"), fld.Child("endPort")
	switch {
	case p.Port == nil:
		if p.EndPort != nil {
			errs = append(errs, field.Invalid(end, *p.EndPort, "may not be specified when `port` is not specified"))
		}
	case p.Port.Type == intstr.Int:
		for _, msg := range utilvalidation.IsValidPortNum(int(p.Port.IntVal)) {
			errs = append(errs, field.Invalid(port, p.Port.IntVal, msg))
		}
		if p.EndPort == nil {
			return errs
		}
		if *p.EndPort < p.Port.IntVal {
			errs = append(errs, field.Invalid(end, *p.EndPort, "must be greater than or equal to `port`"))
		}
		for _, msg := range utilvalidation.IsValidPortNum(int(*p.EndPort)) {
			errs = append(errs, field.Invalid(end, *p.EndPort, msg))
		}
	default:
		if p.EndPort != nil {
			errs = append(errs, field.Invalid(end, *p.EndPort, "may not be specified when `port` is non-numeric"))
		}
		errs = append(errs, check.Messages(p.Port.StrVal, utilvalidation.IsValidPortName(p.Port.StrVal), port)...)
	}
	return errs
}

func validatePeers(peers []networkingv1.NetworkPolicyPeer, opts policyOptions, fld *field.Path) field.ErrorList {
	var errs field.ErrorList
	for i := range peers {
		errs = append(errs, validatePeer(&peers[i], opts, fld.Index(i))...)
	}
	return errs
}

func validatePeer(p *networkingv1.NetworkPolicyPeer, opts policyOptions, fld *field.Path) field.ErrorList {
	var errs field.ErrorList
	if p.PodSelector != nil {
		errs = append(errs, metav1validation.ValidateLabelSelector(p.PodSelector, opts.selectors, fld.Child("podSelector"))...)
	}
	if p.NamespaceSelector != nil {
		errs = append(errs, metav1validation.ValidateLabelSelector(p.NamespaceSelector, opts.selectors, fld.Child("namespaceSelector"))...)
	}
	if p.IPBlock != nil {
		errs = append(errs, validateIPBlock(p.IPBlock, opts, fld.Child("ipBlock"))...)
	}
	switch selects := p.PodSelector != nil || p.NamespaceSelector != nil; {
	case !selects && p.IPBlock == nil:
		errs = append(errs, field.Required(fld, "must specify a peer"))
	case selects && p.IPBlock != nil:
		errs = append(errs, field.Forbidden(fld, "may not specify both ipBlock and another peer"))
	}
	return errs
}

func validateIPBlock(b *networkingv1.IPBlock, opts policyOptions, fld *field.Path) field.ErrorList {
	if b.CIDR == "" {
		return field.ErrorList{field.Required(fld.Child("cidr"), "")}
	}
	errs := utilvalidation.IsValidCIDRForLegacyField(fld.Child("cidr"), b.CIDR, true, opts.cidrs)
	_, block, err := netutils.ParseCIDRSloppy(b.CIDR)
	if err != nil {
		return errs
	}
	for i, s := range b.Except {
		path := fld.Child("except").Index(i)
		errs = append(errs, utilvalidation.IsValidCIDRForLegacyField(path, s, true, opts.cidrs)...)
		_, except, err := netutils.ParseCIDRSloppy(s)
		if err != nil {
			continue
		}
		outer, _ := block.Mask.Size()
		if inner, _ := except.Mask.Size(); !block.Contains(except.IP) || outer >= inner {
			errs = append(errs, field.Invalid(path, s, "must be a strict subset of `cidr`"))
		}
	}
	return errs
}
