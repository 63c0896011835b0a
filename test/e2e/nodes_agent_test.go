package e2e

import "testing"

// restartAgent ends an agent in every way: what runs on the node runs on, and
// services lead where they did.
func (c *eventful) restartAgent(t *testing.T) {
	before := c.web()
	for _, end := range []func(){c.two.Stop, c.two.Kill} {
		end()
		askFromPod(t, c.two, c.service)
		c.launch(c.two)
		c.two.AwaitReady()
		c.whole(t)
		c.untouched(t, before)
	}
}

// deleteNode removes a node with kubectl: its agent says so, and joins again when
// it is started again, as a node with a name of its own.
func (c *eventful) deleteNode(t *testing.T) {
	uid := func() string { return c.node.Kubectl("get", "node", "two", "-o", "jsonpath={.metadata.uid}") }
	record := []string{"get", "configmap", "-n", "kube-system", "skiff-node-key.two", "--ignore-not-found", "-o", "jsonpath={.data.node-uid}"}
	before := uid()
	if noted := c.node.Kubectl(record...); noted != before {
		t.Errorf("the key of the node with UID %s is recorded for %q", before, noted)
	}
	c.node.Kubectl("delete", "node", "two")
	eventually(t, "the agent says that its node was deleted", func() error {
		return logged(c.two, "this node was deleted from the cluster")
	})
	c.node.Kubectl("wait", "--for=jsonpath={.status.desiredNumberScheduled}=2", "daemonset/web", "--timeout=60s")
	c.node.Kubectl("wait", "--for=delete", "configmap", "-n", "kube-system", "skiff-node-key.two", "--timeout=60s")
	if nodes := c.node.Kubectl("get", "nodes", "-o", "name"); nodes != "node/box\nnode/three\n" {
		t.Errorf("the nodes after one was deleted: %q", nodes)
	}
	c.two.Stop()
	c.launch(c.two)
	c.two.AwaitReady()
	c.node.Kubectl("wait", "--for=jsonpath={.status.desiredNumberScheduled}=3", "daemonset/web", "--timeout=60s")
	c.whole(t)
	if after := uid(); after == before {
		t.Errorf("the node's UID is %s as before", after)
	}
	c.node.Kubectl("wait", "--for=jsonpath={.data.node-uid}="+uid(), "configmap", "-n", "kube-system", "skiff-node-key.two", "--timeout=60s")
}
