package overlay

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
	"golang.zx2c4.com/wireguard/wgctrl/wgtypes"

	"skiff/hostnet"
	"skiff/netdump"
)

// tables are the kernel's, of the network namespace that they were opened in.
type tables struct {
	link string
	h    *netlink.Handle
	// wg configures wireguard links, with the private key; nil in other modes.
	wg      device
	private wgtypes.Key
}

// openTables opens the tables; link is the name of the overlay's own link.
func openTables(link string) (*tables, error) {
	h, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		return nil, fmt.Errorf("open the kernel's tables of links and routes: %w", err)
	}
	return &tables{link: link, h: h}, nil
}

func (t *tables) close() {
	t.h.Close()
	if t.wg != nil {
		_ = t.wg.Close() // nothing is buffered
	}
}

// Read implements Kernel.
func (t *tables) Read() (State, Underlay, error) {
	links, err := t.links()
	if err != nil {
		return nil, Underlay{}, err
	}
	s, names, own := State{}, map[int]string{}, netlink.Link(nil)
	for _, l := range links {
		names[l.Attrs().Index] = l.Attrs().Name
		if t.mine(l) {
			own = l
		}
	}
	if own != nil {
		if err := t.readLink(s, own); err != nil {
			return nil, Underlay{}, err
		}
	}
	routes, err := t.routes()
	if err != nil {
		return nil, Underlay{}, err
	}
	for i := range routes {
		if r, ok := routeOf(&routes[i], names); ok {
			s[r.Key()] = r
		}
	}
	u, err := t.underlay(links)
	return s, u, err
}

func (t *tables) links() ([]netlink.Link, error) {
	links, err := netdump.Whole(t.h.LinkList)
	if err != nil {
		return nil, fmt.Errorf("list links: %w", err)
	}
	return links, nil
}

// routes lists the overlay's.
func (t *tables) routes() ([]netlink.Route, error) {
	routes, err := netdump.Whole(func() ([]netlink.Route, error) {
		filter := &netlink.Route{Protocol: hostnet.OverlayRoutes, Table: unix.RT_TABLE_MAIN}
		return t.h.RouteListFiltered(netlink.FAMILY_ALL, filter, netlink.RT_FILTER_PROTOCOL|netlink.RT_FILTER_TABLE)
	})
	if err != nil {
		return nil, fmt.Errorf("list routes: %w", err)
	}
	return routes, nil
}

func routeOf(r *netlink.Route, names map[int]string) (Route, bool) {
	dst, ok := prefixOf(r.Dst)
	out := Route{
		Dst: dst, Via: addrOf(r.Gw), Dev: names[r.LinkIndex], Src: addrOf(r.Src),
		OnLink: r.Flags&int(netlink.FLAG_ONLINK) != 0, Metric: r.Priority,
	}
	return out, ok
}

// readLink adds the overlay's link, and what is on it.
func (t *tables) readLink(s State, l netlink.Link) error {
	a := l.Attrs()
	s.put(Link{Name: a.Name, Type: l.Type(), Fixed: fixedOf(l), MAC: toMAC(a.HardwareAddr), MTU: a.MTU, Up: a.Flags&net.FlagUp != 0})
	addrs, err := netdump.Whole(func() ([]netlink.Addr, error) { return t.h.AddrList(l, netlink.FAMILY_ALL) })
	if err != nil {
		return fmt.Errorf("list addresses of %s: %w", a.Name, err)
	}
	for _, addr := range addrs {
		if p, ok := addressOf(addr.IPNet); ok && !p.Addr().IsLinkLocalUnicast() {
			s.put(Address{p})
		}
	}
	neighbours, err := netdump.Whole(func() ([]netlink.Neigh, error) { return t.h.NeighList(a.Index, netlink.FAMILY_ALL) })
	if err != nil {
		return fmt.Errorf("list neighbours of %s: %w", a.Name, err)
	}
	for _, n := range neighbours {
		if addr := addrOf(n.IP); addr.IsValid() && n.State&netlink.NUD_PERMANENT != 0 {
			s.put(Neighbour{Addr: addr, MAC: toMAC(n.HardwareAddr)})
		}
	}
	if l.Type() == "wireguard" {
		return t.readDevice(s)
	}
	forwards, err := netdump.Whole(func() ([]netlink.Neigh, error) { return t.h.NeighList(a.Index, unix.AF_BRIDGE) })
	if err != nil {
		return fmt.Errorf("list forwarding entries of %s: %w", a.Name, err)
	}
	for _, f := range forwards {
		if to := addrOf(f.IP); to.IsValid() {
			s.put(Forward{MAC: toMAC(f.HardwareAddr), To: to})
		}
	}
	return nil
}

