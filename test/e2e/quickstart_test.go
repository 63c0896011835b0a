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

// TestQuickstart runs `make quickstart`'s script, all of it, on an empty host, and
// again beside the server that runs from then on. No request may fail.
func TestQuickstart(t *testing.T) {
	t.Parallel()
	h := host.New(t, host.Config{})
	t.Cleanup(func() { stopQuickstart(t, h) })
	for _, want := range []string{"ready after ", "A server runs already"} {
		out := quickstart(t, h)
		if !strings.Contains(out, want) {
			t.Errorf("the script does not say %q:\n%s", want, out)
		}
		checkLoad(t, out)
		for _, want := range []string{"version: v1", "deployment.apps/web", "statefulset.apps/kv", "cronjob.batch/report"} {
			if !strings.Contains(out, want) {
				t.Errorf("the script does not show %q:\n%s", want, out)
			}
		}
	}
	if motto := h.Kubectl("-n", "example", "get", "job", "seed", "-o", "jsonpath={.status.succeeded}"); motto != "1" {
		t.Errorf("the job succeeded %q times", motto)
	}
}

// checkLoad reads what the client that asked during the update has counted.
func checkLoad(t *testing.T, out string) {
	t.Helper()
	counted := regexp.MustCompile(`http://\S+: (\d+) requests, (\d+) failed`).FindAllStringSubmatch(out, -1)
	if len(counted) != 2 {
		t.Errorf("requests were counted for %d addresses, want 2:\n%s", len(counted), out)
	}
	for _, c := range counted {
		if sent, _ := strconv.Atoi(c[1]); sent < 100 || c[2] != "0" {
			t.Error(c[0])
		}
	}
}

// quickstart runs the script for a host.
func quickstart(t *testing.T, h *host.Host) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "../../scripts/quickstart")
	cmd.Env = append(h.Command(ctx, "true").Env,
		"QUICKSTART_NETNS="+h.Name, "QUICKSTART_SKIFF="+h.Binary,
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
