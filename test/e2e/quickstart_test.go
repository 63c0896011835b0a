package e2e

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"skiff/test/e2e/host"
)

// TestQuickstart runs `make quickstart`'s script, all of it, on an empty host with
// two nodes, and again beside what runs from then on. No request may fail.
func TestQuickstart(t *testing.T) {
	t.Parallel()
	h := host.New(t, host.Config{})
	t.Cleanup(func() { stopQuickstart(t, h) })
	t.Cleanup(func() { endSecondNode(t, h) })
	var out string
	for run, says := range [][]string{
		{"Starting skiff server", "Joining node2", "ready after "},
		{"A server runs already", "The agent of node2 runs already"},
	} {
		out = quickstart(t, h, 2)
		for _, want := range append(says, "version: v1", "deployment.apps/web", "statefulset.apps/kv", "cronjob.batch/report") {
			if !strings.Contains(out, want) {
				t.Errorf("the script does not say %q:\n%s", want, out)
			}
		}
		checkLoad(t, out, 3)
		for _, node := range []string{h.NodeName, "node2"} {
			if run == 0 && !regexp.MustCompile(`(?m)^web-.* `+node+` `).MatchString(out) {
				t.Errorf("no replica was started on %s:\n%s", node, out)
			}
		}
	}
	if succeeded := h.Kubectl("-n", "example", "get", "job", "seed", "-o", "jsonpath={.status.succeeded}"); succeeded != "1" {
		t.Errorf("the job succeeded %q times", succeeded)
	}
	removeSecondNode(t, h, out)
	h.Kubectl("get", "nodes")
}

// removeSecondNode does what the script says to, in a way that does not ask.
func removeSecondNode(t *testing.T, h *host.Host, out string) {
	t.Helper()
	said := regexp.MustCompile(`(?m)^  remove node2: +(.* uninstall) (&& .*)$`).FindStringSubmatch(out)
	if said == nil {
		t.Fatalf("the script does not say how to remove the second node:\n%s", out)
	}
	shell(t, h, said[1]+" --yes "+said[2])
	for _, path := range []string{h.DataDir + "-node2/*", "/run/netns/" + h.Name + "-node2"} {
		if found, err := filepath.Glob(path); err != nil || len(found) > 0 {
			t.Errorf("of the second node there are left %q, %v", found, err)
		}
	}
}

// endSecondNode removes what a test that failed has left of the second node.
func endSecondNode(t *testing.T, h *host.Host) {
	t.Helper()
	netns, dir := h.Name+"-node2", h.DataDir+"-node2"
	if _, err := os.Stat("/run/netns/" + netns); err == nil {
		shell(t, h, "nsenter --net=/run/netns/"+netns+" "+h.Binary+" uninstall --yes --data-dir "+dir)
		shell(t, h, "ip netns delete "+netns)
	}
}

// shell runs what a user would type outside of the host.
func shell(t *testing.T, h *host.Host, line string) {
	t.Helper()
	cmd := exec.Command("sh", "-c", line)
	cmd.Env = h.Command(context.Background(), "true").Env
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%s: %v\n%s", line, err, out)
	}
}

// checkLoad reads what the client that asked during the update has counted.
func checkLoad(t *testing.T, out string, addresses int) {
	t.Helper()
	counted := regexp.MustCompile(`http://\S+: (\d+) requests, (\d+) failed`).FindAllStringSubmatch(out, -1)
	if len(counted) != addresses {
		t.Errorf("requests were counted for %d addresses, want %d:\n%s", len(counted), addresses, out)
	}
	for _, c := range counted {
		if sent, _ := strconv.Atoi(c[1]); sent < 100 || c[2] != "0" {
			t.Error(c[0])
		}
	}
}

// quickstart runs the script for a host.
func quickstart(t *testing.T, h *host.Host, nodes int) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "../../scripts/quickstart")
	cmd.Env = append(h.Command(ctx, "true").Env,
		"QUICKSTART_NETNS="+h.Name, "QUICKSTART_SKIFF="+h.Binary, "QUICKSTART_NODES="+strconv.Itoa(nodes),
		"SKIFF_DATA_DIR="+h.DataDir, "SKIFF_WRITE_KUBECONFIG="+h.Kubeconfig)
	// The compiler's caches are those of the user who runs the tests.
	for _, name := range []string{"GOCACHE", "GOMODCACHE"} {
		value, err := exec.Command("go", "env", name).Output()
		if err != nil {
			t.Fatal(err)
		}
		cmd.Env = append(cmd.Env, name+"="+strings.TrimSpace(string(value)))
	}
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("quickstart: %v\n%s", err, out)
	}
	return string(out)
}

// stopQuickstart stops the server that the script started, as it says.
func stopQuickstart(t *testing.T, h *host.Host) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(h.DataDir, "quickstart.pid"))
	if err != nil {
		t.Log(err)
		return
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		t.Fatal(err)
	}
	process, err := os.FindProcess(pid)
	if err == nil {
		err = process.Signal(syscall.SIGTERM)
	}
	if err == nil {
		err = awaitEnd(pid)
	}
	if err != nil {
		t.Errorf("stop the server of the script, process %d: %v", pid, err)
	}
}

// awaitEnd waits for a process that is not this one's child.
func awaitEnd(pid int) error {
	fd, err := unix.PidfdOpen(pid, 0)
	if errors.Is(err, unix.ESRCH) {
		return nil
	}
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	for {
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 10_000)
		switch {
		case errors.Is(err, unix.EINTR):
		case err != nil:
			return err
		case n == 0:
			return errors.New("it does not end")
		default:
			return nil
		}
	}
}
