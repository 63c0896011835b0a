package server

import (
	"errors"
	"fmt"
	"net"
	"net/netip"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"skiff/netdump"
)

// errNoAddress tells that this box has no address to be known by.
var errNoAddress = errors.New("node-ip: this box has no address besides loopback; connect it, or name the node's address")

// findNodeIPs returns this box's own address: that of the default route's
// interface, or, without a default route, the first one of a link that is up. A
// box on a shelf may have no cable at boot.
func findNodeIPs(ignore func(netip.Addr) bool) ([]netip.Addr, error) {
	routes, err := netdump.Whole(func() ([]netlink.Route, error) {
		return netlink.RouteListFiltered(netlink.FAMILY_V4, &netlink.Route{Table: unix.RT_TABLE_MAIN}, netlink.RT_FILTER_TABLE)
	})
	if err != nil {
		return nil, fmt.Errorf("list routes: %w", err)
	}
	for _, r := range routes {
		if r.Dst != nil && r.Dst.IP != nil && !r.Dst.IP.IsUnspecified() {
			continue
		}
		if a, ok := linkAddress(r.LinkIndex, ignore); ok {
			return []netip.Addr{a}, nil
		}
	}
	links, err := netdump.Whole(netlink.LinkList)
	if err != nil {
		return nil, fmt.Errorf("list links: %w", err)
	}
	for _, l := range links {
		if l.Attrs().Flags&net.FlagLoopback != 0 || l.Attrs().Flags&net.FlagUp == 0 {
			continue
		}
		if a, ok := linkAddress(l.Attrs().Index, ignore); ok {
			return []netip.Addr{a}, nil
		}
	}
	return nil, errNoAddress
}

func linkAddress(index int, ignore func(netip.Addr) bool) (netip.Addr, bool) {
	link, err := netlink.LinkByIndex(index)
	if err != nil {
		return netip.Addr{}, false
	}
	addrs, err := netdump.Whole(func() ([]netlink.Addr, error) { return netlink.AddrList(link, netlink.FAMILY_V4) })
	if err != nil {
		return netip.Addr{}, false
	}
	for _, a := range addrs {
		if ip, ok := netip.AddrFromSlice(a.IP.To4()); ok && ip.IsGlobalUnicast() && !ignore(ip) {
			return ip, true
		}
	}
	return netip.Addr{}, false
}

// inCluster tells whether an address is of the cluster's own ranges: a bridge of
// an earlier run does not name the node.
func (c *Config) inCluster(a netip.Addr) bool {
	for _, list := range [][]netip.Prefix{c.ClusterCIDRs, c.ServiceCIDRs} {
		for _, p := range list {
			if p.Contains(a) {
				return true
			}
		}
	}
	return false
}

// Address is what the box is known by with this configuration.
func (c Config) Address() (netip.Addr, error) {
	if err := c.resolveAddresses(); err != nil {
		return netip.Addr{}, err
	}
	return c.AdvertiseAddress, nil
}

// resolveAddresses fills in the addresses that the user left open.
func (c *Config) resolveAddresses() error {
	if len(c.NodeIPs) == 0 {
		ips, err := findNodeIPs(c.inCluster)
		if err != nil {
			return err
		}
		c.NodeIPs = ips
	}
	if !c.AdvertiseAddress.IsValid() {
		c.AdvertiseAddress = c.NodeIPs[0]
	}
	return nil
}
