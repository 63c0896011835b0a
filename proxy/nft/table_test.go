package nft

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"runtime"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"skiff/netnstest"
	"skiff/proxy/service"
)

// inNamespace runs the rest of the test on a thread with a network namespace of
// its own, loopback up, that ends with the test.
func inNamespace(t testing.TB) {
	t.Helper()
	netnstest.Enter(t)
	lo, err := netlink.LinkByName("lo")
	if err != nil {
		t.Fatal(err)
	}
	if err := netlink.LinkSetUp(lo); err != nil {
		t.Fatal(err)
	}
	for _, a := range []string{"10.42.0.5/32", "10.42.0.6/32", "192.0.2.1/32"} {
		addr, err := netlink.ParseAddr(a)
		if err != nil {
			t.Fatal(err)
		}
		if err := netlink.AddrAdd(lo, addr); err != nil {
			t.Fatal(err)
		}
	}
	_, services, _ := net.ParseCIDR("10.43.0.0/16")
	if err := netlink.RouteAdd(&netlink.Route{LinkIndex: lo.Attrs().Index, Dst: services, Src: net.IPv4(192, 0, 2, 1), Scope: netlink.SCOPE_LINK}); err != nil {
		t.Fatal(err)
	}
}

var testConfig = Config{
	PodCIDRs:     []netip.Prefix{netip.MustParsePrefix("10.42.0.0/16")},
	ServiceCIDRs: []netip.Prefix{netip.MustParsePrefix("10.43.0.0/16")},
	Local:        []netip.Addr{netip.MustParseAddr("10.43.0.10")},
}

func newTable(t testing.TB, rules service.Rules) *Table {
	t.Helper()
	table, err := New(testConfig, false)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { table.Close() })
	if err := table.Reset(rules); err != nil {
		t.Fatalf("Reset: %v", err)
	}
	return table
}

func frontend(s string, p service.Protocol) service.Frontend {
	ap := netip.MustParseAddrPort(s)
	return service.Frontend{Addr: ap.Addr(), Protocol: p, Port: ap.Port()}
}

func backend(eps ...string) *service.Backend {
	b := &service.Backend{}
	for _, s := range eps {
		b.Endpoints = append(b.Endpoints, netip.MustParseAddrPort(s))
	}
	return b
}

// answering serves TCP on addresses, answering each connection with the address
// that it was made to and the client's.
func answering(t testing.TB, addresses ...string) {
	t.Helper()
	for _, a := range addresses {
		l, err := net.Listen("tcp", a)
		if err != nil {
			t.Fatal(err)
		}
		var wg sync.WaitGroup
		wg.Go(func() {
			for {
				c, err := l.Accept()
				if err != nil {
					return
				}
				fmt.Fprintf(c, "%s %s", c.LocalAddr(), c.RemoteAddr().(*net.TCPAddr).IP)
				c.Close()
			}
		})
		t.Cleanup(func() { l.Close(); wg.Wait() })
	}
}

// connect dials on this very thread, since the namespace is the thread's.
func connect(to string) (string, error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM, 0)
	if err != nil {
		return "", err
	}
	f := os.NewFile(uintptr(fd), "socket")
	defer f.Close()
	_ = unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_SNDTIMEO, &unix.Timeval{Sec: 1})
	_ = unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Sec: 5})
	ap := netip.MustParseAddrPort(to)
	if err := unix.Connect(fd, &unix.SockaddrInet4{Port: int(ap.Port()), Addr: ap.Addr().As4()}); err != nil {
		return "", err
	}
	b, err := io.ReadAll(f)
	return string(b), err
}

func mustConnect(t *testing.T, to string) string {
	t.Helper()
	s, err := connect(to)
	if err != nil {
		t.Fatalf("connect to %s: %v", to, err)
	}
	return s
}

func TestConnectionsAreSpreadOverEndpoints(t *testing.T) {
	inNamespace(t)
	answering(t, "10.42.0.5:8080", "10.42.0.6:8080")
	newTable(t, service.Rules{frontend("10.43.0.20:80", service.TCP): backend("10.42.0.5:8080", "10.42.0.6:8080")})
	seen := map[string]int{}
	for range 64 {
		seen[mustConnect(t, "10.43.0.20:80")]++
	}
	if len(seen) != 2 {
		t.Errorf("64 connections went to %v, want both endpoints", seen)
	}
}

