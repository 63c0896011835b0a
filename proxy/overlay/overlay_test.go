package overlay

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/informers"
	fakeclient "k8s.io/client-go/kubernetes/fake"

	"skiff/netnstest"
)

func object(name, address, block string) *corev1.Node {
	return &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec:       corev1.NodeSpec{PodCIDR: block, PodCIDRs: []string{block}},
		Status:     corev1.NodeStatus{Addresses: []corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: address}, {Type: corev1.NodeHostName, Address: name}}},
	}
}

// within waits for a condition, which must come true.
func within(t *testing.T, what string, is func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !is(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not in time: %s", what)
		}
	}
}

// TestRun: it follows the nodes, and repairs what somebody else took away.
func TestRun(t *testing.T) {
	b := newRealBox(t)
	uplink := Uplink{Name: "eth0", MTU: 1500, Prefixes: []netip.Prefix{netip.MustParsePrefix("192.0.2.1/24")}}
	b.setUp(uplink)
	client := fakeclient.NewClientset(object("a", "192.0.2.1", "10.42.0.0/24"), object("b", "192.0.2.2", "10.42.1.0/24"))
	factory := informers.NewSharedInformerFactory(client, 0)
	mtus := make(chan int, 10)
	o, err := New(Config{NodeName: "a", Mode: VXLAN, Link: testLink, OnMTU: func(m int) { mtus <- m }}, factory.Core().V1().Nodes().Informer())
	b.must(err)
	ctx, stop := context.WithCancel(t.Context())
	factory.Start(ctx.Done())
	driven := make(chan struct{})
	done := make(chan error, 1)
	go func() {
		defer close(driven)
		defer stop()
		has := func(lines ...string) func() bool {
			return func() bool {
				state, _, err := b.Read()
				return err == nil && !slices.ContainsFunc(lines, func(l string) bool { return !slices.Contains(state.Lines(), l) })
			}
		}
		const toB = "route 10.42.1.0/24 via 10.42.1.0 dev skiff-overlay src 10.42.0.0 onlink"
		within(t, "the other node is reached", has(toB, "forward 0e:73:0a:2a:01:00 to 192.0.2.2"))
		if m := <-mtus; m != 1450 {
			t.Errorf("the pods' MTU is %d", m)
		}
		b.must(b.Remove(Link{Name: testLink}))
		within(t, "the link is back", has(toB))
		b.must(b.Remove(Route{Dst: netip.MustParsePrefix("10.42.1.0/24")}))
		within(t, "the route is back", has(toB))
		forward, neighbour := Forward{macOf(netip.MustParsePrefix("10.42.1.0/24")), netip.MustParseAddr("192.0.2.2")},
			Neighbour{netip.MustParseAddr("10.42.1.0"), macOf(netip.MustParsePrefix("10.42.1.0/24"))}
		for _, i := range []Item{forward, neighbour} {
			b.must(b.Remove(i))
			within(t, i.String()+" is back", has(i.String()))
		}
		_, err := client.CoreV1().Nodes().Create(ctx, object("c", "192.0.2.3", "10.42.2.0/24"), metav1.CreateOptions{})
		b.must(err)
		within(t, "a new node is reached", has(toB, "forward 0e:73:0a:2a:02:00 to 192.0.2.3"))
		uplink.MTU = 1400
		b.setUp(uplink)
		within(t, "the link follows the uplink", has(toB, "link skiff-overlay vxlan id 5458758 port 8472 address 0e:73:0a:2a:00:00 mtu 1350 up"))
		if m := <-mtus; m != 1350 {
			t.Errorf("the pods' MTU is %d", m)
		}
		b.must(o.SetMode(HostGW))
		within(t, "all is as another mode has it", func() bool {
			state, _, err := b.Read()
			return err == nil && slices.Equal(state.Lines(), []string{"route 10.42.1.0/24 via 192.0.2.2 dev eth0", "route 10.42.2.0/24 via 192.0.2.3 dev eth0"})
		})
		if m := <-mtus; m != 1400 {
			t.Errorf("the pods' MTU is %d", m)
		}
	}()
	ready := false
	done <- o.Run(ctx, func() { ready = true }) // here: in the thread of the namespace
	<-driven
	if err := <-done; err != nil || !ready {
		t.Errorf("ended with %v, was ready: %v", err, ready)
	}
}

