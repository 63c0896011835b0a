package kubedns

import (
	"net/netip"
	"strings"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/utils/ptr"
)

const (
	labelManagedBy = "app.kubernetes.io/managed-by"
	managedBy      = "skiff"
	// labelProxy names the service proxy that a service is for; others leave it
	// alone (KEP-2447).
	labelProxy = "service.kubernetes.io/service-proxy-name"
)

// wellKnown are the labels by which upstream's tools find the DNS, and ours.
var wellKnown = map[string]string{
	"k8s-app":                       "kube-dns",
	"kubernetes.io/cluster-service": "true",
	"kubernetes.io/name":            "KubeDNS",
	labelManagedBy:                  managedBy,
	labelProxy:                      managedBy,
}

// service is the service as it is made.
func service(addresses []netip.Addr) *corev1.Service {
	s := &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Namespace: Namespace, Name: Name, Labels: wellKnown},
		Spec: corev1.ServiceSpec{
			Type: corev1.ServiceTypeClusterIP, Ports: ports(), SessionAffinity: corev1.ServiceAffinityNone,
			ClusterIP: addresses[0].String(), ClusterIPs: texts(addresses), IPFamilyPolicy: ptr.To(corev1.IPFamilyPolicySingleStack),
		},
	}
	for _, a := range addresses {
		family := corev1.IPv4Protocol
		if a.Is6() {
			family = corev1.IPv6Protocol
		}
		s.Spec.IPFamilies = append(s.Spec.IPFamilies, family)
	}
	if len(addresses) > 1 {
		s.Spec.IPFamilyPolicy = ptr.To(corev1.IPFamilyPolicyRequireDualStack)
	}
	return s
}

func ports() []corev1.ServicePort {
	return []corev1.ServicePort{
		{Name: "dns", Protocol: corev1.ProtocolUDP, Port: 53, TargetPort: intstr.FromInt32(53)},
		{Name: "dns-tcp", Protocol: corev1.ProtocolTCP, Port: 53, TargetPort: intstr.FromInt32(53)},
	}
}

// slice says that what is sent to the service's address is answered there.
func slice(a netip.Addr) *discoveryv1.EndpointSlice {
	s := &discoveryv1.EndpointSlice{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: Namespace, Name: sliceName(a),
			Labels: map[string]string{
				discoveryv1.LabelServiceName: Name, discoveryv1.LabelManagedBy: managedBy,
				"k8s-app": "kube-dns", labelProxy: managedBy,
			},
		},
		AddressType: addressType(a),
		Endpoints:   []discoveryv1.Endpoint{{Addresses: []string{a.String()}, Conditions: discoveryv1.EndpointConditions{Ready: ptr.To(true)}}},
	}
	for _, p := range ports() {
		s.Ports = append(s.Ports, discoveryv1.EndpointPort{Name: &p.Name, Protocol: &p.Protocol, Port: &p.Port})
	}
	return s
}

func addressType(a netip.Addr) discoveryv1.AddressType {
	if a.Is6() {
		return discoveryv1.AddressTypeIPv6
	}
	return discoveryv1.AddressTypeIPv4
}

func sliceName(a netip.Addr) string { return Name + "-" + strings.ToLower(string(addressType(a))) }

func texts(addresses []netip.Addr) []string {
	list := make([]string, len(addresses))
	for i, a := range addresses {
		list[i] = a.String()
	}
	return list
}
