package daemon

import (
	"net/netip"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	corelisters "k8s.io/client-go/listers/core/v1"
	"k8s.io/client-go/tools/cache"
)

func TestBelongsTo(t *testing.T) {
	nodes := cache.NewIndexer(cache.MetaNamespaceKeyFunc, nil)
	for name, block := range map[string]string{"one": "10.42.1.0/24", "two": "10.42.2.0/24"} {
		n := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: corev1.NodeSpec{PodCIDRs: []string{block, "fd00:42:1::/64"}}}
		n.Status.Addresses = []corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: "192.168.1.10"}, {Type: corev1.NodeInternalIP, Address: "127.0.0.1"}, {Type: corev1.NodeHostName, Address: "10.9.9.9"}}
		if err := nodes.Add(n); err != nil {
			t.Fatal(err)
		}
	}
	for _, tt := range []struct {
		name, ip string
		want     bool
	}{
		{"one", "10.42.1.7", true}, {"one", "fd00:42:1::7", true}, {"one", "192.168.1.10", true},
		{"one", "10.42.2.7", false}, {"one", "10.43.0.1", false}, {"one", "192.168.1.1", false}, {"one", "169.254.169.254", false},
		{"one", "127.0.0.1", false}, {"one", "::1", false}, {"one", "10.9.9.9", false}, {"three", "10.42.1.7", false},
	} {
		if got := belongsTo(corelisters.NewNodeLister(nodes), tt.name, netip.MustParseAddr(tt.ip)); got != tt.want {
			t.Errorf("%s of %s: %v", tt.ip, tt.name, got)
		}
	}
}

// TestNodeAPI: the tunnel ends where the node's API listens.
func TestNodeAPI(t *testing.T) {
	for _, tt := range []struct{ address, bind, want string }{
		{"", "", "127.0.0.1:10250"},
		{"0.0.0.0", "0.0.0.0", "127.0.0.1:10250"},
		{"::", "::", "[::1]:10250"},
		{"127.0.0.1", "127.0.0.1", "127.0.0.1:10250"},
		{"192.168.1.10", "192.168.1.10", "192.168.1.10:10250"},
	} {
		var c Config
		if tt.address != "" {
			c.NodeAPIAddress = netip.MustParseAddr(tt.address)
		}
		if bind, at := c.bindAddress(), c.nodeAPI(); bind != tt.bind || at != tt.want {
			t.Errorf("%q: listens on %q, is dialled at %q, want %q and %q", tt.address, bind, at, tt.bind, tt.want)
		}
	}
}
