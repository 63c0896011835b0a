package host

import (
	"fmt"
	"hash/fnv"
	"net"
	"net/netip"
	"testing"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
)

// Network is a bridge in a namespace of its own that hosts are attached to. It
// leads nowhere else, or by a router to another network.
type Network struct {
	place *place
	// prefix holds the hosts' addresses.
	prefix netip.Prefix
	// last is the address that was given last.
	last netip.Addr
	// router is the way out; not valid if there is none.
	router netip.Addr
}

const bridge = "lan"

// NewNetwork makes a network, and removes it at the end of the test. The hosts of
// the network must be made by the same test, one after the other.
func NewNetwork(t testing.TB) *Network {
	t.Helper()
	return newNetwork(t, alone.Masked())
}

func newNetwork(t testing.TB, prefix netip.Prefix) *Network {
	t.Helper()
	n := &Network{place: newPlace(t), prefix: prefix, last: prefix.Addr()}
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

// next is an address that no host had yet.
func (n *Network) next() netip.Prefix {
	n.last = n.last.Next()
	return netip.PrefixFrom(n.last, n.prefix.Bits())
}

// attach joins a host to the network by a pair of links, and gives it an address
// there; whatever it knows no other way to goes to the gateway, if that is valid.
func (n *Network) attach(p *place, addr netip.Prefix, gateway netip.Addr) error {
	if err := n.connect(p); err != nil {
		return fmt.Errorf("join %s to the network: %w", p.name, err)
	}
	return p.inside(func() error { return addressUplink(addr, gateway) })
}

// connect makes the pair of links. The network's end has the name of the host's
// namespace; a host that had one before gets a new one with the same hardware
// address.
func (n *Network) connect(p *place) error {
	host, err := netns.GetFromName(p.name)
	if err != nil {
		return fmt.Errorf("open its namespace: %w", err)
	}
	defer host.Close()
	return n.place.inside(func() error {
		if old, err := netlink.LinkByName(p.name); err == nil {
			if err := netlink.LinkDel(old); err != nil {
				return fmt.Errorf("remove its former link: %w", err)
			}
		}
		lan, err := netlink.LinkByName(bridge)
		if err != nil {
			return err
		}
		err = netlink.LinkAdd(&netlink.Veth{
			LinkAttrs: netlink.LinkAttrs{Name: p.name, MasterIndex: lan.Attrs().Index},
			PeerName:  uplink, PeerNamespace: netlink.NsFd(int(host)), PeerHardwareAddr: hardwareAddr(p.name),
		})
		if err != nil {
			return err
		}
		return linkUp(p.name)
	})
}

// hardwareAddr is a locally administered one that follows from a name.
func hardwareAddr(name string) net.HardwareAddr {
	sum := fnv.New32a()
	sum.Write([]byte(name))
	return sum.Sum([]byte{0x02, 0})
}
