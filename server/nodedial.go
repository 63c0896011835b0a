package server

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/labels"

	"skiff/nodeaddr"
	"skiff/server/tunnel"
)

// tunnels are those of the nodes that dialled this server.
type tunnels interface {
	Dial(ctx context.Context, node, address string) (net.Conn, error)
	Lost(node string) bool
}

// nodeDialTime is how long it may take to connect to a node.
const nodeDialTime = 10 * time.Second

// dialAPI connects to the API of a node's agent; address is the one that its Node
// tells, for when there is no tunnel.
func (c *nodeConn) dialAPI(ctx context.Context, node, address string) (net.Conn, error) {
	conn, err := c.tunnels.Dial(ctx, node, "")
	if errors.Is(err, tunnel.ErrNoTunnel) {
		return c.dialDirect(ctx, node, address)
	}
	return conn, unreachable(err)
}

// dialNetwork connects to an address of a node or one of its pods. Without the name
// of the node, as for a webhook or an endpoint that somebody wrote, the address
// tells.
func (c *nodeConn) dialNetwork(ctx context.Context, node, address string) (net.Conn, error) {
	to, err := netip.ParseAddrPort(address)
	if err != nil { // the host name of a node that told no address
		return c.dialDirect(ctx, node, address)
	}
	if node == "" {
		if node, err = c.nodeAt(to.Addr()); err != nil {
			return nil, err
		}
	}
	conn, err := c.tunnels.Dial(ctx, node, address)
	if errors.Is(err, tunnel.ErrNoTunnel) {
		return c.dialDirect(ctx, node, address)
	}
	return conn, unreachable(err)
}

// dialDirect connects without a tunnel, as to the server's own node. A node that had
// a tunnel has lost it: its address may be anybody's in this server's network.
func (c *nodeConn) dialDirect(ctx context.Context, node, address string) (net.Conn, error) {
	if c.tunnels.Lost(node) {
		return nil, notConnected(node)
	}
	return (&net.Dialer{Timeout: nodeDialTime}).DialContext(ctx, "tcp", address)
}

// unreachable is the Status of a way through a tunnel that did not work.
func unreachable(err error) error {
	if err == nil {
		return nil
	}
	return apierrors.NewServiceUnavailable(err.Error())
}

func notConnected(node string) error {
	return apierrors.NewServiceUnavailable(fmt.Sprintf("node %q is not connected", node))
}

// nodeAt returns the name of the node that an address belongs to, one of its pods'
// or its own, or "".
func (c *nodeConn) nodeAt(ip netip.Addr) (string, error) {
	nodes, err := c.nodes.List(labels.Everything())
	if err != nil {
		return "", fmt.Errorf("find the node of %s: %w", ip, err)
	}
	own := ""
	for _, n := range nodes {
		if nodeaddr.IsPod(n, ip) {
			return n.Name, nil
		}
		if nodeaddr.IsNode(n, ip) {
			own = n.Name
		}
	}
	return own, nil
}
