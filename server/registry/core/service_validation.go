package core

import (
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metavalidation "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
	netutils "k8s.io/utils/net"

	"skiff/server/registry/podtemplate"
	"skiff/server/registry/untagged"
)

var internalPolicies = []corev1.ServiceInternalTrafficPolicy{corev1.ServiceInternalTrafficPolicyCluster, corev1.ServiceInternalTrafficPolicyLocal}

func legalInternalPolicy(spec *corev1.ServiceSpec) bool {
	return spec.InternalTrafficPolicy == nil || slices.Contains(internalPolicies, *spec.InternalTrafficPolicy)
}

// validateService checks a service; old is nil on create.
func validateService(s, old *corev1.Service) field.ErrorList {
	spec, fld := &s.Spec, path("spec")
	var errs field.ErrorList
	hints, hinted := s.Annotations[corev1.DeprecatedAnnotationTopologyAwareHints]
	mode, moded := s.Annotations[corev1.AnnotationTopologyMode]
	if hinted && moded && hints != mode {
		errs = append(errs, field.Invalid(path("metadata", "annotations").Key(corev1.AnnotationTopologyMode), mode,
			fmt.Sprintf("must match annotations[%s] when both are specified", corev1.DeprecatedAnnotationTopologyAwareHints)))
	}
	if len(spec.Ports) == 0 && !isHeadless(spec) && spec.Type != corev1.ServiceTypeExternalName {
		errs = append(errs, field.Required(fld.Child("ports"), ""))
	}
	errs = append(errs, validateServiceOfType(spec, fld)...)
	names := sets.New[string]()
	for i := range spec.Ports {
		errs = append(errs, validateServicePort(&spec.Ports[i], len(spec.Ports) > 1, names, fld.Child("ports").Index(i))...)
	}
	if spec.Selector != nil {
		errs = append(errs, metavalidation.ValidateLabels(spec.Selector, fld.Child("selector"))...)
	}
	errs = append(errs, validateSessionAffinity(spec, fld)...)
	errs = append(errs, validateAddresses(s, old)...)
	errs = append(errs, validateExternalIPs(spec, old, fld.Child("externalIPs"))...)
	if spec.Type == "" {
		errs = append(errs, field.Required(fld.Child("type"), ""))
	} else {
		errs = append(errs, podtemplate.OneOf(fld.Child("type"), spec.Type, corev1.ServiceTypeClusterIP,
			corev1.ServiceTypeNodePort, corev1.ServiceTypeLoadBalancer, corev1.ServiceTypeExternalName)...)
	}
	errs = append(errs, validatePortSets(spec, fld.Child("ports"))...)
	errs = append(errs, validateSourceRanges(s, old, fld)...)
	errs = append(errs, validateLoadBalancerFields(spec, fld)...)
	return append(errs, validateTraffic(spec, fld)...)
}

func validateServiceOfType(spec *corev1.ServiceSpec, fld *field.Path) field.ErrorList {
	switch spec.Type {
	case corev1.ServiceTypeLoadBalancer, corev1.ServiceTypeNodePort:
		if isHeadless(spec) {
			return field.ErrorList{field.Invalid(fld.Child("clusterIPs").Index(0), spec.ClusterIPs[0],
				fmt.Sprintf("may not be set to 'None' for %s services", spec.Type))}
		}
	case corev1.ServiceTypeExternalName:
		const text = "may not be set for ExternalName services"
		var errs field.ErrorList
		if len(spec.ClusterIPs) > 0 {
			errs = append(errs, field.Forbidden(fld.Child("clusterIPs"), text))
		}
		if len(spec.IPFamilies) > 0 {
			errs = append(errs, field.Forbidden(fld.Child("ipFamilies"), text))
		}
		if spec.IPFamilyPolicy != nil {
			errs = append(errs, field.Forbidden(fld.Child("ipFamilyPolicy"), text))
		}
		if name := strings.TrimSuffix(spec.ExternalName, "."); name == "" {
			errs = append(errs, field.Required(fld.Child("externalName"), ""))
		} else {
			errs = append(errs, podtemplate.DNSSubdomain(name, fld.Child("externalName"))...)
		}
		return errs
	}
	return nil
}

