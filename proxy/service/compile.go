package service

import (
	"net/netip"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
)

// Node is what a translation needs to know of the node that it is for.
type Node struct {
	Name string
	// Zone is the node's topology.kubernetes.io/zone, "" if it is in none.
	Zone string
	// Local are addresses of services that this node answers itself (DNS).
	Local []netip.Addr
	// IPs are the node's own addresses.
	IPs []netip.Addr
}

// LabelProxyName on a service says that another program carries it out.
const LabelProxyName = "service.kubernetes.io/service-proxy-name"

// Ignored tells whether a service has no rules: it has no cluster address, or is
// another program's.
func Ignored(svc *corev1.Service) bool {
	_, other := svc.Labels[LabelProxyName]
	return other || svc.Spec.ClusterIP == corev1.ClusterIPNone || svc.Spec.ClusterIP == "" || svc.Spec.Type == corev1.ServiceTypeExternalName
}

// Compile returns the frontends of one service.
func Compile(node Node, svc *corev1.Service, slices []*discoveryv1.EndpointSlice) Rules {
	rules := Rules{}
	if Ignored(svc) {
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
	// cluster are the endpoints under the policy Cluster, local those under Local,
	// serving those that a client may go on with.
	cluster, local, serving []netip.AddrPort
}

// family adds the frontends of the cluster address's family.
func (c *compiler) family(clusterIP netip.Addr, all []*discoveryv1.EndpointSlice) {
	eps := endpointsOf(all, c.port.Name, clusterIP.Is4())
	here := func(e *endpoint) bool { return e.node == c.node.Name }
	c.own = map[netip.Addr]bool{}
	for i := range eps {
		if here(&eps[i]) {
			c.own[eps[i].at.Addr()] = true
		}
	}
	c.cluster, c.local = usable(eps, c.preferred(eps)), usable(eps, here)
	if protocolOf(c.port.Protocol) == UDP {
		c.serving = addresses(eps, func(e *endpoint) bool { return e.serving })
	}

	if !slices.Contains(c.node.Local, clusterIP) {
		b := &Backend{Endpoints: c.cluster, Masquerade: MasqueradeOutside}
		if p := c.svc.Spec.InternalTrafficPolicy; p != nil && *p == corev1.ServiceInternalTrafficPolicyLocal {
			b.Endpoints = c.local
		}
		c.add(clusterIP, c.port.Port, b)
	}
	for _, ip := range c.svc.Spec.ExternalIPs {
		if addr, err := netip.ParseAddr(ip); err == nil && addr.Is4() == clusterIP.Is4() {
			c.add(addr, c.port.Port, c.external())
		}
	}
	for _, ip := range c.loadBalancerAddresses() {
		if addr, err := netip.ParseAddr(ip); err == nil && addr.Is4() == clusterIP.Is4() {
			b := c.external()
			b.Sources = c.sources(addr)
			c.add(addr, c.port.Port, b)
		}
	}
	if c.port.NodePort != 0 {
		c.add(unspecified(clusterIP), c.port.NodePort, c.external())
	}
}

// external is the backend of the addresses that are meant for clients outside.
// Traffic from inside that goes there is under no policy, as if it had gone up to
// a load balancer and come back.
func (c *compiler) external() *Backend {
	if c.svc.Spec.ExternalTrafficPolicy == corev1.ServiceExternalTrafficPolicyLocal {
		return &Backend{Endpoints: c.local, Inside: c.cluster, Masquerade: MasqueradeNever}
	}
	return &Backend{Endpoints: c.cluster, Masquerade: MasqueradeAlways}
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

// add completes a backend and makes it the frontend's.
func (c *compiler) add(addr netip.Addr, port int32, b *Backend) {
	switch {
	case len(b.Endpoints) > 0:
	case len(c.cluster) > 0:
		b.Action = Drop
	default:
		b.Action = Reject
	}
	if len(b.Endpoints)+len(b.Inside) > 0 {
		b.Affinity = affinity(c.svc)
	}
	b.Own, b.Serving = c.ownOf(b.Endpoints, b.Inside), c.serving
	c.rules[Frontend{Addr: addr, Protocol: protocolOf(c.port.Protocol), Port: uint16(port)}] = b
}

func (c *compiler) ownOf(lists ...[]netip.AddrPort) (own []netip.Addr) {
	for _, list := range lists {
		for _, ep := range list {
			if c.own[ep.Addr()] {
				own = append(own, ep.Addr())
			}
		}
	}
	slices.SortFunc(own, netip.Addr.Compare)
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

func unspecified(like netip.Addr) netip.Addr {
	if like.Is4() {
		return netip.IPv4Unspecified()
	}
	return netip.IPv6Unspecified()
}
