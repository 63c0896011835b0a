package service

import (
	"cmp"
	"net/netip"
	"slices"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/utils/ptr"
)

// endpoint is one address of a service's port, with the conditions of KEP-1672.
type endpoint struct {
	at                          netip.AddrPort
	node                        string
	ready, serving, terminating bool
	hints                       *discoveryv1.EndpointHints
}

// endpointsOf collects one port's endpoints of a family. An address that is there
// twice, because another pod has it already, is the one's that does not end.
func endpointsOf(all []*discoveryv1.EndpointSlice, port string, ipv4 bool) (eps []endpoint) {
	index := map[netip.AddrPort]int{}
	for _, slice := range all {
		number := portNumber(slice, port)
		if number == 0 || (slice.AddressType == discoveryv1.AddressTypeIPv4) != ipv4 || !forProxies(slice) {
			continue
		}
		for i := range slice.Endpoints {
			ep, ok := endpointOf(&slice.Endpoints[i], number)
			if !ok {
				continue
			}
			if known, double := index[ep.at]; !double {
				index[ep.at] = len(eps)
				eps = append(eps, ep)
			} else if !ep.terminating {
				eps[known] = ep
			}
		}
	}
	return eps
}

// forProxies tells whether a slice is meant for service proxies at all.
func forProxies(slice *discoveryv1.EndpointSlice) bool {
	_, headless := slice.Labels[corev1.IsHeadlessService]
	return !headless
}

func endpointOf(ep *discoveryv1.Endpoint, port uint16) (endpoint, bool) {
	if len(ep.Addresses) == 0 {
		return endpoint{}, false
	}
	addr, err := netip.ParseAddr(ep.Addresses[0])
	return endpoint{
		at:          netip.AddrPortFrom(addr, port),
		node:        ptr.Deref(ep.NodeName, ""),
		ready:       ptr.Deref(ep.Conditions.Ready, true),
		serving:     ptr.Deref(ep.Conditions.Serving, true),
		terminating: ptr.Deref(ep.Conditions.Terminating, false),
		hints:       ep.Hints,
	}, err == nil
}

func portNumber(slice *discoveryv1.EndpointSlice, name string) uint16 {
	for _, p := range slice.Ports {
		if ptr.Deref(p.Name, "") == name && p.Port != nil {
			return uint16(*p.Port)
		}
	}
	return 0
}

// preferred returns which endpoints the service's traffic is kept to, by the
// hints that the endpoint slice controller wrote for the service's traffic
// distribution (KEP-2433, KEP-3015): those for this node, if all ready endpoints
// are hinted for nodes and one for this; else in the same way those for its zone;
// else all.
func (c *compiler) preferred(eps []endpoint) func(*endpoint) bool {
	for _, hint := range []struct {
		given func(*discoveryv1.EndpointHints) bool
		here  func(*discoveryv1.EndpointHints) bool
	}{
		{func(h *discoveryv1.EndpointHints) bool { return len(h.ForNodes) > 0 }, c.forNode},
		{func(h *discoveryv1.EndpointHints) bool { return len(h.ForZones) > 0 }, c.forZone},
	} {
		all, one := true, false
		for i := range eps {
			if e := &eps[i]; e.ready {
				all = all && e.hints != nil && hint.given(e.hints)
				one = one || e.hints != nil && hint.here(e.hints)
			}
		}
		if all && one {
			return func(e *endpoint) bool { return hint.here(e.hints) }
		}
	}
	return func(*endpoint) bool { return true }
}

func (c *compiler) forNode(h *discoveryv1.EndpointHints) bool {
	return slices.ContainsFunc(h.ForNodes, func(n discoveryv1.ForNode) bool { return n.Name == c.node.Name })
}

func (c *compiler) forZone(h *discoveryv1.EndpointHints) bool {
	return slices.ContainsFunc(h.ForZones, func(z discoveryv1.ForZone) bool { return z.Name == c.node.Zone })
}

// usable returns the ready endpoints among those that match; if there are none,
// those that still serve while they terminate (KEP-1669).
func usable(eps []endpoint, match func(*endpoint) bool) []netip.AddrPort {
	ready := addresses(eps, func(e *endpoint) bool { return e.ready && match(e) })
	if len(ready) > 0 {
		return ready
	}
	return addresses(eps, func(e *endpoint) bool { return e.serving && e.terminating && match(e) })
}

// addresses are those of the endpoints that match, sorted.
func addresses(eps []endpoint, match func(*endpoint) bool) (list []netip.AddrPort) {
	for i := range eps {
		if match(&eps[i]) {
			list = append(list, eps[i].at)
		}
	}
	slices.SortFunc(list, func(a, b netip.AddrPort) int {
		return cmp.Or(a.Addr().Compare(b.Addr()), cmp.Compare(a.Port(), b.Port()))
	})
	return list
}

// HealthCheck returns the port on which load balancers ask whether a node has
// endpoints of a service that keeps traffic local, 0 if the service has none; and
// how many ready ones the node has, of the family of the cluster address.
func HealthCheck(node Node, svc *corev1.Service, all []*discoveryv1.EndpointSlice) (port uint16, ready int) {
	if Ignored(svc) || svc.Spec.Type != corev1.ServiceTypeLoadBalancer || svc.Spec.ExternalTrafficPolicy != corev1.ServiceExternalTrafficPolicyLocal {
		return 0, 0
	}
	clusterIP, err := netip.ParseAddr(svc.Spec.ClusterIP)
	if err != nil {
		return 0, 0
	}
	found := map[netip.Addr]bool{}
	for i := range svc.Spec.Ports {
		for _, e := range endpointsOf(all, svc.Spec.Ports[i].Name, clusterIP.Is4()) {
			if e.ready && e.node == node.Name {
				found[e.at.Addr()] = true
			}
		}
	}
	return uint16(svc.Spec.HealthCheckNodePort), len(found)
}