func TestChangeMovesNewConnections(t *testing.T) {
	inNamespace(t)
	answering(t, "10.42.0.5:8080", "10.42.0.6:8080")
	f := frontend("10.43.0.20:80", service.TCP)
	before, after := service.Rules{f: backend("10.42.0.5:8080")}, service.Rules{f: backend("10.42.0.6:8080")}
	before[f].Masquerade = service.MasqueradeNever
	table := newTable(t, before)
	if got := mustConnect(t, "10.43.0.20:80"); got != "10.42.0.5:8080 192.0.2.1" {
		t.Errorf("before, keeping the client's address: %s", got)
	}
	if err := table.Apply(service.Diff(before, after)); err != nil {
		t.Fatal(err)
	}
	if got := mustConnect(t, "10.43.0.20:80"); got != "10.42.0.6:8080 10.42.0.6" {
		t.Errorf("after, changing the address of a client that is no pod: %s", got)
	}
	if err := table.Apply(service.Diff(after, nil)); err != nil {
		t.Fatal(err)
	}
	if _, err := connect("10.43.0.20:80"); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("after the service is gone: %v, want connection refused", err)
	}
}

func TestClosedFrontends(t *testing.T) {
	inNamespace(t)
	newTable(t, service.Rules{
		frontend("10.43.0.20:80", service.TCP): {Action: service.Reject},
		frontend("10.43.0.21:80", service.TCP): {Action: service.Drop},
	})
	for to, want := range map[string]error{
		"10.43.0.20:80": syscall.ECONNREFUSED, // no endpoint
		"10.43.0.20:81": syscall.ECONNREFUSED, // no such port
		"10.43.9.9:80":  syscall.ECONNREFUSED, // no such service
		"10.43.0.21:80": syscall.EINPROGRESS,  // dropped: the connect times out
	} {
		if _, err := connect(to); !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", to, err, want)
		}
	}
}

func TestSourcesAreLetIn(t *testing.T) {
	inNamespace(t)
	answering(t, "10.42.0.5:8080")
	f := frontend("203.0.113.9:80", service.TCP)
	lo, err := netlink.LinkByName("lo")
	if err != nil {
		t.Fatal(err)
	}
	_, external, _ := net.ParseCIDR("203.0.113.0/24")
	if err := netlink.RouteAdd(&netlink.Route{LinkIndex: lo.Attrs().Index, Dst: external, Src: net.IPv4(192, 0, 2, 1), Scope: netlink.SCOPE_LINK}); err != nil {
		t.Fatal(err)
	}
	now := service.Rules{f: backend("10.42.0.5:8080")}
	table := newTable(t, now)
	for _, step := range []struct {
		sources string
		let     bool
	}{{"", true}, {"198.51.100.0/24", false}, {"192.0.2.0/24", true}, {"198.51.100.0/24", false}, {"", true}} {
		next := service.Rules{f: backend("10.42.0.5:8080")}
		if step.sources != "" {
			next[f].Sources = []netip.Prefix{netip.MustParsePrefix(step.sources)}
		}
		if err := table.Apply(service.Diff(now, next)); err != nil {
			t.Fatal(err)
		}
		now = next
		// Packets that this node itself sends are dropped with an error.
		if got, err := connect("203.0.113.9:80"); (err == nil) != step.let {
			t.Errorf("with sources %q: %q, %v", step.sources, got, err)
		}
	}
}

func TestNodePortIsOnEveryAddressButLoopback(t *testing.T) {
	inNamespace(t)
	answering(t, "10.42.0.5:8080")
	newTable(t, service.Rules{frontend("0.0.0.0:30080", service.TCP): backend("10.42.0.5:8080")})
	for _, to := range []string{"192.0.2.1:30080", "10.42.0.6:30080"} {
		if got := mustConnect(t, to); got[:len("10.42.0.5:8080")] != "10.42.0.5:8080" {
			t.Errorf("%s: answered by %s", to, got)
		}
	}
	if _, err := connect("127.0.0.1:30080"); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("loopback: %v, want connection refused", err)
	}
}

func TestAffinityKeepsTheEndpointUntilItGoes(t *testing.T) {
	inNamespace(t)
	answering(t, "10.42.0.5:8080", "10.42.0.6:8080")
	f := frontend("10.43.0.20:80", service.TCP)
	both := backend("10.42.0.5:8080", "10.42.0.6:8080")
	both.Affinity = time.Hour
	table := newTable(t, service.Rules{f: both})
	first := mustConnect(t, "10.43.0.20:80")
	for range 32 {
		if got := mustConnect(t, "10.43.0.20:80"); got != first {
			t.Fatalf("connected to %s after %s", got, first)
		}
	}
	other := "10.42.0.5:8080"
	if first[:len(other)] == other {
		other = "10.42.0.6:8080"
	}
	one := backend(other)
	one.Affinity = time.Hour
	if err := table.Apply(service.Diff(service.Rules{f: both}, service.Rules{f: one})); err != nil {
		t.Fatal(err)
	}
	if got := mustConnect(t, "10.43.0.20:80"); got[:len(other)] != other {
		t.Errorf("after its endpoint is gone, connected to %s, want %s", got, other)
	}
}

