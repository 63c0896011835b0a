package local

import (
	"net/netip"
	"slices"
	"testing"

	"github.com/vishvananda/netlink"

	"skiff/netnstest"
)

func state(t *testing.T) (addresses, routes []string) {
	t.Helper()
	lo, err := netlink.LinkByName("lo")
	if err != nil {
		t.Fatal(err)
	}
	addrs, err := netlink.AddrList(lo, netlink.FAMILY_V4)
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range addrs {
		addresses = append(addresses, a.IPNet.String())
	}
	slices.Sort(addresses)
	list, err := netlink.RouteList(nil, netlink.FAMILY_V4)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range list {
		routes = append(routes, r.Dst.String()+" src "+r.Src.String())
	}
	return addresses, routes
}

func equal(a []string, b ...string) bool { return slices.Equal(a, b) }

func TestEnsureFollowsTheConfigAndRemoveLeavesNothing(t *testing.T) {
	netnstest.Enter(t)
	foreign := netip.MustParsePrefix("192.0.2.1/32")
	if err := Ensure(Config{}); err != nil { // sets loopback up
		t.Fatal(err)
	}
	lo, err := netlink.LinkByName("lo")
	if err != nil {
		t.Fatal(err)
	}
	if err := netlink.AddrAdd(lo, &netlink.Addr{IPNet: ipNet(foreign)}); err != nil {
		t.Fatal(err)
	}
	dns := netip.MustParseAddr("10.43.0.10")
	cfg := Config{
		Addresses:    []netip.Addr{dns},
		ServiceCIDRs: []netip.Prefix{netip.MustParsePrefix("10.43.0.0/16")},
		Sources:      []netip.Addr{foreign.Addr()},
	}
	for range 2 { // the second time all is there
		if err := Ensure(cfg); err != nil {
			t.Fatal(err)
		}
	}
	if a, r := state(t); !equal(a, "10.43.0.10/32", "127.0.0.1/8", "192.0.2.1/32") || !equal(r, "10.43.0.0/16 src 192.0.2.1") {
		t.Errorf("addresses %v, routes %v", a, r)
	}
	cfg.ServiceCIDRs = []netip.Prefix{netip.MustParsePrefix("10.44.0.0/16")}
	if err := Ensure(cfg); err != nil {
		t.Fatal(err)
	}
	if _, r := state(t); !equal(r, "10.44.0.0/16 src 192.0.2.1") {
		t.Errorf("after the range changed: routes %v", r)
	}
	for range 2 {
		if err := Remove(cfg.Addresses); err != nil {
			t.Fatal(err)
		}
	}
	if a, r := state(t); !equal(a, "127.0.0.1/8", "192.0.2.1/32") || len(r) != 0 {
		t.Errorf("after Remove: addresses %v, routes %v", a, r)
	}
}
