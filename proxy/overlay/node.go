package overlay

import (
	"net/netip"
	"slices"

	corev1 "k8s.io/api/core/v1"
)

// KeyAnnotation is where a node publishes its public key for wireguard.
const KeyAnnotation = "skiff.io/wireguard-public-key"

// Node is what the overlay needs to know of a node.
type Node struct {
	Name string
	// Addresses are where other nodes reach it, the first one preferred.
	Addresses []netip.Addr
	// Blocks are its pods' addresses.
	Blocks []netip.Prefix
	// PublicKey is that of its wireguard link, "" if it has published none.
	PublicKey string
}

// nodeOf reads a Node object. What is no address or block is left out, and so is
// loopback, which a box without a cable is known by.
func nodeOf(o *corev1.Node) Node {
	n := Node{Name: o.Name, PublicKey: o.Annotations[KeyAnnotation]}
	for _, a := range o.Status.Addresses {
		if addr, err := netip.ParseAddr(a.Address); err == nil && a.Type == corev1.NodeInternalIP && !addr.IsLoopback() {
			n.Addresses = append(n.Addresses, addr)
		}
	}
	blocks := o.Spec.PodCIDRs
	if len(blocks) == 0 && o.Spec.PodCIDR != "" {
		blocks = []string{o.Spec.PodCIDR}
	}
	for _, b := range blocks {
		if p, err := netip.ParsePrefix(b); err == nil {
			n.Blocks = append(n.Blocks, p.Masked())
		}
	}
	return n
}

func (n Node) equal(o Node) bool {
	return n.Name == o.Name && n.PublicKey == o.PublicKey && slices.Equal(n.Addresses, o.Addresses) && slices.Equal(n.Blocks, o.Blocks)
}

// whole tells whether all is known that pods on the node can be reached by.
func (n Node) whole() bool { return len(n.Addresses) > 0 && len(n.Blocks) > 0 }

// address is where a node with addresses of its own reaches n: one of the family
// of its own first one, if there is.
func (n Node) address(from Node) netip.Addr {
	for _, a := range n.Addresses {
		if len(from.Addresses) > 0 && a.Is4() == from.Addresses[0].Is4() {
			return a
		}
	}
	return netip.Addr{}
}

// source is the address of n's overlay link in the family of a block: the first
// one of its own block, which no pod has.
func (n Node) source(block netip.Prefix) netip.Addr {
	for _, b := range n.Blocks {
		if b.Addr().Is4() == block.Addr().Is4() {
			return b.Addr()
		}
	}
	return netip.Addr{}
}
