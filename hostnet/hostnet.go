// Package hostnet knows which networks a box has besides those that Skiff made,
// so that a cluster is not given a range whose hosts would then be out of reach.
// It is a leaf that everyone may import.
//
//	conflict, err := hostnet.Find(map[string][]netip.Prefix{"cluster-cidr": pods, "service-cidr": services})
package hostnet

import (
	"fmt"
	"maps"
	"net"
	"net/netip"
	"slices"
	"strings"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"skiff/netdump"
)

// The marks of the routes that are Skiff's own (rtnetlink's rtm_protocol; 's' and
// what follows it). Each part removes only routes of its own mark.
const (
	ServiceRoutes netlink.RouteProtocol = 0x73
	OverlayRoutes netlink.RouteProtocol = 0x74
)

// linkPrefix is how the names of Skiff's own links begin.
const linkPrefix = "skiff"

// Conflict is a range of the cluster that overlaps a network of the box. As an
// error it is one line that names both.
type Conflict struct {
	// Key is what the range is configured by: cluster-cidr.
	Key string
	// Range is the cluster's, Network the box's, behind Link.
	Range, Network netip.Prefix
	Link           string
}

// Error implements error.
func (c *Conflict) Error() string {
	return fmt.Sprintf("%s: %s overlaps %s of this box's link %s, whose hosts would be out of reach; choose another --%s for the cluster, or another network for the box",
		c.Key, c.Range, c.Network, c.Link, c.Key)
}

// Find returns the first of the ranges, by key, that overlaps a network which the
// box has a route to or an address in, nil if none does. Default routes and what
// Skiff made at an earlier start do not count.
func Find(ranges map[string][]netip.Prefix) (*Conflict, error) {
	networks, err := networks()
	if err != nil {
		return nil, err
	}
	for _, key := range slices.Sorted(maps.Keys(ranges)) {
		for _, r := range ranges[key] {
			for _, n := range networks {
				if r.Overlaps(n.prefix) {
					return &Conflict{Key: key, Range: r, Network: n.prefix, Link: n.link}, nil
				}
			}
		}
	}
	return nil, nil
}

// Check is Find for those who refuse a conflict.
func Check(ranges map[string][]netip.Prefix) error {
	conflict, err := Find(ranges)
	if err != nil {
		return fmt.Errorf("compare the cluster's ranges with this box's networks: %w", err)
	}
	if conflict != nil {
		return conflict
	}
	return nil
}

// network is one that the box reaches by a link.
type network struct {
	prefix netip.Prefix
	link   string
}

func networks() ([]network, error) {
	links, err := netdump.Whole(netlink.LinkList)
	if err != nil {
		return nil, fmt.Errorf("list links: %w", err)
	}
	foreign := map[int]string{}
	for _, l := range links {
		if a := l.Attrs(); a.Flags&net.FlagLoopback == 0 && !strings.HasPrefix(a.Name, linkPrefix) {
			foreign[a.Index] = a.Name
		}
	}
	routed, err := routed(foreign)
	if err != nil {
		return nil, err
	}
	addressed, err := addressed(foreign)
	return append(routed, addressed...), err
}

func routed(foreign map[int]string) (list []network, err error) {
	routes, err := netdump.Whole(func() ([]netlink.Route, error) {
		return netlink.RouteListFiltered(netlink.FAMILY_ALL, &netlink.Route{Table: unix.RT_TABLE_MAIN}, netlink.RT_FILTER_TABLE)
	})
	if err != nil {
		return nil, fmt.Errorf("list routes: %w", err)
	}
	for i := range routes {
		r := &routes[i]
		// One that leads nowhere (blackhole, unreachable) has no hosts.
		if r.Type != unix.RTN_UNICAST || r.Protocol == ServiceRoutes || r.Protocol == OverlayRoutes {
			continue
		}
		if prefix, ok := prefixOf(r.Dst); ok && prefix.Bits() > 0 && foreign[linkOf(r)] != "" {
			list = append(list, network{prefix, foreign[linkOf(r)]})
		}
	}
	return list, nil
}

// linkOf is the link of a route; of several ways, that of the first.
func linkOf(r *netlink.Route) int {
	if len(r.MultiPath) > 0 {
		return r.MultiPath[0].LinkIndex
	}
	return r.LinkIndex
}

func addressed(foreign map[int]string) (list []network, err error) {
	addrs, err := netdump.Whole(func() ([]netlink.Addr, error) { return netlink.AddrList(nil, netlink.FAMILY_ALL) })
	if err != nil {
		return nil, fmt.Errorf("list addresses: %w", err)
	}
	for _, a := range addrs {
		if prefix, ok := prefixOf(a.IPNet); ok && foreign[a.LinkIndex] != "" {
			list = append(list, network{prefix, foreign[a.LinkIndex]})
		}
	}
	return list, nil
}

func prefixOf(n *net.IPNet) (netip.Prefix, bool) {
	if n == nil {
		return netip.Prefix{}, false
	}
	addr, ok := netip.AddrFromSlice(n.IP)
	ones, _ := n.Mask.Size()
	if !ok {
		return netip.Prefix{}, false
	}
	if v4 := addr.Unmap(); v4 != addr {
		addr = v4
		if len(n.Mask) == net.IPv6len {
			ones -= 96
		}
	}
	return netip.PrefixFrom(addr, ones).Masked(), true
}
