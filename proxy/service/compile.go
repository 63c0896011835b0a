package service

import (
	"cmp"
	"net/netip"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/utils/ptr"
)

// Node is what a translation needs to know of the node that it is for.
type Node struct {
	Name string
	Zone string
	// Local are addresses of services that this node answers itself (DNS).
	Local []netip.Addr
	// IPs are the node's own addresses.
	IPs []netip.Addr
}

// Compile returns the frontends of one service. Services without a cluster
// address have none.
func Compile(node Node, svc *corev1.Service, slices []*discoveryv1.EndpointSlice) Rules {
	rules := Rules{}
	if svc.Spec.ClusterIP == corev1.ClusterIPNone || svc.Spec.ClusterIP == "" || svc.Spec.Type == corev1.ServiceTypeExternalName {
		return rules
	}
	for i := range svc.Spec.Ports {
		c := compiler{node: node, svc: svc, port: &svc.Spec.Ports[i], rules: rules}
		for _, ip := range svc.Spec.ClusterIPs {
			if addr, err := netip.ParseAddr(ip); err == nil {
				c.family(addr, slices)
			}
		}
	}
	return rules
}

// compiler translates one port of a service.
type compiler struct {
	node  Node
	svc   *corev1.Service
	port  *corev1.ServicePort
	rules Rules
	// own are the addresses of the port's endpoints on this node.
	own map[netip.Addr]bool
}

// family adds the frontends of the cluster address's family.
func (c *compiler) family(clusterIP netip.Addr, all []*discoveryv1.EndpointSlice) {
	eps := endpointsOf(all, c.port.Name, clusterIP.Is4())
	c.own = map[netip.Addr]bool{}
	for i := range eps {
		if eps[i].node == c.node.Name {
			c.own[eps[i].at.Addr()] = true
		}
	}
	cluster := usable(eps, c.inZone(eps))
	local := usable(eps, func(e *endpoint) bool { return e.node == c.node.Name })

	if !slices.Contains(c.node.Local, clusterIP) {
		chosen := cluster
		if p := c.svc.Spec.InternalTrafficPolicy; p != nil && *p == corev1.ServiceInternalTrafficPolicyLocal {
			chosen = local
		}
		c.add(clusterIP, c.port.Port, chosen, cluster, MasqueradeOutside)
	}

	external, masquerade := cluster, MasqueradeAlways
	if c.svc.Spec.ExternalTrafficPolicy == corev1.ServiceExternalTrafficPolicyLocal {
		external, masquerade = local, MasqueradeNever
	}
	for _, ip := range c.svc.Spec.ExternalIPs {
		if addr, err := netip.ParseAddr(ip); err == nil && addr.Is4() == clusterIP.Is4() {
			c.add(addr, c.port.Port, external, cluster, masquerade)
		}
	}
	for _, ip := range c.loadBalancerAddresses() {
		if addr, err := netip.ParseAddr(ip); err == nil && addr.Is4() == clusterIP.Is4() {
			c.add(addr, c.port.Port, external, cluster, masquerade).Sources = c.sources(addr)
		}
	}
	if c.port.NodePort != 0 {
		c.add(unspecified(clusterIP), c.port.NodePort, external, cluster, masquerade)
	}
}

func (c *compiler) loadBalancerAddresses() (addresses []string) {
	for _, ingress := range c.svc.Status.LoadBalancer.Ingress {
		if ingress.IP != "" && (ingress.IPMode == nil || *ingress.IPMode == corev1.LoadBalancerIPModeVIP) {
			addresses = append(addresses, ingress.IP)
		}
	}
	return addresses
}

// sources are whom a load balancer's address lets in. Where it is also an address
// of this node, packets that the node sends come from it.
func (c *compiler) sources(balancer netip.Addr) (allowed []netip.Prefix) {
	ownToo := false
	for _, text := range c.svc.Spec.LoadBalancerSourceRanges {
		p, err := netip.ParsePrefix(strings.TrimSpace(text))
		if err != nil || p.Addr().Is4() != balancer.Is4() {
			continue
		}
		allowed = append(allowed, p.Masked())
		ownToo = ownToo || slices.ContainsFunc(c.node.IPs, p.Contains)
	}
	if len(c.svc.Spec.LoadBalancerSourceRanges) > 0 && (ownToo || len(allowed) == 0) {
		// Ranges of the other family alone let nobody else in.
		allowed = append(allowed, netip.PrefixFrom(balancer, balancer.BitLen()))
	}
	return allowed
}

