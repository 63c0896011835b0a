package daemon

import (
	"context"
	"log/slog"
	"net"
	"net/netip"

	corev1 "k8s.io/api/core/v1"
	corelisters "k8s.io/client-go/listers/core/v1"

	"skiff/agent/tunnel"
)

// runTunnel keeps the way open by which servers reach this node's API and its pods,
// also when they cannot dial it.
func (d *daemon) runTunnel(ctx context.Context) error {
	nodes := d.informers.Core().V1().Nodes().Lister()
	return tunnel.Run(ctx, tunnel.Config{
		Servers: d.member.Servers,
		Dial:    d.member.Dial,
		NodeAPI: func(ctx context.Context) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "tcp", d.cfg.nodeAPI())
		},
		Allow: func(a netip.AddrPort) bool { return belongsTo(nodes, d.cfg.NodeName, a.Addr()) },
		Log:   slog.Default(),
	})
}

// belongsTo tells whether an address is a node's own or one of its pods': the server
// is to reach nothing else through the node's tunnel.
func belongsTo(nodes corelisters.NodeLister, name string, ip netip.Addr) bool {
	node, err := nodes.Get(name)
	if err != nil || ip.IsLoopback() {
		return false
	}
	for _, block := range node.Spec.PodCIDRs {
		if p, err := netip.ParsePrefix(block); err == nil && p.Contains(ip) {
			return true
		}
	}
	for _, a := range node.Status.Addresses {
		if own, err := netip.ParseAddr(a.Address); a.Type != corev1.NodeHostName && err == nil && own == ip {
			return true
		}
	}
	return false
}