func validateServicePort(p *corev1.ServicePort, named bool, names sets.Set[string], fld *field.Path) field.ErrorList {
	errs := portName(p.Name, named, fld.Child("name"))
	if p.Name != "" {
		if names.Has(p.Name) {
			errs = append(errs, field.Duplicate(fld.Child("name"), p.Name))
		}
		names.Insert(p.Name)
	}
	for _, msg := range validation.IsValidPortNum(int(p.Port)) {
		errs = append(errs, field.Invalid(fld.Child("port"), p.Port, msg))
	}
	errs = append(errs, podtemplate.Protocol(p.Protocol, fld.Child("protocol"))...)
	errs = append(errs, podtemplate.PortNumOrName(p.TargetPort, fld.Child("targetPort"))...)
	if p.AppProtocol != nil {
		errs = append(errs, podtemplate.QualifiedName(*p.AppProtocol, fld.Child("appProtocol"))...)
	}
	return errs
}

func validateSessionAffinity(spec *corev1.ServiceSpec, fld *field.Path) field.ErrorList {
	at, config := fld.Child("sessionAffinity"), fld.Child("sessionAffinityConfig")
	switch c := spec.SessionAffinity; c {
	case "":
		return field.ErrorList{field.Required(at, "")}
	case corev1.ServiceAffinityNone:
		if spec.SessionAffinityConfig != nil {
			return field.ErrorList{field.Forbidden(config, "must not be set when session affinity is None")}
		}
		return nil
	case corev1.ServiceAffinityClientIP:
		return validateAffinityConfig(spec.SessionAffinityConfig, config)
	default:
		return podtemplate.OneOf(at, c, corev1.ServiceAffinityClientIP, corev1.ServiceAffinityNone)
	}
}

// maxAffinitySeconds is a day.
const maxAffinitySeconds = 86400

func validateAffinityConfig(c *corev1.SessionAffinityConfig, fld *field.Path) field.ErrorList {
	const text = "when session affinity type is ClientIP"
	switch {
	case c == nil:
		return field.ErrorList{field.Required(fld, text)}
	case c.ClientIP == nil:
		return field.ErrorList{field.Required(fld.Child("clientIP"), text)}
	case c.ClientIP.TimeoutSeconds == nil:
		return field.ErrorList{field.Required(fld.Child("clientIP", "timeoutSeconds"), text)}
	}
	if s := *c.ClientIP.TimeoutSeconds; s <= 0 || s > maxAffinitySeconds {
		return field.ErrorList{field.Invalid(fld.Child("clientIP", "timeoutSeconds"), s, fmt.Sprintf("must be greater than 0 and less than %d", maxAffinitySeconds))}
	}
	return nil
}

func validateExternalIPs(spec *corev1.ServiceSpec, old *corev1.Service, fld *field.Path) field.ErrorList {
	var errs field.ErrorList
	var existing []string
	if old != nil {
		existing = old.Spec.ExternalIPs
	}
	for i, ip := range spec.ExternalIPs {
		found := podtemplate.LegacyIP(fld.Index(i), ip, existing)
		if len(found) == 0 {
			found = endpointIP(ip, fld.Index(i))
		}
		errs = append(errs, found...)
	}
	return errs
}

