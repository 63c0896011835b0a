package e2e

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"skiff/test/e2e/host"
)

// web are the containers of the service's pods, which few events may touch.
func (c *eventful) web() string { return containers(c.node, "app=web") }

// untouched checks that the service's containers are as they were.
func (c *eventful) untouched(t *testing.T, before string) {
	t.Helper()
	if after := c.web(); after != before {
		t.Errorf("the containers were\n%sand are\n%s", before, after)
	}
}

// whole waits until all nodes are ready and run their pods, each node reaches
// every pod and resolves names, and the server reaches every node.
func (c *eventful) whole(t *testing.T) {
	t.Helper()
	c.node.Kubectl("wait", "--for=condition=Ready", "node", "--all", "--timeout=60s")
	c.node.Kubectl("rollout", "status", "daemonset/web", "--timeout=60s")
	for _, h := range c.nodes() {
		eventually(t, "every pod answers on "+h.NodeName, func() error { return c.askAll(h) })
		eventually(t, "names are resolved on "+h.NodeName, func() error { return lookup(h) })
	}
	for pod := range strings.FieldsSeq(c.node.Kubectl("get", "pods", "-l", "app=web", "-o", "name")) {
		eventually(t, "a command runs in "+pod, func() error {
			r := c.node.Run("kubectl", "exec", pod, "--", "hostname")
			if r.Code != 0 || "pod/"+strings.TrimSpace(r.Stdout) != pod {
				return fmt.Errorf("%q %s", r.Stdout, r.Stderr)
			}
			return nil
		})
	}
}

// askAll asks the service from a node, and wants answers of all its pods.
func (c *eventful) askAll(h *host.Host) error {
	r := h.Run(filepath.Join(c.node.Dir, "probe"), "ask", "http", c.service, "30")
	answers := map[string]bool{}
	for line := range strings.Lines(r.Stdout) {
		answers[line] = true
	}
	if r.Code != 0 || len(answers) != len(c.nodes()) {
		return fmt.Errorf("answers %v, %s", answers, r.Stderr)
	}
	return nil
}

// lookup asks a node's DNS for the service, and for a hosts entry.
func lookup(h *host.Host) error {
	for name, addr := range map[string]string{"web.default.svc.cluster.local": "10.43.", "nas.home": "192.0.2.5"} {
		r := h.Run("busybox", "nslookup", name, "10.43.0.10")
		if r.Code != 0 || !strings.Contains(r.Stdout, "Address: "+addr) {
			return fmt.Errorf("%s: %s%s", name, r.Stdout, r.Stderr)
		}
	}
	return nil
}
