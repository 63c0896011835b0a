package endpointslicemirroring

import (
	"maps"
	"net/netip"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// perSubset bounds the addresses that are mirrored of one subset.
const perSubset = 1000

// desired returns a slice for each subset and type of addresses in it.
func desired(ep *corev1.Endpoints) []*discoveryv1.EndpointSlice {
	var out []*discoveryv1.EndpointSlice
	for i := range ep.Subsets {
		s := &ep.Subsets[i]
		byType := map[discoveryv1.AddressType][]discoveryv1.Endpoint{}
		n := 0
		add := func(list []corev1.EndpointAddress, ready bool) {
			for j := range list {
				a, err := netip.ParseAddr(list[j].IP)
				if err != nil || n >= perSubset {
					continue
				}
				n++
				t := discoveryv1.AddressTypeIPv4
				if a.Is6() {
					t = discoveryv1.AddressTypeIPv6
				}
				byType[t] = append(byType[t], endpoint(&list[j], ready))
			}
		}
		add(s.Addresses, true)
		add(s.NotReadyAddresses, false)
		for _, t := range []discoveryv1.AddressType{discoveryv1.AddressTypeIPv4, discoveryv1.AddressTypeIPv6} {
			if len(byType[t]) > 0 {
				out = append(out, slice(ep, t, ports(s), byType[t]))
			}
		}
	}
	return out
}

func endpoint(a *corev1.EndpointAddress, ready bool) discoveryv1.Endpoint {
	e := discoveryv1.Endpoint{
		Addresses: []string{a.IP}, Conditions: discoveryv1.EndpointConditions{Ready: &ready}, TargetRef: a.TargetRef, NodeName: a.NodeName,
	}
	if a.Hostname != "" {
		e.Hostname = &a.Hostname
	}
	return e
}

func ports(s *corev1.EndpointSubset) []discoveryv1.EndpointPort {
	out := []discoveryv1.EndpointPort{}
	for i := range s.Ports {
		p := s.Ports[i]
		out = append(out, discoveryv1.EndpointPort{Name: &p.Name, Port: &p.Port, Protocol: &p.Protocol, AppProtocol: p.AppProtocol})
	}
	return out
}

func slice(ep *corev1.Endpoints, t discoveryv1.AddressType, ports []discoveryv1.EndpointPort, list []discoveryv1.Endpoint) *discoveryv1.EndpointSlice {
	s := &discoveryv1.EndpointSlice{
		ObjectMeta: metav1.ObjectMeta{
			GenerateName: ep.Name + "-", Namespace: ep.Namespace, Labels: maps.Clone(ep.Labels), Annotations: maps.Clone(ep.Annotations),
			OwnerReferences: []metav1.OwnerReference{*metav1.NewControllerRef(ep, corev1.SchemeGroupVersion.WithKind("Endpoints"))},
		},
		AddressType: t, Ports: ports, Endpoints: list,
	}
	if s.Labels == nil {
		s.Labels = map[string]string{}
	}
	s.Labels[discoveryv1.LabelServiceName] = ep.Name
	s.Labels[discoveryv1.LabelManagedBy] = name
	delete(s.Annotations, corev1.LastAppliedConfigAnnotation)
	delete(s.Annotations, corev1.EndpointsLastChangeTriggerTime)
	return s
}
