// Package hostaddr finds the address that a box is known by, and follows it: boxes
// get other addresses from their router, and a box on a shelf may have no cable at
// boot. It is a leaf that everyone may import.
//
//	ips, err := hostaddr.Find(ignore)             // now
//	err = hostaddr.Watch(ctx, ignore, changed)    // from now on
package hostaddr

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"slices"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"skiff/netdump"
)

// ErrNone tells that this box has no address to be known by.
var ErrNone = errors.New("this box has no address besides loopback; connect it, or name the node's address (--node-ip)")

// Find returns this box's own address: that of the default route's interface, or,
// without a default route, that of a link that is up, better of one with a
// carrier. ErrNone if there is none. Addresses that ignore names are not taken;
// nil ignores none. The result has one address of each family at most, and today
// of IPv4 alone.
func Find(ignore func(netip.Addr) bool) ([]netip.Addr, error) {
	return find(ignore, nil)
}

// Loopback is what a box without a cable is known by until it gets one: its pods
// run all the same.
var Loopback = netip.AddrFrom4([4]byte{127, 0, 0, 1})

// FindOrLoopback is Find, and Loopback for a box that has no other address; its
// log says so.
func FindOrLoopback(ignore func(netip.Addr) bool) ([]netip.Addr, error) {
	ips, err := Find(ignore)
	if errors.Is(err, ErrNone) {
		slog.Warn("this box has no address besides loopback: it works for itself alone until it gets one")
		return []netip.Addr{Loopback}, nil
	}
	return ips, err
}

// candidate is an address and how well it suits: the lower, the better.
type candidate struct {
	addr netip.Addr
	rank rank
}

// rank is why an address is taken.
type rank int

const (
	routed    rank = iota // its link has a default route
	connected             // its link has a carrier
	idle                  // its link is up, and has none
)

// find is Find for a box that was known by last: these stay as long as nothing
// suits better, so that a second cable, or a router that is away for a while,
// renames no node.
func find(ignore func(netip.Addr) bool, last []netip.Addr) ([]netip.Addr, error) {
	list, err := candidates(ignore)
	if err != nil {
		return nil, err
	}
	if len(list) == 0 {
		return nil, ErrNone
	}
	best := list[0]
	for _, c := range list {
		if slices.Contains(last, c.addr) && (c.rank == routed || best.rank != routed) {
			return []netip.Addr{c.addr}, nil
		}
	}
	return []netip.Addr{best.addr}, nil
}

// candidates returns the addresses that the box has, the best first.
func candidates(ignore func(netip.Addr) bool) (list []candidate, err error) {
	routes, err := defaultRoutes()
	if err != nil {
		return nil, err
	}
	links, err := netdump.Whole(netlink.LinkList)
	if err != nil {
		return nil, fmt.Errorf("list links: %w", err)
	}
	addrs, err := netdump.Whole(func() ([]netlink.Addr, error) { return netlink.AddrList(nil, netlink.FAMILY_V4) })
	if err != nil {
		return nil, fmt.Errorf("list addresses: %w", err)
	}
	add := func(link int, r rank) {
		for _, a := range addrs {
			ip, ok := netip.AddrFromSlice(a.IP.To4())
			if ok && a.LinkIndex == link && ip.IsGlobalUnicast() && (ignore == nil || !ignore(ip)) {
				list = append(list, candidate{ip, r})
			}
		}
	}
	for _, link := range routes {
		add(link, routed)
	}
	for _, l := range links {
		if l.Attrs().Flags&net.FlagLoopback != 0 || l.Attrs().Flags&net.FlagUp == 0 {
			continue
		}
		if s := l.Attrs().OperState; s == netlink.OperDown || s == netlink.OperLowerLayerDown {
			add(l.Attrs().Index, idle)
		} else {
			add(l.Attrs().Index, connected)
		}
	}
	slices.SortStableFunc(list, func(a, b candidate) int { return cmp.Compare(a.rank, b.rank) })
	return list, nil
}

// defaultRoutes returns the links that have one, that of the least metric first.
func defaultRoutes() (links []int, err error) {
	routes, err := netdump.Whole(func() ([]netlink.Route, error) {
		return netlink.RouteListFiltered(netlink.FAMILY_V4, &netlink.Route{Table: unix.RT_TABLE_MAIN}, netlink.RT_FILTER_TABLE)
	})
	if err != nil {
		return nil, fmt.Errorf("list routes: %w", err)
	}
	slices.SortStableFunc(routes, func(a, b netlink.Route) int { return cmp.Compare(a.Priority, b.Priority) })
	for _, r := range routes {
		if isDefault(r) {
			links = append(links, r.LinkIndex)
		}
	}
	return links, nil
}

// isDefault tells whether a route is for everything, and leads out.
func isDefault(r netlink.Route) bool {
	everything := r.Dst == nil || r.Dst.IP == nil || r.Dst.IP.IsUnspecified()
	return everything && r.Type == unix.RTN_UNICAST
}
