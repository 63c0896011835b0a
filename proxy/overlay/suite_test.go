package overlay

import (
	"flag"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"
	"github.com/vishvananda/netlink"

	"skiff/hostnet"
	"skiff/netnstest"
)

var update = flag.Bool("update", false, "write what the fake holds into the scripts")

const testLink = "skiff-overlay"

// box is where a script runs: the kernel's tables or the fake's, and the box's
// own networks.
type box interface {
	Kernel
	// setUp makes a link with addresses, or changes its MTU.
	setUp(Uplink)
	// foreignRoute makes a route that is not the overlay's.
	foreignRoute(netip.Prefix)
}

func (f *fake) foreignRoute(p netip.Prefix) { f.foreign[p] = true }

// realBox is a network namespace of the test's own.
type realBox struct {
	*tables
	t *testing.T
}

func newRealBox(t *testing.T) realBox {
	t.Helper()
	netnstest.Enter(t)
	tables, err := openTables(testLink)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(tables.close)
	return realBox{tables, t}
}

func (b realBox) must(err error) {
	b.t.Helper()
	if err != nil {
		b.t.Fatal(err)
	}
}

func (b realBox) setUp(l Uplink) {
	link, err := b.h.LinkByName(l.Name)
	if err != nil {
		b.must(b.h.LinkAdd(&netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: l.Name}, PeerName: l.Name + "-peer"}))
		peer, err := b.h.LinkByName(l.Name + "-peer")
		b.must(err)
		b.must(b.h.LinkSetUp(peer))
		link, err = b.h.LinkByName(l.Name)
		b.must(err)
	}
	b.must(b.h.LinkSetMTU(link, l.MTU))
	b.must(b.h.LinkSetUp(link))
	for _, p := range l.Prefixes {
		b.must(b.h.AddrReplace(link, &netlink.Addr{IPNet: ipNet(p)}))
	}
}

func (b realBox) foreignRoute(p netip.Prefix) {
	l, err := b.h.LinkByName("eth0")
	b.must(err)
	b.must(b.h.RouteAdd(&netlink.Route{Dst: ipNet(p), LinkIndex: l.Attrs().Index}))
}

// TestScripts runs each script on the fake and on the kernel. A script's files are
// steps: what happens, and then, in a file named state, what the tables hold after
// the pass, and what is wrong.
func TestScripts(t *testing.T) {
	scripts, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(scripts) == 0 {
		t.Fatalf("no scripts: %v", err)
	}
	for _, path := range scripts {
		name := strings.TrimSuffix(filepath.Base(path), ".txtar")
		t.Run(name+"/fake", func(t *testing.T) { runScript(t, path, newFake(Underlay{}), *update) })
		if name == "wireguard" {
			continue // of which not every kernel has it; see wireguard_test.go
		}
		t.Run(name+"/kernel", func(t *testing.T) { runScript(t, path, newRealBox(t), false) })
	}
}

