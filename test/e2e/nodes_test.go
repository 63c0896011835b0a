package e2e

import "testing"

// TestNodes runs scripts on a cluster of three nodes, all at once.
func TestNodes(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	c.join(t, c.lan, "two", "three")
	c.run(t, "testdata/nodes/*.txtar")
}