// mine tells whether a link is the overlay's, and no other thing of its name.
func (t *tables) mine(l netlink.Link) bool {
	return l.Attrs().Name == t.link && (l.Type() == "vxlan" || l.Type() == "wireguard")
}

// fixedOf describes what cannot be changed in place.
func fixedOf(l netlink.Link) string {
	v, ok := l.(*netlink.Vxlan)
	if !ok {
		return ""
	}
	text := fmt.Sprintf("id %d port %d", v.VxlanId, v.Port)
	for property, has := range map[string]bool{
		" learning": v.Learning, " external": v.FlowBased, " proxy": v.Proxy,
		" group": len(v.Group) > 0, " local": len(v.SrcAddr) > 0, " dev": v.VtepDevIndex != 0,
	} {
		if has {
			text += property // in any order: none of them is wanted
		}
	}
	return text
}

// underlay lists the links with addresses.
func (t *tables) underlay(links []netlink.Link) (Underlay, error) {
	addrs, err := netdump.Whole(func() ([]netlink.Addr, error) { return t.h.AddrList(nil, netlink.FAMILY_ALL) })
	if err != nil {
		return Underlay{}, fmt.Errorf("list addresses: %w", err)
	}
	prefixes := map[int][]netip.Prefix{}
	for _, a := range addrs {
		if p, ok := addressOf(a.IPNet); ok && p.Addr().IsGlobalUnicast() {
			prefixes[a.LinkIndex] = append(prefixes[a.LinkIndex], p)
		}
	}
	var u Underlay
	for _, l := range links {
		a := l.Attrs()
		if t.mine(l) {
			u.Overlay = a.Index
		} else if a.Flags&net.FlagLoopback == 0 && len(prefixes[a.Index]) > 0 {
			u.Links = append(u.Links, Uplink{a.Index, a.Name, a.MTU, a.Flags&net.FlagUp != 0, prefixes[a.Index]})
		}
	}
	u.Default, err = t.defaultLink()
	return u, err
}

// defaultLink is the link of the default route of the least metric.
func (t *tables) defaultLink() (int, error) {
	routes, err := netdump.Whole(func() ([]netlink.Route, error) {
		return t.h.RouteListFiltered(netlink.FAMILY_V4, &netlink.Route{Table: unix.RT_TABLE_MAIN}, netlink.RT_FILTER_TABLE)
	})
	if err != nil {
		return 0, fmt.Errorf("list routes: %w", err)
	}
	best := netlink.Route{}
	for _, r := range routes {
		if (r.Dst == nil || r.Dst.IP.IsUnspecified()) && (best.LinkIndex == 0 || r.Priority < best.Priority) {
			best = r
		}
	}
	return best.LinkIndex, nil
}

// enableForwarding lets the kernel carry packets of others; /proc/sys may be
// read-only where it does already.
func enableForwarding() error {
	const path = "/proc/sys/net/ipv4/ip_forward"
	if b, err := os.ReadFile(path); err == nil && strings.TrimSpace(string(b)) == "1" {
		return nil
	}
	return os.WriteFile(path, []byte("1"), 0o644)
}

func toMAC(hw net.HardwareAddr) (m MAC) {
	copy(m[:], hw)
	return m
}

func addrOf(ip net.IP) netip.Addr {
	a, _ := netip.AddrFromSlice(ip)
	return a.Unmap()
}

func addressOf(n *net.IPNet) (netip.Prefix, bool) {
	if n == nil {
		return netip.Prefix{}, false
	}
	ones, _ := n.Mask.Size()
	a := addrOf(n.IP)
	return netip.PrefixFrom(a, ones), a.IsValid()
}

func prefixOf(n *net.IPNet) (netip.Prefix, bool) {
	p, ok := addressOf(n)
	return p.Masked(), ok
}

func isGone(err error) bool {
	var notFound netlink.LinkNotFoundError
	return errors.As(err, &notFound) || errors.Is(err, unix.ENODEV) || errors.Is(err, unix.ENOENT) ||
		errors.Is(err, unix.ESRCH) || errors.Is(err, unix.EADDRNOTAVAIL)
}
