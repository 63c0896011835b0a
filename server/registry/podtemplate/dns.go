package podtemplate

import (
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// What the resolver of the C library reads of a resolv.conf.
const (
	maxNameservers   = 3
	maxSearchPaths   = 32
	maxSearchChars   = 2048
	maxHostnameChars = 64
)

func validateDNSConfig(c *corev1.PodDNSConfig, policy corev1.DNSPolicy, fld *field.Path) field.ErrorList {
	if policy == corev1.DNSNone {
		if c == nil {
			return field.ErrorList{field.Required(fld, fmt.Sprintf("must provide `dnsConfig` when `dnsPolicy` is %s", corev1.DNSNone))}
		}
		if len(c.Nameservers) == 0 {
			return field.ErrorList{field.Required(fld.Child("nameservers"), fmt.Sprintf("must provide at least one DNS nameserver when `dnsPolicy` is %s", corev1.DNSNone))}
		}
	}
	if c == nil {
		return nil
	}
	var errs field.ErrorList
	if len(c.Nameservers) > maxNameservers {
		errs = append(errs, field.Invalid(fld.Child("nameservers"), c.Nameservers, fmt.Sprintf("must not have more than %v nameservers", maxNameservers)))
	}
	for i, server := range c.Nameservers {
		errs = append(errs, LegacyIP(fld.Child("nameservers").Index(i), server, nil)...)
	}
	searches := fld.Child("searches")
	if len(c.Searches) > maxSearchPaths {
		errs = append(errs, field.Invalid(searches, c.Searches, fmt.Sprintf("must not have more than %v search paths", maxSearchPaths)))
	}
	if len(strings.Join(c.Searches, " ")) > maxSearchChars {
		errs = append(errs, field.Invalid(searches, c.Searches, fmt.Sprintf("must not have more than %v characters (including spaces) in the search list", maxSearchChars)))
	}
	for i, search := range c.Searches {
		if search == "." {
			continue
		}
		search = strings.TrimSuffix(search, ".")
		errs = append(errs, invalids(searches.Index(i), search, validation.IsDNS1123SubdomainWithUnderscore(search))...)
	}
	for i, option := range c.Options {
		if option.Name == "" {
			errs = append(errs, field.Required(fld.Child("options").Index(i), "must not be empty"))
		}
	}
	return errs
}

// validateHostnameOverride checks a host name that replaces the pod's (KEP-4762).
func validateHostnameOverride(spec *corev1.PodSpec, fld *field.Path) field.ErrorList {
	if spec.HostnameOverride == nil {
		return nil
	}
	at := fld.Child("hostnameOverride")
	var errs field.ErrorList
	if isTrue(spec.SetHostnameAsFQDN) {
		errs = append(errs, field.Forbidden(at, "may not be specified when setHostnameAsFQDN is true"))
	}
	if spec.HostNetwork {
		errs = append(errs, field.Forbidden(at, "may not be specified when hostNetwork is true"))
	}
	if len(*spec.HostnameOverride) > maxHostnameChars {
		errs = append(errs, field.TooLong(at, "", maxHostnameChars))
	}
	return append(errs, DNSSubdomain(*spec.HostnameOverride, at)...)
}

func validateHostAliases(aliases []corev1.HostAlias, fld *field.Path) field.ErrorList {
	var errs field.ErrorList
	for i := range aliases {
		errs = append(errs, LegacyIP(fld.Index(i).Child("ip"), aliases[i].IP, nil)...)
		for j, name := range aliases[i].Hostnames {
			errs = append(errs, DNSSubdomain(name, fld.Index(i).Child("hostnames").Index(j))...)
		}
	}
	return errs
}
