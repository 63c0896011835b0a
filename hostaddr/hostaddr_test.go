package hostaddr

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"skiff/netnstest"
)

// box is a network namespace of the test's own.
type box struct{ *testing.T }

func newBox(t *testing.T) box {
	t.Helper()
	netnstest.Enter(t)
	return box{t}
}

func (b box) must(err error) {
	b.Helper()
	if err != nil {
		b.Fatal(err)
	}
}

// cable adds a link that is up; its other end is up too if it is plugged in.
func (b box) cable(name string, plugged bool) netlink.Link {
	b.Helper()
	b.must(netlink.LinkAdd(&netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: name}, PeerName: name + "-far"}))
	link, err := netlink.LinkByName(name)
	b.must(err)
	b.must(netlink.LinkSetUp(link))
	far, err := netlink.LinkByName(name + "-far")
	b.must(err)
	state := netlink.LinkOperState(netlink.OperLowerLayerDown)
	if plugged {
		b.must(netlink.LinkSetUp(far))
		state = netlink.OperUp
	}
	// The kernel follows a carrier a moment later, by way of other states.
	for deadline := time.Now().Add(20 * time.Second); link.Attrs().OperState != state; runtime.Gosched() {
		if time.Now().After(deadline) {
			b.Fatalf("link %s is %s, not %s", name, link.Attrs().OperState, state)
		}
		link, err = netlink.LinkByName(name)
		b.must(err)
	}
	return link
}

func (b box) add(link netlink.Link, addr string) {
	b.Helper()
	a, err := netlink.ParseAddr(addr)
	b.must(err)
	b.must(netlink.AddrAdd(link, a))
}

func (b box) del(link netlink.Link, addr string) {
	b.Helper()
	a, err := netlink.ParseAddr(addr)
	b.must(err)
	b.must(netlink.AddrDel(link, a))
}

func (b box) gateway(link netlink.Link, via string, metric int) {
	b.Helper()
	b.must(netlink.RouteAdd(&netlink.Route{LinkIndex: link.Attrs().Index, Gw: netip.MustParseAddr(via).AsSlice(), Priority: metric}))
}

// found is what find returns, as text.
func (b box) found(last string) string {
	b.Helper()
	pods := netip.MustParsePrefix("10.42.0.0/16")
	ips, err := find(pods.Contains, addrs(last))
	if errors.Is(err, ErrNone) {
		return ""
	}
	b.must(err)
	return text(ips)
}

func addrs(s string) (list []netip.Addr) {
	for _, f := range strings.Fields(s) {
		list = append(list, netip.MustParseAddr(f))
	}
	return list
}

func text(ips []netip.Addr) string {
	var s []string
	for _, ip := range ips {
		s = append(s, ip.String())
	}
	return strings.Join(s, " ")
}

func TestFindPrefersTheDefaultRouteAndStays(t *testing.T) {
	b := newBox(t)
	want := func(last, ip, why string) {
		t.Helper()
		if got := b.found(last); got != ip {
			t.Errorf("%s: found %q, want %q", why, got, ip)
		}
	}
	want("", "", "nothing but loopback")
	b.add(b.cable("pods", true), "10.42.0.1/24")
	want("", "", "only a bridge of an earlier run")

	b.add(b.cable("idle", false), "172.17.0.1/16")
	want("", "172.17.0.1", "a link without a carrier is better than nothing")
	eth := b.cable("eth", true)
	b.add(eth, "192.0.2.7/24")
	want("", "192.0.2.7", "a link with a carrier")
	want("172.17.0.1", "172.17.0.1", "what it had, while none has a route")
	want("203.0.113.9", "192.0.2.7", "what it had is gone")

	b.gateway(eth, "192.0.2.1", 200)
	want("172.17.0.1", "192.0.2.7", "the only one with a default route")
	wifi := b.cable("wifi", true)
	b.add(wifi, "198.51.100.7/24")
	b.gateway(wifi, "198.51.100.1", 100)
	want("", "198.51.100.7", "the route of the least metric")
	want("192.0.2.7", "192.0.2.7", "a second uplink does not rename the box")

	b.must(netlink.RouteAdd(&netlink.Route{Type: unix.RTN_BLACKHOLE, Dst: &net.IPNet{IP: net.IPv4zero.To4(), Mask: net.CIDRMask(0, 32)}, Priority: 1}))
	want("", "198.51.100.7", "a default route to nowhere leads not out")
}

func TestWatchFollows(t *testing.T) {
	b := newBox(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	eth := b.cable("eth", true)
	b.add(eth, "192.0.2.7/24")
	// Watch works on this thread, the one in the namespace; each step is taken
	// when it has told the one before.
	steps := []struct {
		want string
		then func()
	}{
		{"192.0.2.7", func() {
			// As a DHCP client: the old address goes first; nothing is told of the
			// moment without any.
			b.del(eth, "192.0.2.7/24")
			b.add(eth, "192.0.2.8/24")
		}},
		{"192.0.2.8", func() {
			b.add(b.cable("wifi", true), "198.51.100.7/24") // not better
			b.must(netlink.LinkSetDown(eth))
		}},
		{"198.51.100.7", func() {
			b.must(netlink.LinkSetUp(eth))
			b.gateway(eth, "192.0.2.1", 0)
		}},
		{"192.0.2.8", cancel},
	}
	var got []string
	err := Watch(ctx, nil, func(ips []netip.Addr) {
		got = append(got, text(ips))
		steps[len(got)-1].then()
	})
	var want []string
	for _, s := range steps {
		want = append(want, s.want)
	}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("told %q, %v, want %q", got, err, want)
	}
}
