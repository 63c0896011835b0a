// Package nodeaddr tells which addresses belong to a node, by its object.
package nodeaddr

import (
	"net/netip"
	"slices"

	corev1 "k8s.io/api/core/v1"
)

// IsNode tells whether an address is one of the node's own.
func IsNode(n *corev1.Node, ip netip.Addr) bool {
	return slices.ContainsFunc(n.Status.Addresses, func(a corev1.NodeAddress) bool {
		have, err := netip.ParseAddr(a.Address)
		// A host name may look like the address of another box.
		return a.Type != corev1.NodeHostName && err == nil && have.Unmap() == ip.Unmap()
	})
}

// IsPod tells whether an address is in one of the node's blocks for pods.
func IsPod(n *corev1.Node, ip netip.Addr) bool {
	return slices.ContainsFunc(n.Spec.PodCIDRs, func(block string) bool {
		p, err := netip.ParsePrefix(block)
		return err == nil && p.Contains(ip.Unmap())
	})
}
