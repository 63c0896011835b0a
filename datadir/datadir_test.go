package datadir_test

import (
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"skiff/datadir"
	"skiff/version"
)

// TestMain lets the tests run this executable as another process that works in a
// folder: DATADIR names it, ROLE what it does there.
func TestMain(m *testing.M) {
	dir := os.Getenv("DATADIR")
	if dir == "" {
		os.Exit(m.Run())
	}
	d, err := datadir.Open(dir, datadir.Role(os.Getenv("ROLE")))
	if err != nil {
		os.Stdout.WriteString(err.Error() + "\n")
		os.Exit(1)
	}
	os.Stdout.WriteString("open\n")
	_, _ = io.Copy(io.Discard, os.Stdin) // until the test has ended
	_ = d.Close()
}

// other starts a process that works in dir, and waits until it does.
func other(t *testing.T, dir string, role datadir.Role) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "DATADIR="+dir, "ROLE="+string(role))
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	line := make([]byte, 512)
	n, err := out.Read(line)
	if err != nil || string(line[:n]) != "open\n" {
		t.Fatalf("the other process: %q, %v", line[:n], err)
	}
	return cmd
}

func open(t *testing.T, dir string) *datadir.Dir {
	t.Helper()
	d, err := datadir.Open(dir, datadir.Server)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func closed(t *testing.T, d *datadir.Dir) {
	t.Helper()
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestMarker(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "b", "data")
	d := open(t, dir)
	if err := d.Update(func(m *datadir.Marker) { m.Node = "box" }); err != nil {
		t.Fatal(err)
	}
	closed(t, d)
	before, err := os.Stat(filepath.Join(dir, "version"))
	if err != nil {
		t.Fatal(err)
	}
	d = open(t, dir)
	defer closed(t, d)
	m := d.Marker()
	b := filepath.Dir(dir)
	if m.Node != "box" || m.Format != 1 || m.Skiff != version.Skiff || !slices.Equal(m.Made, []string{filepath.Dir(b), b}) || m.Foreign != nil {
		t.Errorf("read back: %+v", m)
	}
	if after, err := os.Stat(filepath.Join(dir, "version")); err != nil || !os.SameFile(before, after) {
		t.Errorf("a second start wrote the marker anew: %v", err)
	}
	if st, err := os.Stat(dir); err != nil || st.Mode().Perm() != 0o700 {
		t.Errorf("the folder: %v, %v", st.Mode(), err)
	}
}

// TestVersions: what a newer version wrote is refused and stays as it is, what an
// older one wrote is taken up.
func TestVersions(t *testing.T) {
	for name, tc := range map[string]struct {
		marker, err string
	}{
		"newer format":       {`{"format":2,"skiff":"v9.0.0","kubernetes":"v1.37.2+skiff1"}`, "was last used by skiff v9.0.0"},
		"newer Kubernetes":   {`{"format":1,"skiff":"v0.9.0","kubernetes":"v1.38.0+skiff1"}`, "(Kubernetes v1.38.0+skiff1, data format 1), newer than this"},
		"older Kubernetes":   {`{"format":1,"skiff":"v0.0.9","kubernetes":"v1.36.9+skiff1"}`, ""},
		"newer patch":        {`{"format":1,"skiff":"v0.1.9","kubernetes":"v1.37.9+skiff1"}`, ""},
		"damaged":            {`{"format":`, "is damaged"},
		"cut by a power cut": {``, ""},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			path := filepath.Join(dir, "version")
			if err := os.WriteFile(path, []byte(tc.marker), 0o600); err != nil {
				t.Fatal(err)
			}
			d, err := datadir.Open(dir, datadir.Server)
			if tc.err == "" {
				if err != nil {
					t.Fatal(err)
				}
				defer closed(t, d)
				if m := d.Marker(); m.Skiff != version.Skiff || m.Kubernetes != version.Kubernetes {
					t.Errorf("not marked by this version: %+v", m)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), tc.err) || strings.Contains(err.Error(), "\n") {
				t.Errorf("error %v", err)
			}
			if b, err := os.ReadFile(path); err != nil || string(b) != tc.marker {
				t.Errorf("the marker is now %q, %v", b, err)
			}
			if owner, err := datadir.OwnerOf(dir); owner != nil || err != nil {
				t.Errorf("still locked by %v, %v", owner, err)
			}
		})
	}
}

