package hostnet

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"skiff/netnstest"
)

// box is a network namespace with links that have addresses.
func box(t *testing.T, links map[string]string) {
	t.Helper()
	netnstest.Enter(t)
	for name, address := range links {
		link := &netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: name}}
		a, err := netlink.ParseAddr(address)
		if err != nil {
			t.Fatal(err)
		}
		for _, err := range []error{netlink.LinkAdd(link), netlink.AddrAdd(link, a), netlink.LinkSetUp(link)} {
			if err != nil {
				t.Fatal(err)
			}
		}
	}
}

func route(t *testing.T, dst string, change func(*netlink.Route)) {
	t.Helper()
	r := &netlink.Route{Gw: netip.MustParseAddr("192.0.2.254").AsSlice()}
	var err error
	if r.Dst, err = netlink.ParseIPNet(dst); err != nil {
		t.Fatal(err)
	}
	change(r)
	if err := netlink.RouteAdd(r); err != nil {
		t.Fatalf("route %s: %v", dst, err)
	}
}

func ranges(cluster, service string) map[string][]netip.Prefix {
	return map[string][]netip.Prefix{
		"cluster-cidr": {netip.MustParsePrefix(cluster)}, "service-cidr": {netip.MustParsePrefix(service)},
	}
}

func TestFind(t *testing.T) {
	box(t, map[string]string{"lan0": "192.0.2.1/24", "vip0": "198.51.100.7/32", "skiff0": "10.42.0.1/24"})
	route(t, "10.9.0.0/16", func(*netlink.Route) {})
	route(t, "0.0.0.0/0", func(*netlink.Route) {})
	route(t, "172.16.0.0/12", func(r *netlink.Route) { r.Gw, r.Type = nil, unix.RTN_BLACKHOLE })
	route(t, "10.42.1.0/24", func(r *netlink.Route) { r.Protocol = OverlayRoutes })
	route(t, "10.43.0.0/16", func(r *netlink.Route) { r.Protocol = ServiceRoutes })

	for what, c := range map[string]struct {
		cluster, service string
		want             string // key, network and link
	}{
		"what an earlier start made":  {"10.42.0.0/16", "10.43.0.0/16", ""},
		"a connected network":         {"192.0.0.0/16", "10.43.0.0/16", "cluster-cidr 192.0.2.0/24 lan0"},
		"a part of one":               {"10.42.0.0/16", "192.0.2.128/26", "service-cidr 192.0.2.0/24 lan0"},
		"an address without network":  {"198.51.0.0/16", "10.43.0.0/16", "cluster-cidr 198.51.100.7/32 vip0"},
		"a network behind a router":   {"10.42.0.0/16", "10.9.7.0/24", "service-cidr 10.9.0.0/16 lan0"},
		"a route that leads nowhere":  {"172.20.0.0/16", "10.43.0.0/16", ""},
		"one of the other family":     {"fd00::/48", "fd01::/108", ""},
		"both, the first one by name": {"192.0.0.0/16", "10.9.7.0/24", "cluster-cidr 192.0.2.0/24 lan0"},
	} {
		got, err := Find(ranges(c.cluster, c.service))
		if err != nil {
			t.Fatal(err)
		}
		text := ""
		if got != nil {
			text = got.Key + " " + got.Network.String() + " " + got.Link
		}
		if text != c.want {
			t.Errorf("%s: %q, want %q", what, text, c.want)
		}
	}
}

func TestCheckNamesBothAndSaysWhatToDo(t *testing.T) {
	box(t, map[string]string{"lan0": "192.0.2.1/24"})
	err := Check(ranges("192.0.0.0/16", "10.43.0.0/16"))
	if err == nil {
		t.Fatal("no error for an overlap")
	}
	for _, part := range []string{"192.0.0.0/16", "192.0.2.0/24", "lan0", "--cluster-cidr"} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("%q does not name %s", err, part)
		}
	}
	if err := Check(ranges("10.42.0.0/16", "10.43.0.0/16")); err != nil {
		t.Errorf("no overlap: %v", err)
	}
}
