package e2e

import (
	"path/filepath"
	"testing"

	"skiff/test/e2e/host"
)

// TestNodes runs scripts on a cluster of three nodes, all at once.
func TestNodes(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	c.join(t, c.lan, "two", "three")
	c.run(t, "testdata/nodes/*.txtar")
}

// impatient lets a server give up a silent node after some seconds.
var impatient = []string{"--node-monitor-grace", "4s"}

// eventful is a cluster of three nodes to which something happens while the pods
// of testdata/events run on them.
type eventful struct {
	*cluster
	two, three *host.Host
	// service leads to one pod of each node.
	service string
}

// TestNodeEvents lets nodes, the server and their addresses go and come back, one
// after the other. After each event, every node reaches every pod and the server
// every node.
func TestNodeEvents(t *testing.T) {
	t.Parallel()
	c := newEventful(t)
	for _, event := range []struct {
		name string
		test func(*testing.T)
	}{
		{"agent restarted", c.restartAgent},
		{"server away", c.leaveAlone},
		{"server killed", c.killServer},
		{"cable pulled", c.unplug},
		{"power cut", c.cutPower},
		{"address changed", c.renumber},
		{"server's address changed", c.renumberServer},
		{"node deleted", c.deleteNode},
	} {
		if !t.Run(event.name, event.test) {
			return // the next ones begin with a cluster that is well
		}
	}
}

func newEventful(t *testing.T) *eventful {
	t.Helper()
	c := &eventful{cluster: newCluster(t, impatient...)}
	c.join(t, c.lan, "two", "three")
	c.two, c.three = c.further[0], c.further[1]
	pods, err := filepath.Abs("testdata/events/pods.yaml")
	if err != nil {
		t.Fatal(err)
	}
	c.node.Kubectl("apply", "-f", pods)
	c.node.Kubectl("rollout", "status", "daemonset/web", "--timeout=60s")
	c.node.Kubectl("rollout", "status", "deployment/wanderer", "--timeout=60s")
	c.service = c.node.Kubectl("get", "service", "web", "-o", "jsonpath={.spec.clusterIP}") + ":80"
	return c
}

// startServer starts the server as it was started first.
func (c *eventful) startServer() { c.node.Start(append(impatient, "--tls-san", serverName)...) }

func (c *eventful) nodes() []*host.Host { return []*host.Host{c.node, c.two, c.three} }

// hostOf returns the host of a node.
func (c *eventful) hostOf(t *testing.T, name string) *host.Host {
	t.Helper()
	for _, h := range c.nodes() {
		if h.NodeName == name {
			return h
		}
	}
	t.Fatalf("there is no node %q", name)
	return nil
}
