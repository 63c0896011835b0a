package e2e

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"skiff/test/e2e/host"
)

// killRounds is how often TestKilled kills: each once, or as the environment says.
func killRounds(t *testing.T) int {
	v := os.Getenv("SKIFF_KILL_ROUNDS")
	if v == "" {
		return 2
	}
	n, err := strconv.Atoi(v)
	if err != nil {
		t.Fatalf("SKIFF_KILL_ROUNDS: %v", err)
	}
	return n
}

// TestKilled kills agent and server, turn by turn, at random moments while their pods
// are made, deleted and rolled out. What is wanted is there afterwards, and what is not
// wanted any more has left nothing on the boxes.
func TestKilled(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	c.join(t, c.lan, "two")
	two := c.further[0]
	manifest, err := filepath.Abs("testdata/killed.yaml")
	if err != nil {
		t.Fatal(err)
	}
	c.node.Kubectl("apply", "-f", manifest)
	c.node.Kubectl("rollout", "status", "deployment/churn", "--timeout=60s")
	for round := range killRounds(t) {
		c.churn(round)
		moment := time.Duration(rand.Int64N(int64(3 * time.Second)))
		t.Logf("round %d: kill after %s", round, moment)
		<-time.After(moment)
		if round%2 == 0 {
			two.Kill()
			c.launch(two)
			two.AwaitReady()
		} else {
			c.node.Kill()
			c.node.Start("--tls-san", serverName)
		}
		c.settled(t)
		if t.Failed() {
			return
		}
	}
	c.node.Kubectl("delete", "-f", manifest)
	for _, h := range []*host.Host{c.node, two} {
		eventually(t, "nothing is left of pods on "+h.NodeName, func() error {
			if held := h.HeldByPods(); len(held) > 0 {
				return fmt.Errorf("%s", strings.Join(held, "\n"))
			}
			return nil
		})
	}
}

// churn has pods made, deleted and replaced, and waits for none of it.
func (c *cluster) churn(round int) {
	single := func(i int) string { return fmt.Sprintf("single-%d-%d", round, i) }
	for i := range 4 {
		c.node.Kubectl("run", single(i), "--image="+boxImage, "--command", "--", "sleep", "86400")
	}
	c.node.Kubectl("rollout", "restart", "deployment/churn")
	for i := range 4 {
		c.node.Kubectl("delete", "pod", single(i), "--grace-period=1", "--wait=false")
	}
}

// settled waits until the deployment is rolled out and nothing else is there, and
// checks the pods: none was started twice, each has an address of its own, and each box
// holds what these pods need and no more.
func (c *cluster) settled(t *testing.T) {
	t.Helper()
	c.node.Kubectl("wait", "--for=condition=Ready", "node", "--all", "--timeout=60s")
	c.node.Kubectl("rollout", "status", "deployment/churn", "--timeout=60s")
	eventually(t, "four pods are left", func() error {
		if pods := c.node.Kubectl("get", "pods", "-o", "name"); strings.Count(pods, "\n") != 4 || strings.Contains(pods, "single") {
			return fmt.Errorf("%s", pods)
		}
		return nil
	})
	pods := c.node.Kubectl("get", "pods", "-o", `jsonpath={range .items[*]}{.status.podIP} {.spec.nodeName} {.metadata.name} {.status.containerStatuses[*].restartCount}{"\n"}{end}`)
	addresses, on := map[string]bool{}, map[string]int{}
	for line := range strings.Lines(pods) {
		f := strings.Fields(line)
		if addresses[f[0]] {
			t.Errorf("an address is there twice:\n%s", pods)
		}
		// One that was made and not yet started counts as restarted, as upstream's does.
		for _, restarts := range f[3:] {
			if restarts != "0" && restarts != "1" {
				t.Errorf("a container was restarted again and again:\n%s", pods)
			}
		}
		addresses[f[0]] = true
		on[f[1]]++
		if got := c.node.Kubectl("exec", f[2], "-c", "box", "--", "sh", "-c", "ip -4 -o address show scope global; cat /scratch/tea"); strings.Count(got, "inet ") != 1 || !strings.Contains(got, "inet "+f[0]+"/") || !strings.HasSuffix(got, "\n2") {
			t.Errorf("pod %s, of address %s, has %q", f[2], f[0], got)
		}
	}
	for _, h := range append(c.further, c.node) {
		eventually(t, "nothing is left of deleted pods on "+h.NodeName, func() error { return holds(h, on[h.NodeName]) })
	}
}

// holds checks how many pods a box holds something of.
func holds(h *host.Host, pods int) error {
	counts := map[string]int{}
	for _, line := range h.HeldByPods() {
		switch {
		case strings.HasPrefix(line, "link "):
			counts["links"]++
		case strings.HasPrefix(line, filepath.Join(h.DataDir, "pods")+"/"):
			counts["folders"]++
		case strings.Contains(line, "/cni/"):
			counts["addresses"]++
		case strings.Contains(line, "/netns/") && strings.HasPrefix(line, "mount "):
			counts["network namespaces"]++
		case strings.Contains(line, "containerd-shim"):
			counts["shims"]++
		}
	}
	for what, n := range counts {
		if n != pods {
			return fmt.Errorf("%d %s for %d pods:\n%s", n, what, pods, strings.Join(h.HeldByPods(), "\n"))
		}
	}
	return nil
}
