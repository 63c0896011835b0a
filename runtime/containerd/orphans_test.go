package containerd_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"skiff/runtime/containerd"
)

func init() {
	steps["orphans"] = stepOrphans
	steps["idle"] = func(*testing.T, *box) { select {} }
	steps["nothing"] = func(*testing.T, *box) {}
}

// TestOrphans leaves what a daemon that was killed may leave: a shim without a
// bundle, and a network namespace without a sandbox.
func TestOrphans(t *testing.T) {
	b := newBox(t)
	orphan, other := b.fakeShim(t, true), b.fakeShim(t, false)
	if err := os.MkdirAll(filepath.Dir(b.strayNetwork()), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(b.strayNetwork(), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount(b.netns.Path(), b.strayNetwork(), "", unix.MS_BIND, ""); err != nil {
		t.Fatal(err)
	}
	b.step(t, "nothing") // takes longer than a tick, in which the kernel tells ages
	b.step(t, "orphans")
	if err := orphan.Wait(); err == nil || err.Error() != "signal: killed" {
		t.Errorf("the shim without a bundle ended with %v", err)
	}
	if err := other.Process.Signal(unix.Signal(0)); err != nil {
		t.Errorf("a shim with its bundle: %v", err)
	}
}

func (b *box) strayNetwork() string {
	return filepath.Join(containerd.LayoutFor(b.dataDir).State, "io.containerd.grpc.v1.cri/netns/cni-stray")
}

// fakeShim starts a process that looks like one of the box's shims, in a directory
// that may be gone.
func (b *box) fakeShim(t *testing.T, gone bool) *exec.Cmd {
	t.Helper()
	cmd := b.command("idle")
	cmd.Args = append([]string{"containerd-shim-runc-v2"}, append(cmd.Args[1:], "--", "-address", filepath.Join(b.in.RunDir(), "containerd.sock"))...)
	cmd.Dir = t.TempDir()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill() // it may have ended
		_ = cmd.Wait()
	})
	if gone {
		if err := os.Remove(cmd.Dir); err != nil {
			t.Fatal(err)
		}
	}
	return cmd
}

func stepOrphans(t *testing.T, b *box) {
	d := b.daemon(t)
	if _, err := d.ImportImages(testContext(t), bytes.NewReader(dockerArchive(t, "busybox:test"))); err != nil {
		t.Fatal(err)
	}
	p := b.runPod(t, d, b.podConfig("one"))
	eventually(t, "the stray network is removed", func() bool {
		_, err := os.Stat(b.strayNetwork())
		return os.IsNotExist(err)
	})
	if podIP(t, d, p.ID) == "" {
		t.Error("the pod has lost its network")
	}
	removePod(t, d, p.ID)
}
