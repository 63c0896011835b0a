package dns

import (
	"net/netip"
	"strings"

	"github.com/miekg/dns"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
)

// endpoint is one address and port of a service.
type endpoint struct {
	// label is the endpoint's host name, or its address with dashes.
	label    string
	addr     netip.Addr
	portName string
	protocol string
	port     int32
}

// endpoints returns the service's ready endpoints once per port; an endpoint of
// a service without ports once, with port 0.
func (z *zone) endpoints(svc *corev1.Service) (list []endpoint) {
	for _, slice := range z.source.Slices(svc.Namespace, svc.Name) {
		for i := range slice.Endpoints {
			ep := &slice.Endpoints[i]
			if !isReady(ep) && !svc.Spec.PublishNotReadyAddresses {
				continue
			}
			for _, address := range ep.Addresses {
				addr, err := netip.ParseAddr(address)
				if err != nil {
					continue
				}
				list = appendPorts(list, endpoint{label: endpointLabel(ep, addr), addr: addr}, slice.Ports)
			}
		}
	}
	return list
}

func appendPorts(list []endpoint, ep endpoint, ports []discoveryv1.EndpointPort) []endpoint {
	if len(ports) == 0 {
		return append(list, ep)
	}
	for _, p := range ports {
		ep.protocol = string(corev1.ProtocolTCP)
		if p.Name != nil {
			ep.portName = *p.Name
		}
		if p.Protocol != nil {
			ep.protocol = string(*p.Protocol)
		}
		if p.Port != nil {
			ep.port = *p.Port
		}
		list = append(list, ep)
	}
	return list
}

// isReady: a condition that is not known counts as true, by the API's
// convention.
func isReady(ep *discoveryv1.Endpoint) bool {
	return ep.Conditions.Ready == nil || *ep.Conditions.Ready
}

func endpointLabel(ep *discoveryv1.Endpoint, addr netip.Addr) string {
	if ep.Hostname != nil && *ep.Hostname != "" {
		return *ep.Hostname
	}
	return dashed(addr)
}

// port answers _PORT._PROTO.SERVICE.NAMESPACE.svc.
func (z *zone) port(name string, svc *corev1.Service, port, protocol string, qtype uint16) answer {
	a := z.ports(name, svc, func(n, p string) bool {
		return strings.EqualFold(n, port) && strings.EqualFold(p, protocol)
	})
	if qtype != dns.TypeSRV {
		a.records, a.extra = nil, nil
	}
	return a
}

// allPorts answers SRV for the service's own name: every port.
func (z *zone) allPorts(name string, svc *corev1.Service) answer {
	a := z.ports(name, svc, func(string, string) bool { return true })
	a.exists = a.exists || !isHeadless(svc)
	return a
}

func (z *zone) ports(name string, svc *corev1.Service, match func(portName, protocol string) bool) answer {
	var a answer
	service := svc.Name + "." + svc.Namespace + ".svc." + z.origin
	if !isHeadless(svc) {
		for _, p := range svc.Spec.Ports {
			if match(p.Name, string(p.Protocol)) {
				a.addService(name, service, uint16(p.Port))
			}
		}
		if a.exists {
			a.addAddresses(service, svc.Spec.ClusterIPs)
		}
		a.shareWeight()
		return a
	}
	seen := map[string]bool{}
	for _, ep := range z.endpoints(svc) {
		if ep.port == 0 || !match(ep.portName, ep.protocol) {
			continue
		}
		target := ep.label + "." + service
		a.addService(name, target, uint16(ep.port))
		if !seen[target] {
			seen[target] = true
			a.addAddresses(target, []string{ep.addr.String()})
		}
	}
	a.shareWeight()
	return a
}

func (a *answer) addService(name, target string, port uint16) {
	a.exists = true
	a.records = append(a.records, &dns.SRV{Hdr: header(name, dns.TypeSRV), Port: port, Target: target})
}

// shareWeight lets all SRV records of the answer weigh the same, 100 together.
func (a *answer) shareWeight() {
	for _, rr := range a.records {
		rr.(*dns.SRV).Weight = uint16(max(1, 100/len(a.records)))
	}
}

func (a *answer) addAddresses(name string, addresses []string) {
	for _, s := range addresses {
		if addr, err := netip.ParseAddr(s); err == nil {
			a.extra = append(a.extra, addressRecords(name, dns.TypeA, addr)...)
			a.extra = append(a.extra, addressRecords(name, dns.TypeAAAA, addr)...)
		}
	}
}

// reverse answers PTR for an address of the cluster; false if it is none that
// the cluster knows.
func (z *zone) reverse(name string, addr netip.Addr) ([]dns.RR, bool) {
	ptr := func(target string) dns.RR {
		return &dns.PTR{Hdr: header(name, dns.TypePTR), Ptr: target + ".svc." + z.origin}
	}
	if svc := z.source.ServiceAt(addr); svc != nil {
		return []dns.RR{ptr(svc.Name + "." + svc.Namespace)}, true
	}
	var records []dns.RR
	for _, slice := range z.source.SlicesAt(addr) {
		svc := z.source.Service(slice.Namespace, slice.Labels[discoveryv1.LabelServiceName])
		if svc == nil || !isHeadless(svc) {
			continue
		}
		for i := range slice.Endpoints {
			ep := &slice.Endpoints[i]
			if ep.Addresses[0] == addr.String() {
				records = append(records, ptr(endpointLabel(ep, addr)+"."+svc.Name+"."+svc.Namespace))
			}
		}
	}
	return records, len(records) > 0
}

// parseReverse reads the address out of a name below in-addr.arpa or ip6.arpa.
func parseReverse(name string) (netip.Addr, bool) {
	if s, ok := strings.CutSuffix(name, ".in-addr.arpa."); ok {
		parts := strings.Split(s, ".")
		for i, j := 0, len(parts)-1; i < j; i, j = i+1, j-1 {
			parts[i], parts[j] = parts[j], parts[i]
		}
		a, err := netip.ParseAddr(strings.Join(parts, "."))
		return a, err == nil
	}
	s, ok := strings.CutSuffix(name, ".ip6.arpa.")
	nibbles := strings.ReplaceAll(s, ".", "")
	if !ok || len(nibbles) != 32 {
		return netip.Addr{}, false
	}
	var b strings.Builder
	for i := range nibbles {
		if i > 0 && i%4 == 0 {
			b.WriteByte(':')
		}
		b.WriteByte(nibbles[len(nibbles)-1-i])
	}
	a, err := netip.ParseAddr(b.String())
	return a, err == nil
}