// TestMTU: it is that of the link with the node's address.
func TestMTU(t *testing.T) {
	b := newRealBox(t)
	b.setUp(Uplink{Name: "eth0", MTU: 1500, Prefixes: []netip.Prefix{netip.MustParsePrefix("192.0.2.1/24")}})
	b.setUp(Uplink{Name: "eth1", MTU: 9000, Prefixes: []netip.Prefix{netip.MustParsePrefix("198.51.100.1/24")}})
	b.must(b.h.RouteAdd(&netlink.Route{Gw: net.IPv4(198, 51, 100, 254)}))
	for _, c := range []struct {
		mode          Mode
		address       string
		configured    int
		want          int
		wrong, ipv6ed bool
	}{
		{VXLAN, "192.0.2.1", 0, 1450, false, false},
		{VXLAN, "198.51.100.1", 0, 8950, false, false},
		{HostGW, "192.0.2.1", 0, 1500, false, false},
		{None, "192.0.2.1", 0, 1500, false, false},
		{VXLAN, "203.0.113.9", 0, 8950, false, false}, // behind NAT: by the default route
		{VXLAN, "192.0.2.1", 1280, 1280, false, true},
		{VXLAN, "192.0.2.1", 1200, 1450, true, true},
		{VXLAN, "192.0.2.1", 9000, 1450, true, false},
	} {
		blocks := []netip.Prefix{netip.MustParsePrefix("10.42.0.0/24")}
		if c.ipv6ed {
			blocks = append(blocks, netip.MustParsePrefix("fd00:42::/64"))
		}
		got, err := MTU(c.mode, []netip.Addr{netip.MustParseAddr(c.address)}, blocks, c.configured)
		if got != c.want || (err != nil) != c.wrong || err != nil && strings.Contains(err.Error(), "\n") {
			t.Errorf("%+v: %d, %v", c, got, err)
		}
	}
}

// TestPacketsPass: pods of two nodes exchange packets that are as large as their
// MTU says, and none that are larger, and a node's own packets come back.
func TestPacketsPass(t *testing.T) {
	for _, mode := range []Mode{VXLAN, HostGW} {
		t.Run(string(mode), func(t *testing.T) {
			netnstest.Enter(t)
			here, err := netns.Get()
			if err != nil {
				t.Fatal(err)
			}
			defer here.Close()
			a, b := node{"a", "192.0.2.1", "10.42.0.0/24"}, node{"b", "192.0.2.2", "10.42.1.0/24"}
			remote := make(chan *net.UDPConn)
			go func() {
				defer close(remote)
				netnstest.Enter(t) // another thread, another namespace
				remote <- b.run(t, mode, a, here)
			}()
			server := <-remote
			if server == nil {
				return // it has told why
			}
			defer server.Close()
			a.run(t, mode, b, netns.None()).Close()
			go func() { // it sends back what comes
				buf := make([]byte, 2000)
				for {
					n, from, err := server.ReadFromUDPAddrPort(buf)
					if err != nil {
						return
					}
					_, _ = server.WriteToUDPAddrPort(buf[:n], from)
				}
			}()
			largest := 1500 - mode.overhead(false)
			for _, from := range []string{"10.42.0.5", "0.0.0.0"} { // a pod, and the node itself
				if err := echo(from, server.LocalAddr().String(), largest-28); err != nil {
					t.Errorf("from %s: %v", from, err)
				}
			}
			if err := echo("10.42.0.5", server.LocalAddr().String(), largest-27); err == nil {
				t.Errorf("a packet of %d bytes passed", largest+1)
			}
		})
	}
}

// node is one in a namespace, with one pod, whose address is .5 of the block.
type node struct{ name, address, block string }

func (n node) overlayNode() Node {
	return Node{Name: n.name, Addresses: []netip.Addr{netip.MustParseAddr(n.address)}, Blocks: []netip.Prefix{netip.MustParsePrefix(n.block)}}
}

// run starts the node, and returns its pod's socket.
func (n node) run(t *testing.T, mode Mode, other node, peer netns.NsHandle) *net.UDPConn {
	if n.start(t, mode, other, peer) == nil {
		return nil
	}
	conn, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.ParseIP(n.pod())})
	if err != nil {
		t.Error(err)
	}
	return conn
}

func (n node) pod() string { return strings.TrimSuffix(n.block, "0/24") + "5" }

