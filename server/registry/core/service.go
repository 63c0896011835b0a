package core

import (
	"context"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"skiff/server/registry"
	"skiff/server/registry/table"
)

func services(d Deps) *registry.Resource {
	r := resourceOf[corev1.Service, corev1.ServiceList]("services", "Service", "svc")
	r.Categories = []string{"all"}
	r.ReturnsDeleted = true
	r.Rules.CreateOnUpdate = true
	r.Rules.ValidateName = apivalidation.NameIsDNSLabel
	r.Rules.Default = registry.Default(defaultService)
	r.Rules.PrepareCreate = registry.Prepare(func(_ context.Context, s *corev1.Service) { s.Status = corev1.ServiceStatus{} })
	r.Rules.PrepareUpdate = registry.PrepareUpdate(func(_ context.Context, s, old *corev1.Service) { s.Status = old.Status })
	allocator := newAllocator(d)
	r.Rules.Allocate = allocator.allocate
	r.Rules.Claims = serviceClaims
	r.Rules.Validate = registry.Validate(func(_ context.Context, s *corev1.Service) field.ErrorList {
		return validateService(s, nil)
	})
	r.Rules.ValidateUpdate = registry.ValidateUpdate(func(_ context.Context, s, old *corev1.Service) field.ErrorList {
		return append(validateServiceChange(s, old), validateService(s, old)...)
	})
	r.Rules.Warnings = func(_ context.Context, obj, _ registry.Object) []string {
		return serviceWarnings(obj.(*corev1.Service))
	}
	r.FieldNames = []string{"spec.clusterIP", "spec.type"}
	r.Fields = func(obj registry.Object) fields.Set {
		s := obj.(*corev1.Service)
		return fields.Set{"spec.clusterIP": s.Spec.ClusterIP, "spec.type": string(s.Spec.Type)}
	}
	r.Columns = serviceColumns()
	r.Cells = registry.Cells(serviceCells)
	r.Subresources = []registry.Subresource{
		{Name: "status", Update: &registry.Rules{
			PrepareUpdate: registry.PrepareUpdate(func(_ context.Context, s, old *corev1.Service) { s.Spec = old.Spec }),
			ValidateUpdate: registry.ValidateUpdate(func(_ context.Context, s, old *corev1.Service) field.ErrorList {
				return ValidateLoadBalancerStatus(&s.Status.LoadBalancer, &old.Status.LoadBalancer, s.Spec.Type, path("status", "loadBalancer"))
			}),
			Warnings: func(_ context.Context, obj, _ registry.Object) []string {
				var texts []string
				for i, ingress := range obj.(*corev1.Service).Status.LoadBalancer.Ingress {
					if ingress.IP != "" {
						texts = append(texts, validation.GetWarningsForIP(path("status", "loadBalancer", "ingress").Index(i), ingress.IP)...)
					}
				}
				return texts
			},
		}},
		{
			Name: "proxy", Kind: corev1.SchemeGroupVersion.WithKind("ServiceProxyOptions"), Connect: d.serviceProxy, Verbs: connectVerbs,
			New: registry.New[corev1.ServiceProxyOptions](),
		},
	}
	return r
}

func defaultService(s *corev1.Service) {
	spec := &s.Spec
	if spec.SessionAffinity == "" {
		spec.SessionAffinity = corev1.ServiceAffinityNone
	}
	defaultAffinity(spec)
	if spec.Type == "" {
		spec.Type = corev1.ServiceTypeClusterIP
	}
	for i := range spec.Ports {
		p := &spec.Ports[i]
		if p.Protocol == "" {
			p.Protocol = corev1.ProtocolTCP
		}
		if p.TargetPort == intstr.FromInt32(0) || p.TargetPort == intstr.FromString("") {
			p.TargetPort = intstr.FromInt32(p.Port)
		}
	}
	if externallyAccessible(spec) && spec.ExternalTrafficPolicy == "" {
		spec.ExternalTrafficPolicy = corev1.ServiceExternalTrafficPolicyCluster
	}
	switch {
	case spec.Type == corev1.ServiceTypeExternalName && legalInternalPolicy(spec):
		spec.InternalTrafficPolicy = nil // it says nothing, so it is not shown
	case spec.InternalTrafficPolicy == nil && hasAddress(spec):
		spec.InternalTrafficPolicy = new(corev1.ServiceInternalTrafficPolicyCluster)
	}
	if spec.Type != corev1.ServiceTypeLoadBalancer {
		return
	}
	if spec.AllocateLoadBalancerNodePorts == nil {
		spec.AllocateLoadBalancerNodePorts = new(true)
	}
	for i := range s.Status.LoadBalancer.Ingress {
		if ingress := &s.Status.LoadBalancer.Ingress[i]; ingress.IP != "" && ingress.IPMode == nil {
			ingress.IPMode = new(corev1.LoadBalancerIPModeVIP)
		}
	}
}

func defaultAffinity(spec *corev1.ServiceSpec) {
	switch c := spec.SessionAffinityConfig; spec.SessionAffinity {
	case corev1.ServiceAffinityNone:
		spec.SessionAffinityConfig = nil
	case corev1.ServiceAffinityClientIP:
		if c == nil || c.ClientIP == nil || c.ClientIP.TimeoutSeconds == nil {
			spec.SessionAffinityConfig = &corev1.SessionAffinityConfig{
				ClientIP: &corev1.ClientIPConfig{TimeoutSeconds: new(corev1.DefaultClientIPServiceAffinitySeconds)},
			}
		}
	}
}

// hasAddress tells whether services of this type have an address of their own,
// or None in its place.
func hasAddress(spec *corev1.ServiceSpec) bool {
	switch spec.Type {
	case corev1.ServiceTypeClusterIP, corev1.ServiceTypeNodePort, corev1.ServiceTypeLoadBalancer:
		return true
	}
	return false
}

