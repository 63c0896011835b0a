package cli

import (
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"skiff/datadir"
)

func write(t *testing.T, path string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
}

func mount(t *testing.T, dir string) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root")
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("none", dir, "tmpfs", 0, "size=1m"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Unmount(dir, unix.MNT_DETACH) })
}

// TestRemoveThroughMount: what the user mounted in the data folder is not
// removed, nor is what the folder is known by.
func TestRemoveThroughMount(t *testing.T) {
	dir := t.TempDir()
	disk := filepath.Join(dir, "images")
	mount(t, disk)
	write(t, filepath.Join(disk, "mine.tar"))
	write(t, filepath.Join(dir, "version"))
	r := remover{dir: dir}
	if err := r.removeDataDir(); err == nil || !strings.Contains(err.Error(), disk+" are mounts that skiff did not make: unmount them") {
		t.Errorf("error %v", err)
	}
	for _, path := range []string{filepath.Join(disk, "mine.tar"), filepath.Join(dir, "version")} {
		if _, err := os.Stat(path); err != nil {
			t.Error(err)
		}
	}
}

// TestRemoveFromDisk: a disk that is mounted at the data folder stays mounted,
// and is emptied.
func TestRemoveFromDisk(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	mount(t, dir)
	for _, name := range []string{"version", "store/state", "lost+found/x"} {
		write(t, filepath.Join(dir, name))
	}
	r := remover{dir: dir, marker: &datadir.Marker{Foreign: []string{"lost+found"}}}
	if err := r.removeDataDir(); err != nil {
		t.Fatal(err)
	}
	left, err := os.ReadDir(dir)
	if err != nil || len(left) != 1 || left[0].Name() != "lost+found" {
		t.Errorf("left: %v, %v", left, err)
	}
	if err := os.RemoveAll(filepath.Join(dir, "lost+found")); err != nil {
		t.Fatal(err)
	}
	r.notes = nil
	if err := r.removeEmptied(); err != nil || len(r.notes) != 1 || !strings.Contains(r.notes[0], "where a disk is mounted") {
		t.Errorf("%v, notes %q", err, r.notes)
	}
}

// TestRulesElsewhere: rules are another instance's where this one never worked.
func TestRulesElsewhere(t *testing.T) {
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		marker *datadir.Marker
		notes  int
	}{
		"a folder without a marker": {nil, 0},
		"an earlier boot":           {&datadir.Marker{Place: datadir.Place{Boot: "earlier", Network: "net:[1]"}}, 0},
		"another network namespace": {&datadir.Marker{Place: datadir.Place{Boot: strings.TrimSpace(string(boot)), Network: "net:[1]"}}, 1},
	} {
		r := remover{dir: "/srv/other", marker: tc.marker, removeService: func([]netip.Addr) error {
			t.Errorf("%s: removed the rules that are here", name)
			return nil
		}}
		if err := r.removeRules(); err != nil || len(r.notes) != tc.notes {
			t.Errorf("%s: %v, notes %q", name, err, r.notes)
		}
	}
	var removed []netip.Addr
	dns := []netip.Addr{netip.MustParseAddr("10.43.0.10")}
	r := remover{marker: &datadir.Marker{ClusterDNS: dns}, removeService: func(a []netip.Addr) error {
		removed = a
		return nil
	}}
	if err := r.removeRules(); err != nil || !slices.Equal(removed, dns) {
		t.Errorf("here: removed %v, %v", removed, err)
	}
}
