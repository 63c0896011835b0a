package host_test

import (
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"skiff/test/e2e/host"
)

// TestNetwork lets two hosts reach each other, and nobody else.
func TestNetwork(t *testing.T) {
	n := host.NewNetwork(t)
	a, b := host.New(t, host.Config{Network: n}), host.New(t, host.Config{Network: n})
	reaches(t, a, b, true)
	if r := a.Run("busybox", "ping", "-c1", "-W1", "198.51.100.1"); r.Code == 0 || !strings.Contains(r.Stderr, "unreachable") {
		t.Errorf("ping to the outside: code %d, %s%s", r.Code, r.Stdout, r.Stderr)
	}
	if left := a.Left(); len(left) > 0 {
		t.Errorf("an unused host has %q", left)
	}
}

// TestCable pulls a host's cable and puts it in again.
func TestCable(t *testing.T) {
	n := host.NewNetwork(t)
	a, b := host.New(t, host.Config{Network: n}), host.New(t, host.Config{Network: n})
	before := a.State()
	a.Unplug()
	reaches(t, b, a, false)
	if changed := before.Minus(a.State()); len(changed) > 0 {
		t.Errorf("without the cable the host has lost %q", changed)
	}
	a.Plug()
	reaches(t, b, a, true)
}

// TestRenumber gives a host another address.
func TestRenumber(t *testing.T) {
	n := host.NewNetwork(t)
	gateway := host.New(t, host.Config{Network: n})
	a := host.New(t, host.Config{Network: n, Gateway: gateway.Addr})
	old := a.Addr
	a.Renumber()
	reaches(t, a, gateway, true)
	if r := gateway.Run("busybox", "ping", "-c1", "-W1", old.String()); r.Code == 0 || a.Addr == old {
		t.Errorf("the host's address was %s, which still answers, and is %s", old, a.Addr)
	}
	if out := a.Run("busybox", "ip", "route", "show", "default").Stdout; !strings.HasPrefix(out, "default via "+gateway.Addr.String()) {
		t.Errorf("the default route is now %q", out)
	}
	if left := a.Left(); len(left) > 0 {
		t.Errorf("an unused host has %q", left)
	}
}

// TestPowerCutOnNetwork cuts the power of a host: others reach it again by the
// same hardware address.
func TestPowerCutOnNetwork(t *testing.T) {
	n := host.NewNetwork(t)
	a, b := host.New(t, host.Config{Network: n}), host.New(t, host.Config{Network: n})
	reaches(t, b, a, true)
	a.PowerCut()
	reaches(t, b, a, true)
	if left := a.Left(); len(left) > 0 {
		t.Errorf("an unused host has %q", left)
	}
}

// TestBehind lets hosts of a network reach another one behind its router's
// address.
func TestBehind(t *testing.T) {
	outer := host.NewNetwork(t)
	server := host.New(t, host.Config{Network: outer})
	inner := host.NewNetworkBehind(t, outer)
	client := host.New(t, host.Config{Network: inner})
	reaches(t, server, client, false)
	var listener net.Listener
	err := server.Inside(func() (err error) {
		listener, err = net.Listen("tcp", netip.AddrPortFrom(server.Addr, 0).String())
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	conn, err := client.Dial(t.Context(), "tcp", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	accepted, err := listener.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer accepted.Close()
	seen := netip.MustParseAddrPort(accepted.RemoteAddr().String()).Addr()
	if own := netip.MustParseAddrPort(conn.LocalAddr().String()).Addr(); own != client.Addr || seen == own {
		t.Errorf("the client at %s dials from %s, and the server sees %s", client.Addr, own, seen)
	}
}

// TestNeighbours sees what an overlay leaves: entries that do not end by
// themselves.
func TestNeighbours(t *testing.T) {
	h := host.New(t, host.Config{Network: host.NewNetwork(t)})
	before := h.State()
	err := h.Inside(func() error {
		link, err := netlink.LinkByName("eth0")
		if err != nil {
			return err
		}
		return netlink.NeighSet(&netlink.Neigh{
			LinkIndex: link.Attrs().Index, State: unix.NUD_PERMANENT,
			IP: net.IPv4(192, 0, 2, 77), HardwareAddr: net.HardwareAddr{2, 0, 0, 0, 0, 1},
		})
	})
	if err != nil {
		t.Fatal(err)
	}
	if got, want := h.State().Minus(before), (host.State{"neighbour 192.0.2.77 02:00:00:00:00:01"}); !slices.Equal(got, want) {
		t.Errorf("the namespace has now also %q, want %q", got, want)
	}
}

// reaches checks whether one host reaches another.
func reaches(t *testing.T, from, to *host.Host, want bool) {
	t.Helper()
	patience := "-W5"
	if !want {
		patience = "-W1"
	}
	if r := from.Run("busybox", "ping", "-c1", patience, to.Addr.String()); (r.Code == 0) != want {
		t.Errorf("ping from %s to %s: code %d, %s%s", from.Addr, to.Addr, r.Code, r.Stdout, r.Stderr)
	}
}
