package conntrack

import (
	"net"
	"net/netip"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"skiff/netnstest"
	"skiff/proxy/service"
)

func frontend(s string) service.Frontend {
	ap := netip.MustParseAddrPort(s)
	return service.Frontend{Addr: ap.Addr(), Protocol: service.UDP, Port: ap.Port()}
}

func backend(serving ...string) *service.Backend {
	b := &service.Backend{}
	for _, ep := range serving {
		b.Serving = append(b.Serving, netip.MustParseAddrPort(ep))
	}
	return b
}

func flow(protocol service.Protocol, to, from string) *netlink.ConntrackFlow {
	t, f := netip.MustParseAddrPort(to), netip.MustParseAddrPort(from)
	return &netlink.ConntrackFlow{
		FamilyType: unix.AF_INET, TimeOut: 100,
		Forward: netlink.IPTuple{Protocol: uint8(protocol), SrcIP: net.IPv4(10, 42, 9, 9), SrcPort: 1234, DstIP: t.Addr().AsSlice(), DstPort: t.Port()},
		Reverse: netlink.IPTuple{Protocol: uint8(protocol), SrcIP: f.Addr().AsSlice(), SrcPort: f.Port(), DstIP: net.IPv4(10, 42, 9, 9), DstPort: 1234},
	}
}

func TestChanges(t *testing.T) {
	s := &stale{frontends: map[service.Frontend]serving{}, own: map[netip.Addr]bool{netip.MustParseAddr("192.0.2.1"): true}}
	for _, c := range []service.Change{
		{Frontend: frontend("10.43.0.1:53"), Old: backend("10.42.0.1:53", "10.42.0.2:53"), New: backend("10.42.0.2:53")},
		{Frontend: frontend("0.0.0.0:30053"), Old: backend("10.42.0.3:53")},
		{Frontend: frontend("10.43.0.2:53"), Old: backend(), New: backend("10.42.0.4:53")},
		{Frontend: frontend("10.43.0.3:53"), Old: backend("10.42.0.5:53"), New: backend("10.42.0.5:53")},
		{Frontend: frontend("10.43.0.4:53"), Old: backend("10.42.0.6:53"), New: backend()},
	} {
		s.add(c)
	}
	for _, tc := range []struct {
		name     string
		protocol service.Protocol
		to, from string
		want     bool
	}{
		{"to an endpoint that is gone", service.UDP, "10.43.0.1:53", "10.42.0.1:53", true},
		{"to another port of an endpoint", service.UDP, "10.43.0.1:53", "10.42.0.2:54", true},
		{"to an endpoint that serves", service.UDP, "10.43.0.1:53", "10.42.0.2:53", false},
		{"to another port", service.UDP, "10.43.0.1:54", "10.42.0.1:53", false},
		{"TCP ends by itself", service.TCP, "10.43.0.1:53", "10.42.0.1:53", false},
		{"a node port that is gone", service.UDP, "192.0.2.1:30053", "10.42.0.3:53", true},
		{"the same port of this node's own process", service.UDP, "192.0.2.1:30053", "192.0.2.1:30053", false},
		{"the same port of another box", service.UDP, "192.0.2.9:30053", "192.0.2.9:30053", false},
		{"not forwarded before there was an endpoint", service.UDP, "10.43.0.2:53", "10.43.0.2:53", true},
		{"forwarded to the first endpoint", service.UDP, "10.43.0.2:53", "10.42.0.4:53", false},
		{"nothing changed about who serves", service.UDP, "10.43.0.3:53", "10.42.0.9:53", false},
		{"the last endpoint is gone", service.UDP, "10.43.0.4:53", "10.42.0.6:53", true},
	} {
		if got := s.MatchConntrackFlow(flow(tc.protocol, tc.to, tc.from)); got != tc.want {
			t.Errorf("%s: %v, want %v", tc.name, got, tc.want)
		}
	}
}

// TestAll puts entries into the kernel's own table, and looks at what is left.
func TestAll(t *testing.T) {
	netnstest.Enter(t)
	lo, err := netlink.LinkByName("lo")
	if err != nil {
		t.Fatal(err)
	}
	addr, _ := netlink.ParseAddr("192.0.2.1/32")
	if err := netlink.AddrAdd(lo, addr); err != nil {
		t.Fatal(err)
	}
	c, err := New(Config{
		ServiceCIDRs: []netip.Prefix{netip.MustParsePrefix("10.43.0.0/16")},
		Local:        []netip.Addr{netip.MustParseAddr("10.43.0.10")},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	left := map[string]bool{}
	for _, e := range []struct {
		protocol service.Protocol
		to, from string
		left     bool
	}{
		{service.UDP, "10.43.0.1:53", "10.42.0.1:53", false},
		{service.UDP, "10.43.0.1:54", "10.42.0.4:53", false}, // a service that is gone
		{service.UDP, "192.0.2.1:30053", "10.42.0.3:53", false},
		{service.UDP, "10.43.0.2:53", "10.42.0.2:53", true},
		{service.UDP, "10.43.0.10:53", "10.43.0.10:53", true}, // answered by this node
		{service.UDP, "192.0.2.1:9999", "192.0.2.1:9999", true},
		{service.UDP, "203.0.113.1:30053", "203.0.113.1:30053", true},
	} {
		f := flow(e.protocol, e.to, e.from)
		if err := netlink.ConntrackCreate(netlink.ConntrackTable, unix.AF_INET, f); err != nil {
			t.Skipf("the kernel does not let entries be made: %v", err)
		}
		if e.left {
			left[e.to] = true
		}
	}
	removed, err := c.All(service.Rules{
		frontend("10.43.0.1:53"):  backend("10.42.0.2:53"),
		frontend("10.43.0.2:53"):  backend("10.42.0.2:53"),
		frontend("0.0.0.0:30053"): backend("10.42.0.2:53"),
	})
	if err != nil || removed[false] != 3 {
		t.Errorf("removed %v entries, %v; want 3", removed, err)
	}
	flows, err := netlink.ConntrackTableList(netlink.ConntrackTable, unix.AF_INET)
	if err != nil {
		t.Fatal(err)
	}
	if len(flows) != len(left) {
		t.Errorf("%d entries are left, want %d", len(flows), len(left))
	}
	for _, f := range flows {
		if to, _ := addrPort(f.Forward.DstIP, f.Forward.DstPort); !left[to.String()] {
			t.Errorf("left: %v", f)
		}
	}
}
