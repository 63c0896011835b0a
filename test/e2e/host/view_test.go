package host_test

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/moby/sys/mountinfo"

	"skiff/test/e2e/host"
)

// TestMountsOfItsOwn mounts something on a host with a resolver configuration of
// its own: it is there for the host alone, and until the power is cut.
func TestMountsOfItsOwn(t *testing.T) {
	const conf = "nameserver 192.0.2.53\n"
	h := host.New(t, host.Config{ResolvConf: conf})
	point := filepath.Join(h.DataDir, "point")
	if err := os.MkdirAll(point, 0o700); err != nil {
		t.Fatal(err)
	}
	if r := h.Run("mount", "-t", "tmpfs", "skiff-test", point); r.Code != 0 {
		t.Fatal(r.Stderr)
	}
	if mounted, err := mountinfo.Mounted(point); err != nil || mounted {
		t.Errorf("the machine has the host's mount: %v, %v", mounted, err)
	}
	for _, want := range []bool{true, false} {
		if got := h.Run("cat", "/etc/resolv.conf").Stdout; got != conf {
			t.Errorf("the host's resolver configuration is %q", got)
		}
		if there := h.Run("mountpoint", "-q", point).Code == 0; there != want {
			t.Errorf("the host has its mount: %v, want %v", there, want)
		}
		if seen := slices.Contains(h.Left(), "mount "+point); seen != want {
			t.Errorf("the mount is among what is left: %v, want %v", seen, want)
		}
		h.PowerCut()
	}
}
