package e2e

import (
	"fmt"
	"strings"
	"testing"

	"skiff/test/e2e/host"
)

// unplug cuts off the node that has the wanderer, and has it back: what stayed
// on it was never touched.
func (c *eventful) unplug(t *testing.T) {
	before := c.web()
	lost := c.wanderersHost(t)
	lost.Unplug()
	c.lose(t, lost)
	lost.Plug()
	c.find(t)
	c.untouched(t, before)
}

// cutPower switches off the node that has the wanderer, and on again: what stayed
// on it runs again.
func (c *eventful) cutPower(t *testing.T) {
	lost := c.wanderersHost(t)
	lost.PowerCut()
	c.lose(t, lost)
	c.launch(lost)
	lost.AwaitReady()
	c.find(t)
}

// lose waits until a node is known to be lost: it is tainted, its pods are no
// endpoints any more, and the wanderer is elsewhere.
func (c *eventful) lose(t *testing.T, lost *host.Host) {
	t.Helper()
	node := "node/" + lost.NodeName
	c.node.Kubectl("wait", "--for=condition=Ready=Unknown", node, "--timeout=60s")
	c.node.Kubectl("wait", `--for=jsonpath={.spec.taints[?(@.effect=="NoExecute")].key}=node.kubernetes.io/unreachable`, node, "--timeout=60s")
	c.node.Kubectl("wait", "--for=jsonpath={.status.numberReady}=2", "daemonset/web", "--timeout=60s")
	eventually(t, "the wanderer is on another node", func() error {
		if nodes := c.wanderers(); len(nodes) != 1 || nodes[0] == lost.NodeName {
			return fmt.Errorf("it is ready on %q", nodes)
		}
		return nil
	})
	for _, h := range c.nodes() {
		if h != lost {
			askFromPod(t, h, c.service)
		}
	}
}

// find waits until a lost node is back, and what was replaced meanwhile has ended.
func (c *eventful) find(t *testing.T) {
	t.Helper()
	c.node.Kubectl("wait", "--for=jsonpath={.status.numberReady}=3", "daemonset/web", "--timeout=60s")
	c.whole(t)
	eventually(t, "one wanderer is left", func() error {
		if pods := c.node.Kubectl("get", "pods", "-l", "app=wanderer", "-o", "name"); strings.Count(pods, "\n") != 1 {
			return fmt.Errorf("pods %q", pods)
		}
		return nil
	})
}

// wanderers are the nodes where wanderers are ready that nobody has deleted.
func (c *eventful) wanderers() []string {
	out := c.node.Kubectl("get", "pods", "-l", "app=wanderer", "-o",
		`jsonpath={range .items[*]}{.spec.nodeName} {.status.conditions[?(@.type=="Ready")].status} {.metadata.deletionTimestamp}{"\n"}{end}`)
	var nodes []string
	for line := range strings.Lines(out) {
		if node, ready := strings.CutSuffix(strings.TrimSpace(line), " True"); ready {
			nodes = append(nodes, node)
		}
	}
	return nodes
}

func (c *eventful) wanderersHost(t *testing.T) *host.Host {
	t.Helper()
	nodes := c.wanderers()
	if len(nodes) != 1 {
		t.Fatalf("the wanderer is on %q", nodes)
	}
	return c.hostOf(t, nodes[0])
}
