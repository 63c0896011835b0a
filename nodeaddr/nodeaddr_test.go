package nodeaddr_test

import (
	"net/netip"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"skiff/nodeaddr"
)

func TestAddresses(t *testing.T) {
	n := &corev1.Node{Spec: corev1.NodeSpec{PodCIDRs: []string{"10.42.1.0/24", "fd00:42:1::/64", "no block"}}}
	n.Status.Addresses = []corev1.NodeAddress{
		{Type: corev1.NodeInternalIP, Address: "192.0.2.1"}, {Type: corev1.NodeExternalIP, Address: "2001:db8::1"},
		{Type: corev1.NodeInternalIP, Address: "no address"}, {Type: corev1.NodeHostName, Address: "198.51.100.9"},
	}
	for _, tt := range []struct {
		ip        string
		node, pod bool
	}{
		{"192.0.2.1", true, false}, {"::ffff:192.0.2.1", true, false}, {"2001:db8::1", true, false}, {"192.0.2.2", false, false},
		{"198.51.100.9", false, false},
		{"10.42.1.7", false, true}, {"::ffff:10.42.1.7", false, true}, {"fd00:42:1::7", false, true}, {"10.42.2.7", false, false},
	} {
		ip := netip.MustParseAddr(tt.ip)
		if node, pod := nodeaddr.IsNode(n, ip), nodeaddr.IsPod(n, ip); node != tt.node || pod != tt.pod {
			t.Errorf("%s: node %v, pod %v; want %v, %v", tt.ip, node, pod, tt.node, tt.pod)
		}
	}
}
