package daemon

import (
	"context"
	"log/slog"
	"net"
	"net/netip"

	corelisters "k8s.io/client-go/listers/core/v1"

	"skiff/agent/tunnel"
	"skiff/nodeaddr"
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
		Away:  d.store.Away,
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
	return nodeaddr.IsPod(node, ip) || nodeaddr.IsNode(node, ip)
}
