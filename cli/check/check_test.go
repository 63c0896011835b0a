package check

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	nft "github.com/google/nftables"
	"github.com/vishvananda/netlink"

	"skiff/datadir"
	"skiff/proxy/overlay"
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

func newBox(t *testing.T) Box {
	return Box{
		DataDir: t.TempDir(), Role: datadir.Server, Ports: []Port{{netip.AddrPortFrom(netip.IPv4Unspecified(), freePort(t)), "choose another"}},
		Node: true, DNS: true, Overlay: overlay.VXLAN,
		Ranges:  map[string][]netip.Prefix{"cluster-cidr": {netip.MustParsePrefix("192.0.2.0/24")}},
		Address: func() (netip.Addr, error) { return netip.MustParseAddr("203.0.113.1"), nil },
	}
}

func TestEachCheckSaysWhatToDo(t *testing.T) {
	for _, c := range All(newBox(t)) {
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
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	b := newBox(t)
	b.DNS = false
	taken := l.Addr().(*net.TCPAddr).AddrPort()
	b.Ports = []Port{{taken, "choose another --https-port"}}
	comm, err := os.ReadFile("/proc/self/comm")
	if err != nil {
		t.Fatal(err)
	}
	want := fmt.Sprintf("%d is in use by %s (process %d)", taken.Port(), strings.TrimSpace(string(comm)), os.Getpid())
	if r := b.ports(t.Context()); r.Verdict != Fail || r.Found != want || r.Do != "stop that, or choose another --https-port" {
		t.Errorf("a port in use: %+v, want %q", r, want)
	}
	b.Ports[0].At = netip.AddrPortFrom(netip.MustParseAddr("127.0.0.2"), taken.Port())
	if r := b.ports(t.Context()); r.Verdict != OK {
		t.Errorf("the same port of another address: %+v", r)
	}

	// What the running skiff of the data folder uses is as it should be.
	dir, err := datadir.Open(b.DataDir, datadir.Server)
	if err != nil {
		t.Fatal(err)
	}
	defer dir.Close()
	b.Ports[0].At = taken
	if r := b.ports(t.Context()); r.Verdict != OK || !strings.Contains(r.Found, " is used by the skiff of this data folder, process ") {
		t.Errorf("the port of the running server: %+v", r)
	}
}

func freePort(t *testing.T) uint16 {
	t.Helper()
	l, err := net.Listen("tcp", ":0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).AddrPort().Port()
}

// TestDataDir: the folder need not be there yet, and is not made by looking.
func TestDataDir(t *testing.T) {
	parent := t.TempDir()
	dir := filepath.Join(parent, "a", "b")
	if r := (Box{DataDir: dir}).dataDir(t.Context()); r.Verdict == Fail || !strings.HasSuffix(r.Found, "free in "+parent) {
		t.Errorf("a folder that is not there: %+v", r)
	}
	if _, err := os.Stat(filepath.Join(parent, "a")); !os.IsNotExist(err) {
		t.Errorf("looking made a folder: %v", err)
	}
	if r := (Box{DataDir: "/proc/none"}).dataDir(t.Context()); r.Verdict != Fail {
		t.Errorf("a folder of a file system without room: %+v", r)
	}
	if err := os.WriteFile(filepath.Join(parent, "version"), []byte(`{"format":99,"skiff":"v9"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	if r := (Box{DataDir: parent}).dataDir(t.Context()); r.Verdict != Fail || !strings.HasSuffix(r.Found, "is of a newer skiff, v9") {
		t.Errorf("a folder of a newer version: %+v", r)
	}
	if err := os.WriteFile(filepath.Join(parent, "version"), []byte(`{"format":1,"role":"server"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	if r := (Box{DataDir: parent, Role: datadir.Agent}).dataDir(t.Context()); r.Verdict != Fail || !strings.HasSuffix(r.Found, "is that of a skiff server") || !strings.Contains(r.Do, "`skiff uninstall`") {
		t.Errorf("a server's folder, for an agent: %+v", r)
	}
}

func TestFileSystem(t *testing.T) {
	for dir, want := range map[string]Verdict{"/proc": OK, "/dev/shm": Warn} {
		if r := (Box{DataDir: dir}).fileSystem(t.Context()); r.Verdict != want {
			t.Errorf("%s: %+v, want %s", dir, r, want)
		}
	}
}

func TestClock(t *testing.T) {
	if r := (Box{Built: time.Now().Add(time.Hour)}).clock(t.Context()); r.Verdict != Warn || !strings.Contains(r.Found, "before this skiff was built") {
		t.Errorf("a clock that is behind: %+v", r)
	}
	if r := (Box{Built: time.Now().Add(-time.Hour)}).clock(t.Context()); r.Verdict != OK {
		t.Errorf("a good clock: %+v", r)
	}
}

func TestAddress(t *testing.T) {
	b := Box{Address: func() (netip.Addr, error) { return netip.Addr{}, errors.New("none") }}
	if r := b.address(t.Context()); r.Verdict != Warn {
		t.Errorf("no address: %+v", r)
	}
}

// inNetwork runs f in a network with a link that has the address 192.0.2.1/24,
// and, for nftables, a chain that drops what is forwarded.
func inNetwork(t *testing.T, f func()) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root")
	}
	err := inScratchNamespace(func() error {
		link := &netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: "lan0"}}
		address, err := netlink.ParseAddr("192.0.2.1/24")
		if err != nil {
			return err
		}
		if err := errors.Join(netlink.LinkAdd(link), netlink.AddrAdd(link, address), netlink.LinkSetUp(link)); err != nil {
			return err
		}
		conn, err := nft.New()
		if err != nil {
			return err
		}
		drop := nft.ChainPolicyDrop
		conn.AddChain(&nft.Chain{
			Table: conn.AddTable(&nft.Table{Family: nft.TableFamilyIPv4, Name: "filter"}), Name: "FORWARD",
			Type: nft.ChainTypeFilter, Hooknum: nft.ChainHookForward, Priority: nft.ChainPriorityFilter, Policy: &drop,
		})
		if err := conn.Flush(); err != nil {
			return err
		}
		f()
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestRanges(t *testing.T) {
	inNetwork(t, func() {
		b := newBox(t)
		if r := b.ranges(t.Context()); r.Verdict != Fail || r.Found != "192.0.2.0/24 overlaps 192.0.2.0/24 of lan0" || !strings.Contains(r.Do, "--cluster-cidr") {
			t.Errorf("an overlap: %+v", r)
		}
		b.Ranges["cluster-cidr"] = []netip.Prefix{netip.MustParsePrefix("10.42.0.0/16")}
		if r := b.ranges(t.Context()); r.Verdict != OK {
			t.Errorf("no overlap: %+v", r)
		}
	})
}

func TestFirewall(t *testing.T) {
	inNetwork(t, func() {
		if r := newBox(t).firewall(t.Context()); r.Verdict != Warn || r.Found != "chain FORWARD of table filter drops by default" || !strings.Contains(r.Do, "192.0.2.0/24") {
			t.Errorf("a chain that drops: %+v", r)
		}
	})
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