// validatePortSets checks that ports differ, on the service's address as on
// nodes.
func validatePortSets(spec *corev1.ServiceSpec, fld *field.Path) field.ErrorList {
	var errs field.ErrorList
	if spec.Type == corev1.ServiceTypeClusterIP {
		for i, p := range spec.Ports {
			if p.NodePort != 0 {
				errs = append(errs, field.Forbidden(fld.Index(i).Child("nodePort"), "may not be used when `type` is 'ClusterIP'"))
			}
		}
	}
	type key struct {
		protocol corev1.Protocol
		port     int32
	}
	onNodes, own := sets.New[key](), sets.New[key]()
	for i, p := range spec.Ports {
		if p.NodePort == 0 {
			continue
		}
		if k := (key{p.Protocol, p.NodePort}); onNodes.Has(k) {
			errs = append(errs, field.Duplicate(fld.Index(i).Child("nodePort"), p.NodePort))
		} else {
			onNodes.Insert(k)
		}
	}
	for i, p := range spec.Ports {
		if k := (key{p.Protocol, p.Port}); own.Has(k) {
			errs = append(errs, field.Duplicate(fld.Index(i), untagged.Value(corev1.ServicePort{Protocol: p.Protocol, Port: p.Port})))
		} else {
			own.Insert(k)
		}
	}
	return errs
}

func validateSourceRanges(s, old *corev1.Service, fld *field.Path) field.ErrorList {
	const key, text = corev1.AnnotationLoadBalancerSourceRangesKey, "may only be used when `type` is 'LoadBalancer'"
	var errs field.ErrorList
	if len(s.Spec.LoadBalancerSourceRanges) > 0 {
		at := fld.Child("LoadBalancerSourceRanges")
		if s.Spec.Type != corev1.ServiceTypeLoadBalancer {
			errs = append(errs, field.Forbidden(at, text))
		}
		var existing []string
		if old != nil {
			for _, cidr := range old.Spec.LoadBalancerSourceRanges {
				existing = append(existing, strings.TrimSpace(cidr))
			}
		}
		for i, cidr := range s.Spec.LoadBalancerSourceRanges {
			errs = append(errs, podtemplate.LegacyCIDR(at.Index(i), strings.TrimSpace(cidr), existing)...)
		}
		return errs
	}
	value, ok := s.Annotations[key]
	if !ok {
		return nil
	}
	at := path("metadata", "annotations").Key(key)
	if s.Spec.Type != corev1.ServiceTypeLoadBalancer {
		errs = append(errs, field.Forbidden(at, text))
	}
	if value = strings.TrimSpace(value); value == "" || old != nil && old.Annotations[key] == s.Annotations[key] {
		return errs
	}
	for cidr := range strings.SplitSeq(value, ",") {
		errs = append(errs, podtemplate.LegacyCIDR(at, strings.TrimSpace(cidr), nil)...)
	}
	return errs
}

func validateLoadBalancerFields(spec *corev1.ServiceSpec, fld *field.Path) field.ErrorList {
	balanced := spec.Type == corev1.ServiceTypeLoadBalancer
	var errs field.ErrorList
	if spec.AllocateLoadBalancerNodePorts != nil && !balanced {
		errs = append(errs, field.Forbidden(fld.Child("allocateLoadBalancerNodePorts"), "may only be used when `type` is 'LoadBalancer'"))
	}
	if spec.AllocateLoadBalancerNodePorts == nil && balanced {
		errs = append(errs, field.Required(path("allocateLoadBalancerNodePorts"), ""))
	}
	return append(errs, validateLoadBalancerClass(spec)...)
}

func validateLoadBalancerClass(spec *corev1.ServiceSpec) field.ErrorList {
	at := path("spec", "loadBalancerClass")
	switch {
	case spec.LoadBalancerClass == nil:
		return nil
	case spec.Type == corev1.ServiceTypeLoadBalancer:
		return podtemplate.QualifiedName(*spec.LoadBalancerClass, at)
	default:
		return field.ErrorList{field.Forbidden(at, "may only be used when `type` is 'LoadBalancer'")}
	}
}

