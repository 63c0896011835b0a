package e2e

import (
	"errors"
	"net"
	"net/netip"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"skiff/test/e2e/host"
)

// TestBehindNAT runs pods on a node that the server cannot reach, and whose API
// only its tunnel does.
func TestBehindNAT(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	c.agentFlags = []string{"--node-api-address", "127.0.0.1"}
	c.join(t, host.NewNetworkBehind(t, c.lan), "two")
	c.node.Kubectl("cordon", "box")
	two := c.further[0]
	err := two.Inside(func() error {
		_, err := net.DialTimeout("tcp", netip.AddrPortFrom(two.Addr, 10250).String(), 10*time.Second)
		return err
	})
	if !errors.Is(err, unix.ECONNREFUSED) {
		t.Errorf("the node's API at the node's address: %v", err)
	}
	t.Run("streams", func(t *testing.T) { c.run(t, "testdata/script/streams.txtar") })
	t.Run("behind", func(t *testing.T) { c.run(t, "testdata/behind/*.txtar") })
}