func TestPodReachesItselfThroughItsService(t *testing.T) {
	inNamespace(t)
	f := frontend("10.43.0.20:80", service.TCP)
	b := backend("10.42.0.5:8080")
	b.Own = []netip.Addr{netip.MustParseAddr("10.42.0.5")}
	table := newTable(t, service.Rules{f: b})
	elements, err := table.conn.GetSetElements(table.hairpin)
	if err != nil || len(elements) != 1 {
		t.Fatalf("hairpin has %d elements, %v; want 1", len(elements), err)
	}
	if err := table.Apply(service.Diff(service.Rules{f: b}, nil)); err != nil {
		t.Fatal(err)
	}
	if elements, _ = table.conn.GetSetElements(table.hairpin); len(elements) != 0 {
		t.Errorf("hairpin has %d elements after the service is gone", len(elements))
	}
}

func TestResetAndDeleteTouchOnlyTheirTable(t *testing.T) {
	inNamespace(t)
	table := newTable(t, nil)
	foreign := *table.table
	foreign.Name = "foreign"
	table.conn.AddTable(&foreign)
	if err := table.conn.Flush(); err != nil {
		t.Fatal(err)
	}
	if err := table.Reset(service.Rules{frontend("10.43.0.20:80", service.TCP): backend("10.42.0.5:8080")}); err != nil {
		t.Fatal(err)
	}
	for range 2 { // a second time there is nothing to delete
		if err := Delete(); err != nil {
			t.Fatal(err)
		}
	}
	tables, err := table.conn.ListTables()
	if err != nil {
		t.Fatal(err)
	}
	if len(tables) != 1 || tables[0].Name != "foreign" {
		t.Errorf("left: %v, want only the foreign table", tables)
	}
}

func TestIPv6(t *testing.T) {
	inNamespace(t)
	table, err := New(Config{PodCIDRs: []netip.Prefix{netip.MustParsePrefix("fd00:42::/48")}, ServiceCIDRs: []netip.Prefix{netip.MustParsePrefix("fd00:43::/112")}}, true)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { table.Close() })
	b := backend("[fd00:42::5]:8080", "[fd00:42::6]:8080")
	b.Affinity = time.Hour
	rules := service.Rules{
		frontend("[fd00:43::20]:80", service.TCP): b,
		frontend("[::]:30080", service.TCP):       {Action: service.Drop, Masquerade: service.MasqueradeNever, Inside: b.Endpoints[:1]},
		frontend("10.43.0.20:80", service.TCP):    backend("10.42.0.5:8080"), // the other table's
	}
	if err := table.Reset(rules); err != nil {
		t.Fatal(err)
	}
	elements, err := table.conn.GetSetElements(table.endpoints)
	if err != nil || len(elements) != 3 {
		t.Errorf("%d endpoints in the kernel, %v; want 3", len(elements), err)
	}
}

func manyServices(n int) service.Rules {
	rules := service.Rules{}
	for i := range n {
		f := service.Frontend{Addr: netip.AddrFrom4([4]byte{10, 43, byte(i >> 8), byte(i)}), Protocol: service.TCP, Port: 80}
		rules[f] = backend(fmt.Sprintf("10.42.%d.%d:8080", i>>8, i&255), fmt.Sprintf("10.42.%d.%d:8081", i>>8, i&255))
	}
	return rules
}

func BenchmarkReset(b *testing.B) {
	for _, n := range []int{1000, 10000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			inOtherNamespace(b, func(table *Table) error {
				rules := manyServices(n)
				b.ResetTimer()
				for range b.N {
					if err := table.Reset(rules); err != nil {
						return err
					}
				}
				return nil
			})
		})
	}
}

func BenchmarkOneChange(b *testing.B) {
	for _, n := range []int{1000, 10000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			inOtherNamespace(b, func(table *Table) error {
				rules := manyServices(n)
				if err := table.Reset(rules); err != nil {
					return err
				}
				f := frontend("10.43.0.7:80", service.TCP)
				b.ResetTimer()
				for i := range b.N {
					next := backend("10.42.0.7:8080", fmt.Sprintf("10.42.0.7:%d", 9000+i%2))
					if err := table.Apply([]service.Change{{Frontend: f, Old: rules[f], New: next}}); err != nil {
						return err
					}
					rules[f] = next
				}
				return nil
			})
		})
	}
}

// inOtherNamespace runs f with a table in a network namespace that ends with it.
func inOtherNamespace(b *testing.B, f func(*Table) error) {
	b.Helper()
	result := make(chan error)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			result <- err
			return
		}
		table, err := New(testConfig, false)
		if err == nil {
			err = errors.Join(f(table), table.Close())
		}
		result <- err
	}()
	if err := <-result; err != nil {
		b.Fatal(err)
	}
}
