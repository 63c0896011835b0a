package e2e

import "testing"

// leaveAlone takes the server away: the nodes' pods, services and names remain,
// a container that ends is started again, and an agent that starts meanwhile
// finds all of it.
func (c *eventful) leaveAlone(t *testing.T) {
	before := c.web()
	revived := newMortal(t, c.node, "revived", "nodeName: three")
	c.node.Stop()
	askFromPod(t, c.three, c.service)
	if err := lookup(c.three); err != nil {
		t.Error(err)
	}
	revived.end(t, 1)
	revived.await(t)
	c.two.Kill()
	c.launch(c.two)
	c.two.AwaitReady()
	askFromPod(t, c.two, c.service)
	eventually(t, "names are resolved again", func() error { return lookup(c.two) })
	c.startServer()
	c.whole(t)
	c.untouched(t, before)
	c.node.Kubectl("wait", "--for=jsonpath={.status.containerStatuses[0].restartCount}=1", "pod/revived", "--timeout=60s")
	c.node.Kubectl("delete", "pod", "revived", "--grace-period=1")
}

// killServer lets the server crash: its nodes find it again.
func (c *eventful) killServer(t *testing.T) {
	before := c.web()
	c.node.Kill()
	c.startServer()
	c.whole(t)
	c.untouched(t, before)
}
