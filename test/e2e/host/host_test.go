package host_test

import (
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"skiff/test/e2e/host"
)

// TestLife starts a server twice on one host and reaches it from the test's own
// process. That nothing is left is checked when the host is removed.
func TestLife(t *testing.T) {
	h := host.New(t, host.Config{NodeName: "first"})
	h.Start()
	c, err := kubernetes.NewForConfig(h.RESTConfig())
	if err != nil {
		t.Fatal(err)
	}
	node, err := c.CoreV1().Nodes().Get(t.Context(), "first", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if got := node.Status.Addresses[0].Address; got != h.Addr.String() {
		t.Errorf("the node's address is %s, want %s", got, h.Addr)
	}
	h.Kill()
	h.Start()
	if out := h.Kubectl("get", "nodes", "-o", "name"); out != "node/first\n" {
		t.Errorf("nodes after a restart: %q", out)
	}
	if left := strings.Join(h.Left(), "\n"); !strings.Contains(left, " server") || !strings.Contains(left, "file "+h.DataDir+"/store") || !strings.Contains(left, "table ") {
		t.Errorf("a running server is not seen among what is left:\n%s", left)
	}
}

// TestNetwork lets two hosts reach each other, and nobody else.
func TestNetwork(t *testing.T) {
	n := host.NewNetwork(t)
	a, b := host.New(t, host.Config{Network: n}), host.New(t, host.Config{Network: n})
	if r := a.Run("busybox", "ping", "-c1", "-W5", b.Addr.String()); r.Code != 0 {
		t.Errorf("ping from one host to the other: %s%s", r.Stdout, r.Stderr)
	}
	if r := a.Run("busybox", "ping", "-c1", "-W1", "198.51.100.1"); r.Code == 0 || !strings.Contains(r.Stderr, "unreachable") {
		t.Errorf("ping to the outside: code %d, %s%s", r.Code, r.Stdout, r.Stderr)
	}
	if left := a.Left(); len(left) > 0 {
		t.Errorf("an unused host has %q", left)
	}
}
