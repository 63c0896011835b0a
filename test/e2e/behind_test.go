package e2e

import (
	"testing"

	"skiff/test/e2e/host"
)

// TestBehindNAT runs pods on a node that the server cannot reach.
func TestBehindNAT(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	c.join(t, host.NewNetworkBehind(t, c.lan), "two")
	c.node.Kubectl("cordon", "box")
	t.Run("streams", func(t *testing.T) { c.run(t, "testdata/script/streams.txtar") })
	t.Run("behind", func(t *testing.T) { c.run(t, "testdata/behind/*.txtar") })
}
