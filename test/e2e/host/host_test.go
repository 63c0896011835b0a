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
