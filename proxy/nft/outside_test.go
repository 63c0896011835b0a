package nft

import (
	"net"
	"net/netip"
	"runtime"
	"strings"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"skiff/proxy/service"
)

// neighbour returns a function that runs another one in a network namespace that
// has the address and reaches the calling thread's, whose own address on the link
// is gateway, through it.
func neighbour(t testing.TB, name, address, gateway string) func(func()) {
	t.Helper()
	work, tid, done := make(chan func()), make(chan int), make(chan struct{})
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			t.Errorf("unshare: %v", err)
		}
		tid <- unix.Gettid()
		for f := range work {
			f()
			done <- struct{}{}
		}
	}()
	run := func(f func()) { work <- f; <-done }
	t.Cleanup(func() { close(work) })

	veth := &netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: name}, PeerName: "eth0", PeerNamespace: netlink.NsPid(<-tid)}
	if err := netlink.LinkAdd(veth); err != nil {
		t.Fatalf("add link %s: %v", name, err)
	}
	setUp(t, name, gateway)
	run(func() {
		setUp(t, "eth0", address)
		if err := netlink.RouteAdd(&netlink.Route{Gw: net.ParseIP(strings.Split(gateway, "/")[0])}); err != nil {
			t.Errorf("add route: %v", err)
		}
	})
	return run
}

func setUp(t testing.TB, name, address string) {
	t.Helper()
	link, err := netlink.LinkByName(name)
	if err != nil {
		t.Error(err)
		return
	}
	addr, err := netlink.ParseAddr(address)
	if err != nil {
		t.Error(err)
		return
	}
	if err := netlink.AddrAdd(link, addr); err != nil {
		t.Errorf("add %s to %s: %v", address, name, err)
	}
	if err := netlink.LinkSetUp(link); err != nil {
		t.Errorf("set %s up: %v", name, err)
	}
}

// TestPolicyIsForTrafficFromOutside: with the policy Local, a client outside
// reaches the endpoints of this node alone and keeps its address; pods and the
// node itself reach all.
func TestPolicyIsForTrafficFromOutside(t *testing.T) {
	inNamespace(t)
	outside := neighbour(t, "outside", "198.51.100.2/24", "198.51.100.1/24")
	pod := neighbour(t, "pod", "10.42.9.2/24", "10.42.9.1/24")
	answering(t, "10.42.0.5:8080", "10.42.0.6:8080")

	here := service.Frontend{Addr: netip.IPv4Unspecified(), Protocol: service.TCP, Port: 30080}
	elsewhere := service.Frontend{Addr: netip.IPv4Unspecified(), Protocol: service.TCP, Port: 30081}
	all := backend("10.42.0.6:8080").Endpoints
	newTable(t, service.Rules{
		here:      {Endpoints: backend("10.42.0.5:8080").Endpoints, Inside: all, Masquerade: service.MasqueradeNever},
		elsewhere: {Action: service.Drop, Inside: all, Masquerade: service.MasqueradeNever},
	})
	itself := func(f func()) { f() }
	for _, tc := range []struct {
		name string
		in   func(func())
		to   string
		want string
	}{
		{"outside, endpoint here", outside, "198.51.100.1:30080", "10.42.0.5:8080 198.51.100.2"},
		{"outside, endpoint elsewhere", outside, "198.51.100.1:30081", ""},
		{"pod, endpoint here", pod, "198.51.100.1:30080", "10.42.0.6:8080 10.42.9.2"},
		{"pod, endpoint elsewhere", pod, "198.51.100.1:30081", "10.42.0.6:8080 10.42.9.2"},
		{"the node itself, endpoint elsewhere", itself, "198.51.100.1:30081", "10.42.0.6:8080 10.42.0.6"},
	} {
		tc.in(func() {
			got, err := connect(tc.to)
			if got != tc.want || (err == nil) != (tc.want != "") {
				t.Errorf("%s: answered %q, %v, want %q", tc.name, got, err, tc.want)
			}
		})
	}
}

// TestClientForgetsAnEndpointThatItMayNoLongerUse: the policy became Local.
func TestClientForgetsAnEndpointThatItMayNoLongerUse(t *testing.T) {
	old := backend("10.42.0.5:8080", "10.42.0.6:8080")
	now := backend("10.42.0.5:8080")
	old.Affinity, now.Affinity = 1, 1
	now.Inside = old.Endpoints
	lost := lostEndpoints(old, now)
	if len(lost) != 1 || !lost[netip.MustParseAddrPort("10.42.0.6:8080")] {
		t.Errorf("lost %v, want the endpoint that is elsewhere", lost)
	}
	if lost := lostEndpoints(now, now); len(lost) != 0 {
		t.Errorf("lost %v without a change", lost)
	}
	if lost := lostEndpoints(now, nil); len(lost) != 2 {
		t.Errorf("lost %v with the service, want both", lost)
	}
}