// start sets the node up in the thread's namespace, and makes one pass. A node with
// a peer's namespace makes the cable.
func (n node) start(t *testing.T, mode Mode, other node, peer netns.NsHandle) *Overlay {
	tables, err := openTables(testLink)
	if err != nil {
		t.Error(err)
		return nil
	}
	t.Cleanup(tables.close)
	b := realBox{tables, t}
	if peer != netns.None() {
		b.must(b.h.LinkAdd(&netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "eth0"}, PeerName: "eth0", PeerNamespace: netlink.NsFd(int(peer))}))
	}
	b.setUp(Uplink{Name: "eth0", MTU: 1500, Prefixes: []netip.Prefix{netip.PrefixFrom(netip.MustParseAddr(n.address), 24)}})
	lo, err := b.h.LinkByName("lo")
	b.must(err)
	b.must(b.h.LinkSetUp(lo))
	b.must(b.h.AddrAdd(lo, &netlink.Addr{IPNet: ipNet(netip.MustParsePrefix(n.pod() + "/32"))}))
	o, err := New(Config{NodeName: n.name, Mode: mode, Link: testLink, Logger: slog.New(slog.DiscardHandler)}, nil)
	b.must(err)
	o.kernel = tables
	o.learn(n.overlayNode())
	o.learn(other.overlayNode())
	b.must(o.sync(t.Context()))
	return o
}

// echo sends a datagram that must not be split, and waits for it to come back.
func echo(from, to string, size int) error {
	local := &net.UDPAddr{IP: net.ParseIP(from)}
	remote, err := net.ResolveUDPAddr("udp4", to)
	if err != nil {
		return err
	}
	conn, err := net.DialUDP("udp4", local, remote)
	if err != nil {
		return err
	}
	defer conn.Close()
	raw, err := conn.SyscallConn()
	if err != nil {
		return err
	}
	if err := raw.Control(func(fd uintptr) {
		_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_MTU_DISCOVER, unix.IP_PMTUDISC_DO)
	}); err != nil {
		return err
	}
	if _, err := conn.Write(make([]byte, size)); err != nil {
		return err
	}
	if err := conn.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
		return err
	}
	n, err := conn.Read(make([]byte, 2*size))
	if err == nil && n != size {
		err = fmt.Errorf("%d bytes of %d came back", n, size)
	}
	return err
}

// TestStaleLink: a link of other parameters is made anew.
func TestStaleLink(t *testing.T) {
	b := newRealBox(t)
	b.setUp(Uplink{Name: "eth0", MTU: 1500, Prefixes: []netip.Prefix{netip.MustParsePrefix("192.0.2.1/24")}})
	eth0, err := b.h.LinkByName("eth0")
	b.must(err)
	for what, old := range map[string]*netlink.Vxlan{
		"number": {VxlanId: 7, Port: Port}, "port": {VxlanId: VNI, Port: 4789}, "learning": {VxlanId: VNI, Port: Port, Learning: true},
		"group": {VxlanId: VNI, Port: Port, Group: net.IPv4(239, 1, 1, 1), VtepDevIndex: eth0.Attrs().Index},
	} {
		old.Name = testLink
		b.must(Remove(testLink))
		b.must(b.h.LinkAdd(old))
		o, err := New(Config{NodeName: "a", Mode: VXLAN, Link: testLink}, nil)
		b.must(err)
		o.kernel = b
		o.learn(node{"a", "192.0.2.1", "10.42.0.0/24"}.overlayNode())
		o.learn(node{"b", "192.0.2.2", "10.42.1.0/24"}.overlayNode())
		if err := o.sync(t.Context()); err != nil {
			t.Errorf("another %s: %v", what, err)
		}
		state, _, err := b.Read()
		b.must(err)
		if l, ok := state[Link{}.Key()].(Link); !ok || l.Fixed != vxlanFixed {
			t.Errorf("another %s: now there is %v", what, l)
		}
	}
}