func (c *compiler) add(addr netip.Addr, port int32, endpoints, everywhere []netip.AddrPort, masquerade Masquerade) *Backend {
	b := &Backend{Endpoints: endpoints, Masquerade: masquerade, Own: c.ownOf(endpoints)}
	switch {
	case len(endpoints) > 0:
		b.Affinity = affinity(c.svc)
	case len(everywhere) > 0:
		b.Action = Drop
	default:
		b.Action = Reject
	}
	c.rules[Frontend{Addr: addr, Protocol: protocolOf(c.port.Protocol), Port: uint16(port)}] = b
	return b
}

func (c *compiler) ownOf(endpoints []netip.AddrPort) (own []netip.Addr) {
	for _, ep := range endpoints {
		if c.own[ep.Addr()] {
			own = append(own, ep.Addr())
		}
	}
	return slices.Compact(own)
}

func affinity(svc *corev1.Service) time.Duration {
	if svc.Spec.SessionAffinity != corev1.ServiceAffinityClientIP {
		return 0
	}
	timeout := corev1.DefaultClientIPServiceAffinitySeconds
	if cfg := svc.Spec.SessionAffinityConfig; cfg != nil && cfg.ClientIP != nil && cfg.ClientIP.TimeoutSeconds != nil {
		timeout = *cfg.ClientIP.TimeoutSeconds
	}
	return time.Duration(timeout) * time.Second
}

// inZone returns which endpoints the service's traffic is kept to, by the hints
// that the endpoint slice controller wrote (KEP-2433, KEP-3015): all, if any
// endpoint has no hint, or none is hinted for this node.
func (c *compiler) inZone(eps []endpoint) func(*endpoint) bool {
	all := func(*endpoint) bool { return true }
	byNode := func(e *endpoint) bool {
		return slices.ContainsFunc(e.hints.ForNodes, func(n discoveryv1.ForNode) bool { return n.Name == c.node.Name })
	}
	byZone := func(e *endpoint) bool {
		return slices.ContainsFunc(e.hints.ForZones, func(z discoveryv1.ForZone) bool { return z.Name == c.node.Zone })
	}
	for _, match := range []func(*endpoint) bool{byNode, byZone} {
		ready := slices.DeleteFunc(slices.Clone(eps), func(e endpoint) bool { return !e.ready })
		hinted := len(ready) > 0 && !slices.ContainsFunc(ready, func(e endpoint) bool { return e.hints == nil })
		if hinted && slices.ContainsFunc(ready, func(e endpoint) bool { return match(&e) }) {
			return func(e *endpoint) bool { return e.hints != nil && match(e) }
		}
	}
	return all
}

func unspecified(like netip.Addr) netip.Addr {
	if like.Is4() {
		return netip.IPv4Unspecified()
	}
	return netip.IPv6Unspecified()
}

type endpoint struct {
	at      netip.AddrPort
	node    string
	ready   bool
	serving bool
	hints   *discoveryv1.EndpointHints
}

// endpointsOf collects one port's endpoints of a family.
func endpointsOf(all []*discoveryv1.EndpointSlice, port string, ipv4 bool) (eps []endpoint) {
	for _, slice := range all {
		number := portNumber(slice, port)
		if number == 0 || (slice.AddressType == discoveryv1.AddressTypeIPv4) != ipv4 {
			continue
		}
		for i := range slice.Endpoints {
			ep := &slice.Endpoints[i]
			addr, err := netip.ParseAddr(ep.Addresses[0])
			if err != nil {
				continue
			}
			ready := ptr.Deref(ep.Conditions.Ready, true)
			eps = append(eps, endpoint{
				at:      netip.AddrPortFrom(addr, number),
				node:    ptr.Deref(ep.NodeName, ""),
				ready:   ready,
				serving: ptr.Deref(ep.Conditions.Serving, ready),
				hints:   ep.Hints,
			})
		}
	}
	return eps
}

func portNumber(slice *discoveryv1.EndpointSlice, name string) uint16 {
	for _, p := range slice.Ports {
		if ptr.Deref(p.Name, "") == name && p.Port != nil {
			return uint16(*p.Port)
		}
	}
	return 0
}

// usable returns the ready endpoints among those that match; if there are none,
// those that still serve while they terminate (KEP-1669).
func usable(eps []endpoint, match func(*endpoint) bool) (list []netip.AddrPort) {
	for _, fit := range []func(*endpoint) bool{
		func(e *endpoint) bool { return e.ready },
		func(e *endpoint) bool { return e.serving },
	} {
		for i := range eps {
			if match(&eps[i]) && fit(&eps[i]) {
				list = append(list, eps[i].at)
			}
		}
		if len(list) > 0 {
			break
		}
	}
	slices.SortFunc(list, func(a, b netip.AddrPort) int {
		return cmp.Or(a.Addr().Compare(b.Addr()), cmp.Compare(a.Port(), b.Port()))
	})
	return slices.Compact(list)
}
