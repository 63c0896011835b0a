package host

import (
	"fmt"
	"net/netip"
	"testing"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
)

// Network is a bridge in a namespace of its own that hosts are attached to. It
// leads nowhere else.
type Network struct {
	place *place
	// last is the address that was given last.
	last netip.Addr
}

const bridge = "lan"

// NewNetwork makes a network, and removes it at the end of the test. The hosts of
// the network must be made by the same test, one after the other.
func NewNetwork(t testing.TB) *Network {
	t.Helper()
	n := &Network{place: newPlace(t), last: alone.Masked().Addr()}
	t.Cleanup(func() {
		if err := n.place.remove(); err != nil {
			t.Errorf("remove network: %v", err)
		}
	})
	err := n.place.inside(func() error {
		if err := netlink.LinkAdd(&netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: bridge}}); err != nil {
			return fmt.Errorf("make bridge: %w", err)
		}
		return linkUp(bridge)
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// attach joins a host to the network by a pair of links, and lets its default
// route lead to the gateway, if that is valid. The host gets the address, or the
// next one if it has none yet.
func (n *Network) attach(p *place, gateway, addr netip.Addr) (netip.Addr, error) {
	if !addr.IsValid() {
		n.last = n.last.Next()
		addr = n.last
	}
	host, err := netns.GetFromName(p.name)
	if err != nil {
		return netip.Addr{}, fmt.Errorf("open namespace %s: %w", p.name, err)
	}
	defer host.Close()
	err = n.place.inside(func() error {
		lan, err := netlink.LinkByName(bridge)
		if err != nil {
			return err
		}
		port := fmt.Sprintf("port%d", addr.As4()[3])
		err = netlink.LinkAdd(&netlink.Veth{
			LinkAttrs: netlink.LinkAttrs{Name: port, MasterIndex: lan.Attrs().Index},
			PeerName:  uplink, PeerNamespace: netlink.NsFd(int(host)),
		})
		if err != nil {
			return fmt.Errorf("join %s to the network: %w", p.name, err)
		}
		return linkUp(port)
	})
	if err != nil {
		return netip.Addr{}, err
	}
	return addr, p.inside(func() error {
		if err := p.addressUplink(netip.PrefixFrom(addr, alone.Bits())); err != nil || !gateway.IsValid() {
			return err
		}
		return netlink.RouteAdd(&netlink.Route{Gw: gateway.AsSlice()})
	})
}