// TestProblemsAreToldOnce, and that they are over.
func TestProblemsAreToldOnce(t *testing.T) {
	var log strings.Builder
	var told []string
	o, err := New(Config{
		NodeName: "a", Mode: VXLAN, Link: testLink, OnProblem: func(p string) { told = append(told, p) },
		Logger: slog.New(slog.NewTextHandler(&log, nil)),
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	k := newFake(Underlay{})
	o.kernel = k
	o.learn(node{"a", "192.0.2.1", "10.42.0.0/24"}.overlayNode())
	o.learn(node{"b", "192.0.2.2", "10.42.1.0/24"}.overlayNode())
	k.fail = func(Item) error { return fmt.Errorf("%w: load the module", ErrUnsupported) }
	for range 3 {
		if err := o.sync(t.Context()); err == nil {
			t.Fatal("no error")
		}
		o.have = nil
	}
	k.fail = func(Item) error { return nil }
	for range 2 {
		if err := o.sync(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if lines := strings.Count(log.String(), "\n"); lines != 2 || len(told) != 1 || !strings.Contains(told[0], "load the module") {
		t.Errorf("told %q, logged\n%s", told, log.String())
	}
}

// TestUnchangedNodesCostNothing: nodes write their status all the time.
func TestUnchangedNodesCostNothing(t *testing.T) {
	o, err := New(Config{NodeName: "a", Mode: VXLAN, Link: testLink}, nil)
	if err != nil {
		t.Fatal(err)
	}
	n := object("b", "192.0.2.2", "10.42.1.0/24")
	o.handler().OnAdd(n, true)
	<-o.wake
	later := n.DeepCopy()
	later.Status.Images = []corev1.ContainerImage{{SizeBytes: 7}}
	o.handler().OnUpdate(n, later)
	if len(o.wake) != 0 {
		t.Error("woken by a change that does not matter")
	}
	o.handler().OnDelete(n)
	if len(o.wake) != 1 {
		t.Error("not woken by a node that went")
	}
}

func TestNewRefuses(t *testing.T) {
	for _, cfg := range []Config{{Mode: "geneve", Link: "x"}, {Mode: VXLAN}, {Mode: VXLAN, Link: "a-name-of-sixteen"}} {
		if _, err := New(cfg, nil); err == nil {
			t.Errorf("%+v was taken", cfg)
		}
	}
	if m, err := ParseMode(""); m != VXLAN || err != nil {
		t.Errorf("the default is %q, %v", m, err)
	}
	o, err := New(Config{Mode: VXLAN, Link: testLink}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := o.SetMode("geneve"); err == nil || o.Mode() != VXLAN {
		t.Errorf("an unknown mode while it runs: %v, and now %s", err, o.Mode())
	}
	if _, err := ParseMode("geneve"); err == nil || !strings.Contains(err.Error(), "vxlan, host-gw") {
		t.Errorf("an unknown mode: %v", err)
	}
}

// Benchmark programs 1,000 other nodes from nothing, and then changes one.
func Benchmark(b *testing.B) {
	netnstest.Enter(b)
	for _, mode := range []Mode{VXLAN, HostGW} {
		b.Run(string(mode), func(b *testing.B) {
			netnstest.Enter(b)
			tables, err := openTables(testLink)
			if err != nil {
				b.Fatal(err)
			}
			defer tables.close()
			eth0 := &netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "eth0", Flags: net.FlagUp}, PeerName: "eth0-peer"}
			peer := func() error {
				l, err := tables.h.LinkByName("eth0-peer")
				if err != nil {
					return err
				}
				return tables.h.LinkSetUp(l)
			}
			for _, err := range []error{
				tables.h.LinkAdd(eth0), peer(),
				tables.h.AddrAdd(eth0, &netlink.Addr{IPNet: ipNet(netip.MustParsePrefix("172.16.0.1/16"))}),
			} {
				if err != nil {
					b.Fatal(err)
				}
			}
			fresh := func() *Overlay {
				o, err := New(Config{NodeName: "n0", Mode: mode, Link: testLink, Logger: slog.New(slog.NewTextHandler(io.Discard, nil))}, nil)
				if err != nil {
					b.Fatal(err)
				}
				o.kernel = tables
				for i := range 1001 {
					o.learn(numbered(i, 0))
				}
				return o
			}
			run := func(o *Overlay) {
				if err := o.sync(b.Context()); err != nil {
					b.Fatal(err)
				}
			}
			b.Run("all", func(b *testing.B) {
				for b.Loop() {
					b.StopTimer()
					if err := Remove(testLink); err != nil {
						b.Fatal(err)
					}
					o := fresh()
					b.StartTimer()
					run(o)
				}
			})
			b.Run("restart", func(b *testing.B) {
				run(fresh())
				for b.Loop() {
					run(fresh())
				}
			})
			b.Run("one", func(b *testing.B) {
				o, change := fresh(), 0
				run(o)
				for b.Loop() {
					change++
					o.learn(numbered(500, change%2))
					run(o)
				}
			})
		})
	}
}

// numbered is one of many nodes, maybe with its other address.
func numbered(i, address int) Node {
	return Node{
		Name:      fmt.Sprintf("n%d", i),
		Addresses: []netip.Addr{netip.AddrFrom4([4]byte{172, 16, byte(i/250 + 8*address), byte(i%250 + 1)})},
		Blocks:    []netip.Prefix{netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(42 + i/256), byte(i % 256), 0}), 24)},
	}
}