func validateTraffic(spec *corev1.ServiceSpec, fld *field.Path) field.ErrorList {
	var errs field.ErrorList
	at := fld.Child("externalTrafficPolicy")
	switch policy := spec.ExternalTrafficPolicy; {
	case !externallyAccessible(spec):
		if policy != "" {
			errs = append(errs, field.Invalid(at, policy, "may only be set for externally-accessible services"))
		}
	case policy == "":
		errs = append(errs, field.Required(at, ""))
	default:
		errs = append(errs, podtemplate.OneOf(at, policy, corev1.ServiceExternalTrafficPolicyCluster, corev1.ServiceExternalTrafficPolicyLocal)...)
	}
	at = fld.Child("healthCheckNodePort")
	switch port := spec.HealthCheckNodePort; {
	case !needsHealthPort(spec):
		if port != 0 {
			errs = append(errs, field.Invalid(at, port, "may only be set when `type` is 'LoadBalancer' and `externalTrafficPolicy` is 'Local'"))
		}
	case port == 0:
		errs = append(errs, field.Required(at, ""))
	default:
		for _, msg := range validation.IsValidPortNum(int(port)) {
			errs = append(errs, field.Invalid(at, port, msg))
		}
	}
	at = fld.Child("internalTrafficPolicy")
	if policy := spec.InternalTrafficPolicy; policy != nil {
		errs = append(errs, podtemplate.OneOf(at, *policy, internalPolicies...)...)
	} else if hasAddress(spec) {
		errs = append(errs, field.Required(at, ""))
	}
	if d := spec.TrafficDistribution; d != nil {
		switch *d {
		case corev1.ServiceTrafficDistributionPreferClose, corev1.ServiceTrafficDistributionPreferSameZone, corev1.ServiceTrafficDistributionPreferSameNode:
		default:
			errs = append(errs, field.NotSupported(fld.Child("trafficDistribution"), *d, []string{
				corev1.ServiceTrafficDistributionPreferClose, corev1.ServiceTrafficDistributionPreferSameZone, corev1.ServiceTrafficDistributionPreferSameNode}))
		}
	}
	return errs
}

// ValidateLoadBalancerStatus checks what a load balancer reports for a service of
// this type.
func ValidateLoadBalancerStatus(s, old *corev1.LoadBalancerStatus, serviceType corev1.ServiceType, fld *field.Path) field.ErrorList {
	at := fld.Child("ingress")
	if serviceType != corev1.ServiceTypeLoadBalancer && len(s.Ingress) > 0 {
		return field.ErrorList{field.Forbidden(at, "may only be used when `spec.type` is 'LoadBalancer'")}
	}
	var existing []string
	for _, ingress := range old.Ingress {
		if ingress.IP != "" {
			existing = append(existing, ingress.IP)
		}
	}
	var errs field.ErrorList
	for i, ingress := range s.Ingress {
		if ingress.IP != "" {
			errs = append(errs, podtemplate.LegacyIP(at.Index(i).Child("ip"), ingress.IP, existing)...)
		}
		mode := at.Index(i).Child("ipMode")
		switch {
		case ingress.IPMode == nil && ingress.IP != "":
			errs = append(errs, field.Required(mode, "must be specified when `ip` is set"))
		case ingress.IPMode == nil:
		case ingress.IP == "":
			errs = append(errs, field.Forbidden(mode, "may not be specified when `ip` is not set"))
		default:
			errs = append(errs, podtemplate.OneOf(mode, *ingress.IPMode, corev1.LoadBalancerIPModeVIP, corev1.LoadBalancerIPModeProxy)...)
		}
		if ingress.Hostname == "" {
			continue
		}
		host := at.Index(i).Child("hostname")
		for _, msg := range validation.IsDNS1123Subdomain(ingress.Hostname) {
			errs = append(errs, field.Invalid(host, ingress.Hostname, msg))
		}
		if netutils.ParseIPSloppy(ingress.Hostname) != nil {
			errs = append(errs, field.Invalid(host, ingress.Hostname, "must be a DNS name, not an IP address"))
		}
	}
	return errs
}
