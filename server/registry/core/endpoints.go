package core

import (
	"context"
	"fmt"
	"net"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
	netutils "k8s.io/utils/net"

	"skiff/server/registry"
	"skiff/server/registry/podtemplate"
	"skiff/server/registry/table"
)

func endpoints() *registry.Resource {
	r := resourceOf[corev1.Endpoints, corev1.EndpointsList]("endpoints", "Endpoints", "ep")
	r.Versions[0].Deprecated = "v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice"
	r.Rules.CreateOnUpdate = true
	r.Rules.Default = registry.Default(func(e *corev1.Endpoints) {
		for i := range e.Subsets {
			for j := range e.Subsets[i].Ports {
				if p := &e.Subsets[i].Ports[j]; p.Protocol == "" {
					p.Protocol = corev1.ProtocolTCP
				}
			}
		}
	})
	r.Rules.Validate = registry.Validate(func(_ context.Context, e *corev1.Endpoints) field.ErrorList {
		return validateSubsets(e.Subsets)
	})
	r.Rules.ValidateUpdate = registry.ValidateUpdate(func(_ context.Context, e, old *corev1.Endpoints) field.ErrorList {
		errs := validateSubsets(e.Subsets)
		if len(errs) > 0 && equality.Semantic.DeepEqual(e.Subsets, old.Subsets) {
			return nil // what was stored once may stay
		}
		return errs
	})
	r.Rules.Warnings = endpointsWarnings
	r.Columns = []table.Column{table.Name(), table.String("Endpoints", table.Doc(corev1.Endpoints{}, "subsets")), table.Age()}
	r.Cells = registry.Cells(func(e *corev1.Endpoints) []any {
		return []any{e.Name, formatEndpoints(e), table.Since(e.CreationTimestamp)}
	})
	return r
}

func validateSubsets(subsets []corev1.EndpointSubset) field.ErrorList {
	var errs field.ErrorList
	for i := range subsets {
		s, at := &subsets[i], path("subsets").Index(i)
		if len(s.Addresses) == 0 && len(s.NotReadyAddresses) == 0 {
			errs = append(errs, field.Required(at, "must specify `addresses` or `notReadyAddresses`"))
		}
		for j := range s.Addresses {
			errs = append(errs, validateEndpointAddress(&s.Addresses[j], at.Child("addresses").Index(j))...)
		}
		for j := range s.NotReadyAddresses {
			errs = append(errs, validateEndpointAddress(&s.NotReadyAddresses[j], at.Child("notReadyAddresses").Index(j))...)
		}
		for j := range s.Ports {
			errs = append(errs, validateEndpointPort(&s.Ports[j], len(s.Ports) > 1, at.Child("ports").Index(j))...)
		}
	}
	return errs
}

func validateEndpointAddress(a *corev1.EndpointAddress, fld *field.Path) field.ErrorList {
	errs := podtemplate.LegacyIP(fld.Child("ip"), a.IP, nil)
	if a.Hostname != "" {
		errs = append(errs, podtemplate.DNSLabel(a.Hostname, fld.Child("hostname"))...)
	}
	if a.NodeName != nil {
		for _, msg := range apivalidation.NameIsDNSSubdomain(*a.NodeName, false) {
			errs = append(errs, field.Invalid(fld.Child("nodeName"), *a.NodeName, msg))
		}
	}
	return append(errs, endpointIP(a.IP, fld.Child("ip"))...)
}

// endpointIP refuses addresses that mean something else on every host.
func endpointIP(value string, fld *field.Path) field.ErrorList {
	ip := netutils.ParseIPSloppy(value)
	if ip == nil {
		return field.ErrorList{field.Invalid(fld, value, "must be a valid IP address")}
	}
	var errs field.ErrorList
	for _, c := range []struct {
		is   bool
		text string
	}{
		{ip.IsUnspecified(), fmt.Sprintf("may not be unspecified (%v)", value)},
		{ip.IsLoopback(), "may not be in the loopback range (127.0.0.0/8, ::1/128)"},
		{ip.IsLinkLocalUnicast(), "may not be in the link-local range (169.254.0.0/16, fe80::/10)"},
		{ip.IsLinkLocalMulticast(), "may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)"},
	} {
		if c.is {
			errs = append(errs, field.Invalid(fld, value, c.text))
		}
	}
	return errs
}

func validateEndpointPort(p *corev1.EndpointPort, named bool, fld *field.Path) field.ErrorList {
	errs := portName(p.Name, named, fld.Child("name"))
	for _, msg := range validation.IsValidPortNum(int(p.Port)) {
		errs = append(errs, field.Invalid(fld.Child("port"), p.Port, msg))
	}
	errs = append(errs, podtemplate.Protocol(p.Protocol, fld.Child("protocol"))...)
	if p.AppProtocol != nil {
		errs = append(errs, podtemplate.QualifiedName(*p.AppProtocol, fld.Child("appProtocol"))...)
	}
	return errs
}

func portName(name string, needed bool, fld *field.Path) field.ErrorList {
	switch {
	case name != "":
		return podtemplate.DNSLabel(name, fld)
	case needed:
		return field.ErrorList{field.Required(fld, "")}
	}
	return nil
}

func endpointsWarnings(_ context.Context, obj, _ registry.Object) []string {
	e := obj.(*corev1.Endpoints)
	var texts []string
	if e.Labels["endpoints.kubernetes.io/managed-by"] == "endpoint-controller" {
		return nil // its addresses come out of pods
	}
	for i := range e.Subsets {
		at := path("subsets").Index(i)
		for j, a := range e.Subsets[i].Addresses {
			texts = append(texts, validation.GetWarningsForIP(at.Child("addresses").Index(j).Child("ip"), a.IP)...)
		}
		for j, a := range e.Subsets[i].NotReadyAddresses {
			texts = append(texts, validation.GetWarningsForIP(at.Child("notReadyAddresses").Index(j).Child("ip"), a.IP)...)
		}
	}
	return texts
}

// formatEndpoints shows the first three addresses.
func formatEndpoints(e *corev1.Endpoints) string {
	if len(e.Subsets) == 0 {
		return "<none>"
	}
	const shown = 3
	var list []string
	for i := range e.Subsets {
		s := &e.Subsets[i]
		for _, a := range s.Addresses {
			if len(s.Ports) == 0 { // headless services may have no ports
				list = append(list, a.IP)
			}
		}
		for _, p := range s.Ports {
			for _, a := range s.Addresses {
				list = append(list, net.JoinHostPort(a.IP, strconv.Itoa(int(p.Port))))
			}
		}
	}
	if len(list) > shown {
		return fmt.Sprintf("%s + %d more...", strings.Join(list[:shown], ","), len(list)-shown)
	}
	return strings.Join(list, ",")
}