// TestRole: a server's folder is no agent's, nor the other way round; a folder
// that nobody has served from is anybody's.
func TestRole(t *testing.T) {
	for name, tc := range map[string]struct {
		marker string
		as     datadir.Role
		err    string // after the folder
	}{
		"a server's, for a server":    {`{"format":1,"role":"server"}`, datadir.Server, ""},
		"an agent's, for an agent":    {`{"format":1,"role":"agent"}`, datadir.Agent, ""},
		"not served from yet":         {`{"format":1}`, datadir.Agent, ""},
		"a server's, for an agent":    {`{"format":1,"role":"server"}`, datadir.Agent, " is that of a skiff server, not of a skiff agent: choose another folder, or remove what is in it with `skiff uninstall`"},
		"an agent's, for a server":    {`{"format":1,"role":"agent"}`, datadir.Server, " is that of a skiff agent, not of a skiff server: choose another folder, or remove what is in it with `skiff uninstall`"},
		"an older server's, likewise": {`{"format":1,"store":"a"}`, datadir.Agent, " is that of a skiff server, not of a skiff agent: choose another folder, or remove what is in it with `skiff uninstall`"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			path := filepath.Join(dir, "version")
			if err := os.WriteFile(path, []byte(tc.marker), 0o600); err != nil {
				t.Fatal(err)
			}
			usable := datadir.Usable(dir, tc.as)
			d, err := datadir.Open(dir, tc.as)
			if tc.err == "" {
				if err != nil || usable != nil {
					t.Fatalf("%v; usable: %v", err, usable)
				}
				closed(t, d)
				return
			}
			var role *datadir.RoleError
			if !errors.As(err, &role) || err.Error() != dir+tc.err || usable == nil || usable.Error() != err.Error() {
				t.Errorf("error %v; usable: %v", err, usable)
			}
			if b, err := os.ReadFile(path); err != nil || string(b) != tc.marker {
				t.Errorf("the marker is now %q, %v", b, err)
			}
			if owner, err := datadir.OwnerOf(dir); owner != nil || err != nil {
				t.Errorf("still locked by %v, %v", owner, err)
			}
		})
	}
}

// TestForeign: what was there before is remembered, what is for skiff is not.
func TestForeign(t *testing.T) {
	for name, tc := range map[string]struct {
		dirs, want []string
	}{
		"somebody's home":  {[]string{"Documents", "images", ".config"}, []string{".config", "Documents"}},
		"a disk":           {[]string{"lost+found"}, []string{"lost+found"}},
		"an older version": {[]string{"store", "pki", "pods"}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			for _, d := range tc.dirs {
				if err := os.Mkdir(filepath.Join(dir, d), 0o700); err != nil {
					t.Fatal(err)
				}
			}
			closed(t, open(t, dir))
			d := open(t, dir)
			defer closed(t, d)
			if got := d.Marker().Foreign; !slices.Equal(got, tc.want) {
				t.Errorf("foreign: %q, want %q", got, tc.want)
			}
		})
	}
}

func TestLock(t *testing.T) {
	dir := t.TempDir()
	if owner, err := datadir.OwnerOf(dir); owner != nil || err != nil {
		t.Errorf("owner of an unused folder: %v, %v", owner, err)
	}
	cmd := other(t, dir, datadir.Server)
	_, err := datadir.Open(dir, datadir.Server)
	var inUse *datadir.InUseError
	if !errors.As(err, &inUse) || inUse.Owner == nil || inUse.Owner.PID != cmd.Process.Pid || inUse.Owner.Role != datadir.Server {
		t.Fatalf("a second process: %v", err)
	}
	if want := dir + " is in use by process " + strconv.Itoa(cmd.Process.Pid) + " (skiff server): "; !strings.HasPrefix(err.Error(), want) {
		t.Errorf("message %q", err)
	}
	if unit := inUse.Owner.Unit(); unit != "" {
		t.Errorf("unit %q", unit)
	}
	if err := inUse.Owner.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _ = cmd.Wait(); cmd.ProcessState.Sys().(syscall.WaitStatus).Signal() != syscall.SIGTERM {
		t.Errorf("ended by %v", cmd.ProcessState)
	}
	if owner, err := datadir.OwnerOf(dir); owner != nil || err != nil {
		t.Errorf("owner after the end: %v, %v", owner, err)
	}
	closed(t, open(t, dir))
}

