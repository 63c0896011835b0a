package check

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestRun(t *testing.T) {
	check := func(name string, r Result) Check {
		return Check{name, func(context.Context) Result { return r }}
	}
	for name, tc := range map[string]struct {
		checks []Check
		fit    bool
		table  string
	}{
		"well": {
			[]Check{check("kernel", ok("6.1")), check("disk", ok("9 MiB"))}, true, `
CHECK    RESULT   FOUND   WHAT TO DO
kernel   ok       6.1
disk     ok       9 MiB
`},
		"a warning keeps nothing from running": {
			[]Check{check("clock", warn("1970", "set it"))}, true, `
CHECK   RESULT   FOUND   WHAT TO DO
clock   warn     1970    set it
`},
		"a failure does, and the rest is looked at all the same": {
			[]Check{check("root", fail("user 7", "sudo")), check("kernel", ok("6.1"))}, false, `
CHECK    RESULT   FOUND    WHAT TO DO
root     FAIL     user 7   sudo
kernel   ok       6.1
`},
	} {
		t.Run(name, func(t *testing.T) {
			var out strings.Builder
			if fit := Run(t.Context(), &out, tc.checks); fit != tc.fit {
				t.Errorf("fit = %v, want %v", fit, tc.fit)
			}
			if got := "\n" + trimLines(out.String()); got != tc.table {
				t.Errorf("table:%s\nwant:%s", got, tc.table)
			}
		})
	}
}

func trimLines(s string) string {
	lines := strings.Split(s, "\n")
	for i := range lines {
		lines[i] = strings.TrimRight(lines[i], " ")
	}
	return strings.Join(lines, "\n")
}

func TestEachCheckSaysWhatToDo(t *testing.T) {
	for _, c := range All(Box{DataDir: t.TempDir(), HTTPSPort: freePort(t)}) {
		r := c.Look(t.Context())
		if r.Found == "" {
			t.Errorf("%s: says nothing of what it found", c.Name)
		}
		if (r.Verdict == OK) != (r.Do == "") {
			t.Errorf("%s: verdict %s, but what to do is %q", c.Name, r.Verdict, r.Do)
		}
	}
}

func TestPorts(t *testing.T) {
	l, err := net.Listen("tcp", ":0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	r := ports(t.Context(), Box{HTTPSPort: l.Addr().(*net.TCPAddr).Port})
	if r.Verdict != Fail || r.Found != port+" is in use" || !strings.Contains(r.Do, "--https-port") {
		t.Errorf("a port in use: %+v", r)
	}
}

func freePort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", ":0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

// TestDataDir: the folder need not be there yet, and is not made by looking.
func TestDataDir(t *testing.T) {
	parent := t.TempDir()
	dir := filepath.Join(parent, "a", "b")
	if r := dataDir(dir); r.Verdict == Fail || !strings.HasSuffix(r.Found, "free in "+parent) {
		t.Errorf("a folder that is not there: %+v", r)
	}
	if _, err := os.Stat(filepath.Join(parent, "a")); !os.IsNotExist(err) {
		t.Errorf("looking made a folder: %v", err)
	}
	if r := dataDir("/proc/none"); r.Verdict == OK {
		t.Errorf("a folder of a file system without room: %+v", r)
	}
}

func TestProcField(t *testing.T) {
	path := filepath.Join(t.TempDir(), "status")
	if err := os.WriteFile(path, []byte("Name:\tx\nCapEff:\t00000000a80425fb\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got, err := procField(path, "CapEff:"); got != "00000000a80425fb" || err != nil {
		t.Errorf("CapEff: %q, %v", got, err)
	}
	if _, err := procField(path, "MemTotal:"); err == nil || !strings.Contains(err.Error(), "has no MemTotal:") {
		t.Errorf("a field that is not there: %v", err)
	}
}

// TestScratchNamespace: what a check makes is in a namespace of its own.
func TestScratchNamespace(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root")
	}
	own, err := os.Readlink("/proc/thread-self/ns/net")
	if err != nil {
		t.Fatal(err)
	}
	var scratch string
	err = inScratchNamespace(func() (err error) {
		scratch, err = os.Readlink("/proc/thread-self/ns/net")
		return err
	})
	if err != nil || scratch == own {
		t.Errorf("ran in %s (%v), and the test itself is in %s", scratch, err, own)
	}
}
