package traffic

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"

	"github.com/vishvananda/netlink"
)

// Endpoints are the addresses that answer, on Port.
var Endpoints = netip.MustParsePrefix("10.42.128.0/17")

// Port is where endpoints answer.
const Port = 8080

// link is a pair of links between a node and a box.
type link struct {
	node, box netip.Prefix
	name      string
}

// The links' names begin as those of pods do, so that nobody takes them for
// networks of the box that are in the way of the cluster's.
var (
	toClient    = link{netip.MustParsePrefix("10.42.127.1/30"), netip.MustParsePrefix("10.42.127.2/30"), "skiff-client"}
	toEndpoints = link{netip.MustParsePrefix("10.42.126.1/30"), netip.MustParsePrefix("10.42.126.2/30"), "skiff-endpoints"}
)

// Path is a way from a client through a node to endpoints. Its methods are not
// safe for concurrent use.
type Path struct {
	node              func(func() error) error
	client, endpoints *box
	listener          net.Listener
}

// New puts a client and endpoints beside a node. The function runs another one in
// the node's network namespace, which lasts as long as the Path.
func New(node func(func() error) error) (*Path, error) {
	p := &Path{node: node}
	err := p.make()
	if err != nil {
		return nil, errors.Join(fmt.Errorf("make a client and endpoints: %w", err), p.Close())
	}
	return p, nil
}

func (p *Path) make() (err error) {
	if err := p.node(forward); err != nil {
		return err
	}
	if p.client, err = p.attach(toClient); err != nil {
		return err
	}
	if p.endpoints, err = p.attach(toEndpoints); err != nil {
		return err
	}
	if err := p.endpoints.do(p.answer); err != nil {
		return err
	}
	return p.node(func() error { return routeBy(Endpoints, toEndpoints.box.Addr()) })
}

func forward() error { return os.WriteFile("/proc/sys/net/ipv4/ip_forward", []byte("1"), 0) }

// attach makes a box with a link to the node.
func (p *Path) attach(l link) (*box, error) {
	b, err := newBox()
	if err != nil {
		return nil, err
	}
	err = p.node(func() error {
		if err := netlink.LinkAdd(&netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: l.name}, PeerName: "eth0", PeerNamespace: netlink.NsPid(b.tid)}); err != nil {
			return fmt.Errorf("make link %s: %w", l.name, err)
		}
		return setUp(l.name, l.node)
	})
	if err == nil {
		err = b.do(func() error {
			return errors.Join(setUp("eth0", l.box), routeBy(netip.PrefixFrom(netip.IPv4Unspecified(), 0), l.node.Addr()))
		})
	}
	if err != nil {
		b.close()
		return nil, err
	}
	return b, nil
}

func setUp(name string, addr netip.Prefix) error {
	l, err := netlink.LinkByName(name)
	if err != nil {
		return fmt.Errorf("find link %s: %w", name, err)
	}
	if err := netlink.AddrAdd(l, &netlink.Addr{IPNet: ipNet(addr)}); err != nil {
		return fmt.Errorf("give %s to %s: %w", addr, name, err)
	}
	return netlink.LinkSetUp(l)
}

func routeBy(to netip.Prefix, gateway netip.Addr) error {
	if err := netlink.RouteAdd(&netlink.Route{Dst: ipNet(to), Gw: gateway.AsSlice()}); err != nil {
		return fmt.Errorf("route %s by way of %s: %w", to, gateway, err)
	}
	return nil
}

func ipNet(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}

// Close removes the boxes, and the node's links to them.
func (p *Path) Close() error {
	var errs []error
	if p.listener != nil {
		errs = append(errs, p.listener.Close())
	}
	for _, b := range []struct {
		*box
		link
	}{{p.client, toClient}, {p.endpoints, toEndpoints}} {
		if b.box == nil {
			continue
		}
		errs = append(errs, p.node(b.remove))
		b.close()
	}
	return errors.Join(errs...)
}

// remove removes both ends of the link.
func (l link) remove() error {
	found, err := netlink.LinkByName(l.name)
	if err != nil {
		return fmt.Errorf("find link %s: %w", l.name, err)
	}
	return netlink.LinkDel(found)
}