// TestStopOthers: a process that was given the number of one that ended, and one
// that removes the folder, are left alone.
func TestStopOthers(t *testing.T) {
	t.Run("a number that was given anew", func(t *testing.T) {
		dir, elsewhere := t.TempDir(), t.TempDir()
		cmd := other(t, elsewhere, datadir.Server)
		b, err := os.ReadFile(filepath.Join(elsewhere, "lock"))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "lock"), b, 0o600); err != nil {
			t.Fatal(err)
		}
		if owner, err := datadir.OwnerOf(dir); owner != nil || err != nil {
			t.Errorf("owner %v, %v", owner, err)
		}
		stays(t, cmd)
	})
	t.Run("one that no longer holds it", func(t *testing.T) {
		dir := t.TempDir()
		cmd := other(t, dir, datadir.Server)
		owner, err := datadir.OwnerOf(dir)
		if err != nil || owner == nil {
			t.Fatalf("owner %v, %v", owner, err)
		}
		if err := os.Remove(filepath.Join(dir, "lock")); err != nil {
			t.Fatal(err)
		}
		if err := owner.Stop(t.Context()); err != nil {
			t.Error(err)
		}
		stays(t, cmd)
	})
	t.Run("one that uninstalls", func(t *testing.T) {
		dir := t.TempDir()
		cmd := other(t, dir, datadir.Uninstall)
		owner, err := datadir.OwnerOf(dir)
		if err != nil || owner == nil {
			t.Fatalf("owner %v, %v", owner, err)
		}
		if err := owner.Stop(t.Context()); err == nil || !strings.Contains(err.Error(), "wait until it has ended") {
			t.Error(err)
		}
		stays(t, cmd)
	})
}

// stays checks that a process was not sent a signal: it still ends by another.
func stays(t *testing.T, cmd *exec.Cmd) {
	t.Helper()
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	if _ = cmd.Wait(); cmd.ProcessState.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
		t.Errorf("ended by %v", cmd.ProcessState)
	}
}

// TestStopInTime: a process that does not end is told about, and not killed.
func TestStopInTime(t *testing.T) {
	dir := t.TempDir()
	cmd := other(t, dir, datadir.Server)
	if err := cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	owner, err := datadir.OwnerOf(dir)
	if err != nil || owner == nil {
		t.Fatalf("owner %v, %v", owner, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := owner.Stop(ctx); !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "does not end") {
		t.Errorf("error %v", err)
	}
	if err := cmd.Process.Signal(syscall.SIGCONT); err != nil {
		t.Errorf("it was killed: %v", err)
	}
}

// TestMade: a folder that was made outside is noted, and removed once it is empty.
func TestMade(t *testing.T) {
	root := t.TempDir()
	d := open(t, filepath.Join(root, "data"))
	defer closed(t, d)
	full := filepath.Join(root, "full")
	empty := filepath.Join(full, "a")
	for range 2 {
		if err := d.MakeOutside(empty); err != nil {
			t.Fatal(err)
		}
	}
	if err := d.MakeOutside(root); err != nil {
		t.Fatal(err)
	}
	made := d.Marker().Made
	if !slices.Equal(made, []string{full, empty}) {
		t.Errorf("made %q", made)
	}
	if err := os.WriteFile(filepath.Join(full, "letter"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := datadir.RemoveMade(made); err != nil {
			t.Error(err)
		}
	}
	if _, err := os.Stat(empty); !os.IsNotExist(err) {
		t.Errorf("an empty folder stays: %v", err)
	}
	if _, err := os.Stat(filepath.Join(full, "letter")); err != nil {
		t.Error(err)
	}
}