func externallyAccessible(spec *corev1.ServiceSpec) bool {
	return spec.Type == corev1.ServiceTypeLoadBalancer || spec.Type == corev1.ServiceTypeNodePort ||
		spec.Type == corev1.ServiceTypeClusterIP && len(spec.ExternalIPs) > 0
}

// needsHealthPort tells whether load balancers ask every node if it has an
// endpoint of the service.
func needsHealthPort(spec *corev1.ServiceSpec) bool {
	return spec.Type == corev1.ServiceTypeLoadBalancer && spec.ExternalTrafficPolicy == corev1.ServiceExternalTrafficPolicyLocal
}

// isHeadless tells whether the service is just a name for its endpoints.
func isHeadless(spec *corev1.ServiceSpec) bool {
	return len(spec.ClusterIPs) == 1 && spec.ClusterIPs[0] == corev1.ClusterIPNone
}

func serviceWarnings(s *corev1.Service) []string {
	var texts []string
	spec := &s.Spec
	headless := spec.Type == corev1.ServiceTypeClusterIP && spec.ClusterIP == corev1.ClusterIPNone
	add := func(when bool, text string) {
		if when {
			texts = append(texts, text)
		}
	}
	_, hints := s.Annotations[corev1.DeprecatedAnnotationTopologyAwareHints]
	add(hints, fmt.Sprintf("annotation %s is deprecated, please use %s instead", corev1.DeprecatedAnnotationTopologyAwareHints, corev1.AnnotationTopologyMode))
	if spec.Type != corev1.ServiceTypeExternalName && spec.ClusterIP != "" && spec.ClusterIP != corev1.ClusterIPNone {
		for i, ip := range spec.ClusterIPs {
			texts = append(texts, validation.GetWarningsForIP(path("spec", "clusterIPs").Index(i), ip)...)
		}
	}
	add(headless && spec.LoadBalancerIP != "", "spec.loadBalancerIP is ignored for headless services")
	add(headless && len(spec.ExternalIPs) > 0, "spec.externalIPs is ignored for headless services")
	add(headless && spec.SessionAffinity != corev1.ServiceAffinityNone, "spec.SessionAffinity is ignored for headless services")
	for i, ip := range spec.ExternalIPs {
		texts = append(texts, validation.GetWarningsForIP(path("spec", "externalIPs").Index(i), ip)...)
	}
	named := spec.Type == corev1.ServiceTypeExternalName
	add(len(spec.ExternalIPs) > 0 && !headless && !named, "spec.externalIPs is deprecated and may no longer be implemented in some clusters")
	if spec.LoadBalancerIP != "" {
		texts = append(texts, validation.GetWarningsForIP(path("spec", "loadBalancerIP"), spec.LoadBalancerIP)...)
	}
	for i, cidr := range spec.LoadBalancerSourceRanges {
		texts = append(texts, validation.GetWarningsForCIDR(path("spec", "loadBalancerSourceRanges").Index(i), cidr)...)
	}
	add(named && len(spec.ExternalIPs) > 0, `spec.externalIPs is ignored when spec.type is "ExternalName"`)
	add(!named && spec.ExternalName != "", `spec.externalName is ignored when spec.type is not "ExternalName"`)
	if d := spec.TrafficDistribution; d != nil {
		add(*d == corev1.ServiceTrafficDistributionPreferClose, fmt.Sprintf("spec.trafficDistribution: %q is deprecated; use %q",
			corev1.ServiceTrafficDistributionPreferClose, corev1.ServiceTrafficDistributionPreferSameZone))
	}
	return texts
}

func serviceColumns() []table.Column {
	doc := func(name string) string { return table.Doc(corev1.ServiceSpec{}, name) }
	return []table.Column{
		table.Name(),
		table.String("Type", doc("type")),
		table.String("Cluster-IP", doc("clusterIP")),
		table.String("External-IP", doc("externalIPs")),
		table.String("Port(s)", doc("ports")),
		table.Age(),
		table.Wide("Selector", doc("selector")),
	}
}

func serviceCells(s *corev1.Service) []any {
	ip := "<none>"
	if len(s.Spec.ClusterIPs) > 0 {
		ip = s.Spec.ClusterIPs[0]
	}
	ports := make([]string, len(s.Spec.Ports))
	for i, p := range s.Spec.Ports {
		ports[i] = fmt.Sprintf("%d/%s", p.Port, p.Protocol)
		if p.NodePort > 0 {
			ports[i] = fmt.Sprintf("%d:%d/%s", p.Port, p.NodePort, p.Protocol)
		}
	}
	return []any{
		s.Name, string(s.Spec.Type), ip, externalAddresses(s), or(strings.Join(ports, ","), "<none>"),
		table.Since(s.CreationTimestamp), labels.FormatLabels(s.Spec.Selector),
	}
}

func externalAddresses(s *corev1.Service) string {
	external := strings.Join(s.Spec.ExternalIPs, ",")
	switch s.Spec.Type {
	case corev1.ServiceTypeClusterIP, corev1.ServiceTypeNodePort:
		return or(external, "<none>")
	case corev1.ServiceTypeExternalName:
		return s.Spec.ExternalName
	case corev1.ServiceTypeLoadBalancer:
		balancers := sets.New[string]()
		for _, ingress := range s.Status.LoadBalancer.Ingress {
			if address := or(ingress.IP, ingress.Hostname); address != "" {
				balancers.Insert(address)
			}
		}
		return or(strings.Join(slices.Concat(sets.List(balancers), s.Spec.ExternalIPs), ","), "<pending>")
	}
	return "<unknown>"
}
