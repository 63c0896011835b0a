package containerd_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"github.com/containernetworking/plugins/pkg/ns"
	"golang.org/x/sys/unix"

	"skiff/runtime/cni"
	"skiff/runtime/containerd"
	"skiff/runtime/instance"
	"skiff/runtime/payload"
)

// A process can hold one daemon, once. So each step of a test that needs a
// daemon runs in a process of its own: this test binary, told by the
// environment what to do. All of them share a network namespace.
const (
	envStep    = "SKIFF_TEST_STEP"
	envDataDir = "SKIFF_TEST_DATA_DIR"
)

// box is a machine of the test's own: data directory, network namespace, cgroups.
type box struct {
	dataDir string
	in      instance.Instance
	netns   ns.NetNS
}

// newBox makes a box, and removes all of it at the end of the test.
func newBox(t *testing.T) *box {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root to run containers")
	}
	if err := payload.Available(); err != nil {
		t.Skip("needs the payload: run scripts/payload")
	}
	if _, err := os.Stat(busyboxPath); err != nil {
		t.Skip("needs busybox-static: run scripts/deps")
	}
	dataDir, err := os.MkdirTemp("", "skt-")
	if err != nil {
		t.Fatal(err)
	}
	b := &box{dataDir: dataDir, in: instance.Of(dataDir), netns: newNetNS(t)}
	t.Cleanup(func() {
		if err := b.purge(); err != nil {
			t.Errorf("purge: %v", err)
		}
		if err := os.RemoveAll(dataDir); err != nil {
			t.Error(err)
		}
	})
	return b
}

func (b *box) purge() error {
	c := containerd.PurgeFor(b.dataDir)
	return b.netns.Do(func(ns.NetNS) error { return containerd.Purge(context.Background(), c) })
}

func (b *box) network() cni.Config {
	return cni.ConfigFor(b.dataDir, []netip.Prefix{netip.MustParsePrefix("10.88.7.0/24")}, 1400)
}

// step runs a step in a process of its own, to its end.
func (b *box) step(t *testing.T, name string) {
	t.Helper()
	cmd := b.command(name)
	cmd.Stdout, cmd.Stderr = testWriter{t}, testWriter{t}
	if err := b.netns.Do(func(ns.NetNS) error { return cmd.Start() }); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Fatalf("step %s: %v", name, err)
	}
}

func (b *box) command(name string) *exec.Cmd {
	cmd := exec.Command("/proc/self/exe", "-test.run=^TestStep$", "-test.timeout=120s")
	cmd.Env = append(os.Environ(), envStep+"="+name, envDataDir+"="+b.dataDir)
	return cmd
}

// TestStep is not a test by itself: it is what step runs.
func TestStep(t *testing.T) {
	name := os.Getenv(envStep)
	if name == "" {
		t.Skip("a step of other tests")
	}
	f, ok := steps[name]
	if !ok {
		t.Fatalf("no step %q", name)
	}
	dataDir := os.Getenv(envDataDir)
	b := &box{dataDir: dataDir, in: instance.Of(dataDir)}
	f(t, b)
}

// daemon starts the daemon of the box in this process.
func (b *box) daemon(t *testing.T) *containerd.Daemon {
	t.Helper()
	d, err := containerd.New(b.config(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return d
}

func (b *box) config(t testing.TB) containerd.Config {
	t.Helper()
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	c, err := containerd.Prepare(b.dataDir, log)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.network().Write(c.CNIConfDir); err != nil {
		t.Fatal(err)
	}
	return c
}

// save and load hand what a step found to the next.
func (b *box) save(t *testing.T, name string, v any) {
	t.Helper()
	data, err := json.Marshal(v)
	if err == nil {
		err = os.WriteFile(filepath.Join(b.dataDir, name+".json"), data, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func (b *box) load(t *testing.T, name string, v any) {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(b.dataDir, name+".json"))
	if err == nil {
		err = json.Unmarshal(data, v)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// newNetNS makes a network namespace with its loopback up and no way out.
func newNetNS(t *testing.T) ns.NetNS {
	t.Helper()
	path := filepath.Join("/run", fmt.Sprintf("skt-netns-%d-%d", os.Getpid(), time.Now().UnixNano()))
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	done := make(chan error)
	go func() {
		// The thread is never unlocked, and so ends with the goroutine.
		runtime.LockOSThread()
		done <- func() error {
			if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
				return err
			}
			self := fmt.Sprintf("/proc/self/task/%d/ns/net", unix.Gettid())
			return errors.Join(unix.Mount(self, path, "", unix.MS_BIND, ""), loopbackUp())
		}()
	}()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	n, err := ns.GetNS(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		err := errors.Join(n.Close(), unix.Unmount(path, unix.MNT_DETACH), os.Remove(path))
		if err != nil {
			t.Error(err)
		}
	})
	return n
}

type testWriter struct{ t *testing.T }

func (w testWriter) Write(p []byte) (int, error) {
	w.t.Log(string(p))
	return len(p), nil
}