func runScript(t *testing.T, path string, b box, update bool) {
	archive, err := txtar.ParseFile(path)
	if err != nil {
		t.Fatal(err)
	}
	s := &script{t: t, box: b, nodes: map[string]Node{}}
	s.restart(None)
	for i := 0; i+1 < len(archive.Files); i += 2 {
		step, want := archive.Files[i], &archive.Files[i+1]
		for line := range strings.Lines(string(step.Data)) {
			s.do(strings.Fields(line))
		}
		got := s.pass()
		if update {
			want.Data = []byte(got)
		} else if got != string(want.Data) {
			t.Errorf("%s:\n%swant:\n%s", step.Name, got, want.Data)
		}
	}
	if update {
		if err := os.WriteFile(path, txtar.Format(archive), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// script is one that runs.
type script struct {
	t       *testing.T
	box     box
	overlay *Overlay
	nodes   map[string]Node
	mtu     int
}

// restart is what follows a crash: nothing is known but what the kernel holds.
func (s *script) restart(mode Mode) {
	s.t.Helper()
	o, err := New(Config{NodeName: "a", Mode: mode, Link: testLink, MTU: s.mtu, Logger: slog.New(slog.DiscardHandler)}, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	o.kernel = s.box
	o.publicKey = "KEY-A"
	for _, n := range s.nodes {
		o.learn(n)
	}
	s.overlay = o
}

func (s *script) do(words []string) {
	s.t.Helper()
	switch words[0] {
	case "mode": // mode NAME [MTU]
		if len(words) > 2 {
			s.mtu, _ = strconv.Atoi(words[2])
		}
		s.restart(Mode(words[1]))
	case "follow": // follow MODE, without a restart
		if err := s.overlay.SetMode(Mode(words[1])); err != nil {
			s.t.Fatal(err)
		}
	case "restart":
		s.restart(s.overlay.Mode())
	case "event": // something in the kernel changed
		s.overlay.have = nil
	case "node": // node NAME ADDRESSES BLOCKS [KEY]
		n := Node{Name: words[1], Addresses: list(s.t, words[2], netip.ParseAddr), Blocks: list(s.t, words[3], netip.ParsePrefix)}
		if len(words) > 4 {
			n.PublicKey = words[4]
		}
		s.nodes[n.Name] = n
		s.overlay.learn(n)
	case "gone":
		delete(s.nodes, words[1])
		s.overlay.learn(Node{Name: words[1]})
	case "link": // link NAME MTU PREFIXES
		mtu, _ := strconv.Atoi(words[2])
		s.box.setUp(Uplink{Name: words[1], MTU: mtu, Prefixes: list(s.t, words[3], netip.ParsePrefix)})
	case "roams": // roams KEY ADDRPORT: a peer's packets come from there
		f := s.box.(*fake)
		p := f.state[Key{Kind: KindPeer, Peer: words[1]}].(Peer)
		p.Endpoint, p.Alive = netip.MustParseAddrPort(words[2]), true
		f.state[p.Key()] = p
	case "foreign":
		s.box.foreignRoute(netip.MustParsePrefix(words[1]))
	case "dirt":
		if err := s.box.Add(s.dirt(words[1:])); err != nil {
			s.t.Fatalf("%v: %v", words, err)
		}
	case "lose":
		if err := s.box.Remove(s.dirt(words[1:])); err != nil {
			s.t.Fatalf("%v: %v", words, err)
		}
	default:
		s.t.Fatalf("%v is no command", words)
	}
}

// dirt is an item that a crash, or a user, left or took away.
func (s *script) dirt(words []string) Item {
	switch words[0] {
	case "link":
		return Link{Name: testLink, Type: "vxlan", Fixed: vxlanFixed, MAC: MAC{2, 2, 2, 2, 2, 2}, MTU: 1300, Up: true}
	case "address":
		return Address{netip.MustParsePrefix(words[1])}
	case "forward":
		return Forward{MAC: macOf(netip.MustParsePrefix(words[1])), To: netip.MustParseAddr(words[2])}
	case "neighbour":
		return Neighbour{Addr: netip.MustParseAddr(words[1]), MAC: MAC{2, 2, 2, 2, 2, 2}}
	case "route": // route DST VIA DEV
		return Route{Dst: netip.MustParsePrefix(words[1]), Via: netip.MustParseAddr(words[2]), Dev: words[3]}
	}
	s.t.Fatalf("%v is no item", words)
	return nil
}

// pass makes one pass and describes what the tables hold then.
func (s *script) pass() string {
	err := s.overlay.sync(s.t.Context())
	var b strings.Builder
	state, _, readErr := s.box.Read()
	if readErr != nil {
		s.t.Fatal(readErr)
	}
	for _, line := range state.Lines() {
		fmt.Fprintln(&b, line)
	}
	for _, p := range s.overlay.problems {
		if err != nil && p == oneLine(err) {
			p = "error"
		}
		fmt.Fprintln(&b, "problem:", p)
	}
	if err != nil {
		s.overlay.have = nil // as the loop does
	}
	return b.String()
}

func list[T any](t *testing.T, text string, parse func(string) (T, error)) (all []T) {
	t.Helper()
	for part := range strings.SplitSeq(text, ",") {
		if part == "-" {
			continue
		}
		v, err := parse(part)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, v)
	}
	return all
}

// TestForeignStays: routes, neighbours and addresses of others are there after all
// that the overlay did, with their marks.
func TestForeignStays(t *testing.T) {
	b := newRealBox(t)
	b.setUp(Uplink{Name: "eth0", MTU: 1500, Prefixes: []netip.Prefix{netip.MustParsePrefix("192.0.2.1/24")}})
	b.foreignRoute(netip.MustParsePrefix("10.42.1.0/24")) // in the way of a node's block
	b.foreignRoute(netip.MustParsePrefix("203.0.113.0/24"))
	eth0, err := b.h.LinkByName("eth0")
	b.must(err)
	b.must(b.h.NeighSet(Neighbour{Addr: netip.MustParseAddr("192.0.2.77"), MAC: MAC{2, 0, 0, 0, 0, 7}}.entry(eth0)))
	service := &netlink.Route{Dst: ipNet(netip.MustParsePrefix("10.43.0.0/16")), LinkIndex: eth0.Attrs().Index, Protocol: hostnet.ServiceRoutes}
	b.must(b.h.RouteAdd(service))
	before := b.foreignState()

	s := &script{t: t, box: b, nodes: map[string]Node{}}
	for _, mode := range []Mode{VXLAN, HostGW, VXLAN, None} {
		s.restart(mode)
		s.do(strings.Fields("node a 192.0.2.1 10.42.0.0/24"))
		s.do(strings.Fields("node b 192.0.2.2 10.42.1.0/24"))
		s.do(strings.Fields("node c 192.0.2.3 10.42.2.0/24"))
		s.pass()
	}
	b.must(Remove(testLink))
	if after := b.foreignState(); after != before {
		t.Errorf("before:\n%s\nafter:\n%s", before, after)
	}
}

func (b realBox) foreignState() string {
	var text strings.Builder
	routes, err := b.h.RouteListFiltered(netlink.FAMILY_V4, &netlink.Route{}, 0)
	b.must(err)
	for _, r := range routes {
		fmt.Fprintln(&text, r.Dst, r.LinkIndex, r.Protocol, r.Gw)
	}
	eth0, err := b.h.LinkByName("eth0")
	b.must(err)
	neighbours, err := b.h.NeighList(eth0.Attrs().Index, netlink.FAMILY_V4)
	b.must(err)
	for _, n := range neighbours {
		if n.State == netlink.NUD_PERMANENT {
			fmt.Fprintln(&text, n.IP, n.HardwareAddr)
		}
	}
	links, err := b.h.LinkList()
	b.must(err)
	for _, l := range links {
		fmt.Fprintln(&text, l.Attrs().Name, l.Type(), l.Attrs().MTU)
	}
	return text.String()
}

// TestForeignLink: a link of the overlay's name that is another thing stays.
func TestForeignLink(t *testing.T) {
	b := newRealBox(t)
	b.setUp(Uplink{Name: "eth0", MTU: 1500, Prefixes: []netip.Prefix{netip.MustParsePrefix("192.0.2.1/24")}})
	b.must(b.h.LinkAdd(&netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: testLink}}))
	s := &script{t: t, box: b, nodes: map[string]Node{}}
	s.restart(VXLAN)
	s.do(strings.Fields("node a 192.0.2.1 10.42.0.0/24"))
	s.do(strings.Fields("node b 192.0.2.2 10.42.1.0/24"))
	if err := s.overlay.sync(s.t.Context()); err == nil || !strings.Contains(err.Error(), "that skiff did not make") {
		t.Errorf("a bridge of the overlay's name: %v", err)
	}
	b.must(Remove(testLink))
	if l, err := b.h.LinkByName(testLink); err != nil || l.Type() != "bridge" {
		t.Errorf("the bridge is gone: %v, %v", l, err)
	}
}
