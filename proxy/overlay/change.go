package overlay

import (
	"errors"
	"fmt"
	"net"
	"net/netip"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"skiff/hostnet"
)

// Add implements Kernel.
func (t *tables) Add(i Item) error {
	switch i := i.(type) {
	case Link:
		return t.addLink(i)
	case Address:
		return t.onLink(func(l netlink.Link) error {
			return t.h.AddrReplace(l, &netlink.Addr{IPNet: ipNet(i.Prefix)})
		})
	case Peer:
		return t.setPeer(i)
	case Forward:
		return t.onLink(func(l netlink.Link) error { return t.h.NeighSet(i.entry(l)) })
	case Neighbour:
		return t.onLink(func(l netlink.Link) error { return t.h.NeighSet(i.entry(l)) })
	case Route:
		return t.route(i, t.h.RouteAdd)
	}
	return fmt.Errorf("%T is nothing that can be added", i)
}

// Change implements Kernel.
func (t *tables) Change(i Item) error {
	switch i := i.(type) {
	case Link:
		return t.onLink(func(l netlink.Link) error { return t.setLink(l, i) })
	case Route:
		return t.route(i, t.h.RouteReplace) // only of what is ours
	}
	return t.Add(i)
}

// Remove implements Kernel.
func (t *tables) Remove(i Item) error {
	var err error
	switch i := i.(type) {
	case Link:
		err = t.onLink(t.h.LinkDel)
	case Address:
		err = t.onLink(func(l netlink.Link) error { return t.h.AddrDel(l, &netlink.Addr{IPNet: ipNet(i.Prefix)}) })
	case Peer:
		err = t.removePeer(i)
	case Forward:
		err = t.onLink(func(l netlink.Link) error { return t.h.NeighDel(i.entry(l)) })
	case Neighbour:
		err = t.onLink(func(l netlink.Link) error { return t.h.NeighDel(i.entry(l)) })
	case Route:
		// Without the link, which may have gone with the route.
		err = t.h.RouteDel(&netlink.Route{Dst: ipNet(i.Dst), Priority: i.Metric, Protocol: hostnet.OverlayRoutes})
	}
	if isGone(err) {
		return nil
	}
	return err
}

func (t *tables) onLink(do func(netlink.Link) error) error {
	l, err := t.h.LinkByName(t.link)
	if err != nil {
		return err
	}
	if !t.mine(l) {
		return unix.ENODEV
	}
	return do(l)
}

// ErrUnsupported tells that the kernel lacks what a mode needs.
var ErrUnsupported = errors.New("this kernel cannot make such links")

func unsupported(kind string) error {
	return fmt.Errorf("%w: load the module (modprobe %s), or choose another --overlay", ErrUnsupported, kind)
}

func (t *tables) addLink(l Link) error {
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.MTU = t.link, l.MTU
	if l.Type == "wireguard" {
		return t.addWireguard(attrs)
	}
	attrs.Flags, attrs.HardwareAddr = net.FlagUp, l.MAC[:]
	err := t.h.LinkAdd(&netlink.Vxlan{LinkAttrs: attrs, VxlanId: VNI, Port: Port})
	if errors.Is(err, unix.EOPNOTSUPP) {
		return unsupported(l.Type)
	}
	if !errors.Is(err, unix.EEXIST) {
		return err
	}
	if other, err := t.h.LinkByName(t.link); err == nil {
		return fmt.Errorf("there is a link %s of the kind %s that skiff did not make: remove or rename it", t.link, other.Type())
	}
	return fmt.Errorf("another vxlan link of this box has the number %d and the port %d: remove it, or choose another --overlay", VNI, Port)
}

// setLink changes what differs.
func (t *tables) setLink(l netlink.Link, to Link) error {
	var errs []error
	a := l.Attrs()
	if to.Type == "wireguard" {
		errs = append(errs, t.setKey())
	}
	if toMAC(a.HardwareAddr) != to.MAC {
		errs = append(errs, t.h.LinkSetHardwareAddr(l, to.MAC[:]))
	}
	if a.MTU != to.MTU {
		errs = append(errs, t.h.LinkSetMTU(l, to.MTU))
	}
	if a.Flags&net.FlagUp == 0 {
		errs = append(errs, t.h.LinkSetUp(l))
	}
	return errors.Join(errs...)
}

func (t *tables) route(r Route, write func(*netlink.Route) error) error {
	l, err := t.h.LinkByName(r.Dev)
	if err != nil {
		return err
	}
	out := &netlink.Route{
		Dst: ipNet(r.Dst), LinkIndex: l.Attrs().Index, Gw: r.Via.AsSlice(), Src: r.Src.AsSlice(),
		Priority: r.Metric, Protocol: hostnet.OverlayRoutes,
	}
	if r.OnLink {
		out.Flags = int(netlink.FLAG_ONLINK)
	}
	err = write(out)
	if errors.Is(err, unix.EEXIST) {
		return fmt.Errorf("%w: there is a route to %s that skiff did not make, remove it or give the cluster another range", err, r.Dst)
	}
	return err
}

func (f Forward) entry(l netlink.Link) *netlink.Neigh {
	return &netlink.Neigh{
		LinkIndex: l.Attrs().Index, Family: unix.AF_BRIDGE, State: netlink.NUD_PERMANENT, Flags: netlink.NTF_SELF,
		HardwareAddr: f.MAC[:], IP: f.To.AsSlice(),
	}
}

func (n Neighbour) entry(l netlink.Link) *netlink.Neigh {
	return &netlink.Neigh{
		LinkIndex: l.Attrs().Index, Family: familyOf(n.Addr), State: netlink.NUD_PERMANENT,
		HardwareAddr: n.MAC[:], IP: n.Addr.AsSlice(),
	}
}

func familyOf(a netip.Addr) int {
	if a.Is4() {
		return unix.AF_INET
	}
	return unix.AF_INET6
}

func ipNet(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}
