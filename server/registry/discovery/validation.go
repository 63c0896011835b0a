package discovery

import (
	"context"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	apiequality "k8s.io/apimachinery/pkg/api/equality"
	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	metav1validation "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	utilvalidation "k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
	netutils "k8s.io/utils/net"

	"skiff/server/registry/check"
)

// Limits of a slice (KEP-752).
const (
	maxTopologyLabels = 16
	maxAddresses      = 100
	maxPorts          = 20000
	maxEndpoints      = 1000
	maxHints          = 8
)

func validateSlice(_ context.Context, s *discoveryv1.EndpointSlice) field.ErrorList {
	return validate(s, nil)
}

func validateSliceUpdate(_ context.Context, s, old *discoveryv1.EndpointSlice) field.ErrorList {
	return append(validate(s, old), apivalidation.ValidateImmutableField(s.AddressType, old.AddressType, field.NewPath("addressType"))...)
}

func validate(s, old *discoveryv1.EndpointSlice) field.ErrorList {
	errs := check.OneOf(s.AddressType, []discoveryv1.AddressType{discoveryv1.AddressTypeFQDN, discoveryv1.AddressTypeIPv4, discoveryv1.AddressTypeIPv6}, field.NewPath("addressType"))
	errs = append(errs, validatePorts(s.Ports, field.NewPath("ports"))...)
	endpoints := validateEndpoints(s.Endpoints, s.AddressType, field.NewPath("endpoints"))
	if len(endpoints) > 0 && old != nil && apiequality.Semantic.DeepEqual(old.Endpoints, s.Endpoints) {
		// They were valid once.
		return errs
	}
	return append(errs, endpoints...)
}

func validatePorts(ports []discoveryv1.EndpointPort, fld *field.Path) field.ErrorList {
	if len(ports) > maxPorts {
		return field.ErrorList{field.TooMany(fld, len(ports), maxPorts)}
	}
	var errs field.ErrorList
	names := map[string]bool{}
	for i := range ports {
		p, path := &ports[i], fld.Index(i)
		if p.Name != nil {
			if *p.Name != "" {
				errs = append(errs, check.Messages(*p.Name, utilvalidation.IsDNS1123Label(*p.Name), path.Child("name"))...)
			}
			if names[*p.Name] {
				errs = append(errs, field.Duplicate(path.Child("name"), p.Name))
			}
			names[*p.Name] = true
		}
		if p.Protocol == nil {
			errs = append(errs, field.Required(path.Child("protocol"), ""))
		} else {
			errs = append(errs, check.Supported(*p.Protocol, []corev1.Protocol{corev1.ProtocolSCTP, corev1.ProtocolTCP, corev1.ProtocolUDP}, path.Child("protocol"))...)
		}
		if p.AppProtocol != nil {
			errs = append(errs, check.Messages(*p.AppProtocol, utilvalidation.IsQualifiedName(*p.AppProtocol), path.Child("appProtocol"))...)
		}
	}
	return errs
}

func validateEndpoints(endpoints []discoveryv1.Endpoint, t discoveryv1.AddressType, fld *field.Path) field.ErrorList {
	if len(endpoints) > maxEndpoints {
		return field.ErrorList{field.TooMany(fld, len(endpoints), maxEndpoints)}
	}
	var errs field.ErrorList
	for i := range endpoints {
		errs = append(errs, validateEndpoint(&endpoints[i], t, fld.Index(i))...)
	}
	return errs
}

func validateEndpoint(e *discoveryv1.Endpoint, t discoveryv1.AddressType, fld *field.Path) field.ErrorList {
	var errs field.ErrorList
	addresses := fld.Child("addresses")
	if len(e.Addresses) == 0 {
		errs = append(errs, field.Required(addresses, ""))
	} else if len(e.Addresses) > maxAddresses {
		errs = append(errs, field.TooMany(addresses, len(e.Addresses), maxAddresses))
	}
	for i, a := range e.Addresses {
		errs = append(errs, validateAddress(a, t, addresses, i)...)
	}
	if e.NodeName != nil {
		errs = append(errs, check.Messages(*e.NodeName, apivalidation.NameIsDNSSubdomain(*e.NodeName, false), fld.Child("nodeName"))...)
	}
	topology := fld.Child("deprecatedTopology")
	if len(e.DeprecatedTopology) > maxTopologyLabels {
		errs = append(errs, field.TooMany(topology, len(e.DeprecatedTopology), maxTopologyLabels))
	}
	errs = append(errs, metav1validation.ValidateLabels(e.DeprecatedTopology, topology)...)
	if e.Hostname != nil {
		errs = append(errs, check.Messages(*e.Hostname, utilvalidation.IsDNS1123Label(*e.Hostname), fld.Child("hostname"))...)
	}
	if e.Hints != nil {
		errs = append(errs, validateHints(e.Hints, fld.Child("hints"))...)
	}
	return errs
}

func validateAddress(address string, t discoveryv1.AddressType, fld *field.Path, i int) field.ErrorList {
	switch t {
	case discoveryv1.AddressTypeIPv4:
		if errs := utilvalidation.IsValidIPForLegacyField(fld.Index(i), address, true, nil); len(errs) > 0 {
			return errs
		}
		var errs field.ErrorList
		if !netutils.IsIPv4String(address) {
			errs = append(errs, field.Invalid(fld, address, "must be an IPv4 address"))
		}
		return append(errs, check.EndpointIP(address, fld.Index(i))...)
	case discoveryv1.AddressTypeIPv6:
		if errs := utilvalidation.IsValidIP(fld.Index(i), address); len(errs) > 0 {
			return errs
		}
		var errs field.ErrorList
		if !netutils.IsIPv6String(address) {
			errs = append(errs, field.Invalid(fld, address, "must be an IPv6 address"))
		}
		return append(errs, check.EndpointIP(address, fld.Index(i))...)
	case discoveryv1.AddressTypeFQDN:
		return utilvalidation.IsFullyQualifiedDomainName(fld.Index(i), address)
	default:
		return nil
	}
}

func validateHints(h *discoveryv1.EndpointHints, fld *field.Path) field.ErrorList {
	zones, nodes := make([]string, len(h.ForZones)), make([]string, len(h.ForNodes))
	for i := range h.ForZones {
		zones[i] = h.ForZones[i].Name
	}
	for i := range h.ForNodes {
		nodes[i] = h.ForNodes[i].Name
	}
	if len(zones) > maxHints {
		return field.ErrorList{field.TooMany(fld.Child("forZones"), len(zones), maxHints)}
	}
	errs := validateHintNames(zones, utilvalidation.IsValidLabelValue, fld.Child("forZones"))
	if len(nodes) > maxHints {
		return append(errs, field.TooMany(fld.Child("forNodes"), len(nodes), maxHints))
	}
	isName := func(name string) []string { return apivalidation.NameIsDNSSubdomain(name, false) }
	return append(errs, validateHintNames(nodes, isName, fld.Child("forNodes"))...)
}

func validateHintNames(names []string, isValid func(string) []string, fld *field.Path) field.ErrorList {
	var errs field.ErrorList
	seen := map[string]bool{}
	for i, name := range names {
		path := fld.Index(i).Child("name")
		if seen[name] {
			errs = append(errs, field.Duplicate(path, name))
		}
		seen[name] = true
		errs = append(errs, check.Messages(name, isValid(name), path)...)
	}
	return errs
}
