package e2e

import (
	"testing"

	"skiff/test/e2e/host"
)

// TestInstances runs two servers at once, each with its data folder and its
// network namespace, and removes one: the other does not notice.
func TestInstances(t *testing.T) {
	t.Parallel()
	hosts := []*host.Host{host.New(t, host.Config{}), host.New(t, host.Config{})}
	for _, h := range hosts {
		h.Launch()
	}
	for _, h := range hosts {
		h.AwaitReady()
		importBox(t, h)
		h.Kubectl("create", "deployment", "web", "--image="+boxImage, "--replicas=2", "--", "probe", "serve")
		h.Kubectl("expose", "deployment", "web", "--port=80", "--target-port=8080")
	}
	for _, h := range hosts {
		h.Kubectl("rollout", "status", "deployment/web", "--timeout=60s")
	}
	gone, stays := hosts[0], hosts[1]
	containersBefore, stateBefore := containers(stays, "app=web"), stays.State()
	gone.Skiff("uninstall", "--yes")
	if err := gone.Wait(); err != nil {
		t.Errorf("the server that was stopped: %v", err)
	}
	if left := gone.Left(); len(left) > 0 {
		t.Errorf("left of the one: %q", left)
	}
	if missing := stateBefore.Minus(stays.State()); len(missing) > 0 {
		t.Errorf("the other lost %q", missing)
	}
	stays.Kill()
	stays.Start()
	if after := containers(stays, "app=web"); after != containersBefore {
		t.Errorf("the other's containers were\n%sand are\n%s", containersBefore, after)
	}
	askFromPod(t, stays, stays.Kubectl("get", "service", "web", "-o", "jsonpath={.spec.clusterIP}")+":80")
}
