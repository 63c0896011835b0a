package networking

import (
	"context"

	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/api/validate/content"
	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	utilvalidation "k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
	netutils "k8s.io/utils/net"

	"skiff/server/registry/check"
	"skiff/server/registry/untagged"
)

// validateIPAddressName wants the address in its canonical form.
func validateIPAddressName(name string, _ bool) []string {
	var messages []string
	for _, err := range utilvalidation.IsValidIP(&field.Path{}, name) {
		messages = append(messages, err.Detail)
	}
	return messages
}

func validateIPAddress(_ context.Context, a *networkingv1.IPAddress) field.ErrorList {
	ref, fld := a.Spec.ParentRef, field.NewPath("spec", "parentRef")
	if ref == nil {
		return field.ErrorList{field.Required(fld, "")}
	}
	var errs field.ErrorList
	if ref.Group != "" {
		errs = append(errs, check.Messages(ref.Group, utilvalidation.IsDNS1123Subdomain(ref.Group), fld.Child("group"))...)
	}
	errs = append(errs, requiredSegment(ref.Resource, fld.Child("resource"))...)
	errs = append(errs, requiredSegment(ref.Name, fld.Child("name"))...)
	if ref.Namespace != "" {
		errs = append(errs, check.Messages(ref.Namespace, content.IsPathSegmentName(ref.Namespace), fld.Child("namespace"))...)
	}
	return errs
}

func validateIPAddressUpdate(ctx context.Context, a, old *networkingv1.IPAddress) field.ErrorList {
	return append(validateIPAddress(ctx, a), check.Immutable(a.Spec.ParentRef, old.Spec.ParentRef, field.NewPath("spec", "parentRef"))...)
}

func validateServiceCIDR(_ context.Context, c *networkingv1.ServiceCIDR) field.ErrorList {
	fld, cidrs := field.NewPath("spec", "cidrs"), c.Spec.CIDRs
	switch {
	case len(cidrs) == 0:
		return field.ErrorList{field.Required(fld, "at least one CIDR required")}
	case len(cidrs) > 2:
		return field.ErrorList{field.Invalid(fld, untagged.Value(c.Spec), "may only hold up to 2 values")}
	}
	var errs field.ErrorList
	for i, cidr := range cidrs {
		errs = append(errs, utilvalidation.IsValidCIDR(fld.Index(i), cidr)...)
	}
	if len(cidrs) == 2 {
		a, b := netutils.IPFamilyOfCIDRString(cidrs[0]), netutils.IPFamilyOfCIDRString(cidrs[1])
		if a == b && a != netutils.IPFamilyUnknown {
			errs = append(errs, field.Invalid(fld, cidrs, "may specify no more than one IP for each IP family, i.e 192.168.0.0/24 and 2001:db8::/64"))
		}
	}
	return errs
}

// validateServiceCIDRUpdate allows nothing but to add the second IP family.
func validateServiceCIDRUpdate(ctx context.Context, c, old *networkingv1.ServiceCIDR) field.ErrorList {
	fld := field.NewPath("spec", "cidrs")
	var errs field.ErrorList
	switch added := len(old.Spec.CIDRs) == 1 && len(c.Spec.CIDRs) == 2; {
	case added || len(old.Spec.CIDRs) == len(c.Spec.CIDRs):
		for i, cidr := range old.Spec.CIDRs {
			if cidr != c.Spec.CIDRs[i] {
				errs = append(errs, field.Invalid(fld.Index(i), c.Spec.CIDRs[i], apivalidation.FieldImmutableErrorMsg))
			}
		}
		if added {
			errs = append(errs, validateServiceCIDR(ctx, c)...)
		}
	default:
		errs = append(errs, field.Invalid(fld, c.Spec.CIDRs, apivalidation.FieldImmutableErrorMsg))
	}
	return errs
}
