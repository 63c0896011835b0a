// Package local keeps the addresses and routes that make the service range work
// on this node itself: the DNS address is on loopback, so that packets to it stay
// here without being forwarded, and the service range is routed to loopback, so
// that the box's own processes reach services whatever other routes it has.
package local

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"skiff/hostnet"
	"skiff/netdump"
)

// Config is what the node needs to have.
type Config struct {
	// Addresses are served on this node: DNS.
	Addresses []netip.Addr
	// ServiceCIDRs are routed to loopback.
	ServiceCIDRs []netip.Prefix
	// Sources are the node's addresses, which its own processes use towards
	// services. In place of loopback, which nothing answers to, the kernel chooses.
	Sources []netip.Addr
}

// Ensure makes what Config says, and removes what an earlier one said.
func Ensure(cfg Config) error {
	lo, err := netlink.LinkByName("lo")
	if err != nil {
		return fmt.Errorf("find loopback: %w", err)
	}
	if err := netlink.LinkSetUp(lo); err != nil {
		return fmt.Errorf("set loopback up: %w", err)
	}
	for _, a := range cfg.Addresses {
		if err := netlink.AddrReplace(lo, hostAddr(a)); err != nil {
			return fmt.Errorf("add %s to loopback: %w", a, err)
		}
	}
	wanted := routes(cfg, lo)
	for _, r := range wanted {
		if err := netlink.RouteReplace(r); err != nil {
			return fmt.Errorf("route %s to loopback: %w", r.Dst, err)
		}
	}
	return removeRoutes(func(r *netlink.Route) bool {
		return !slices.ContainsFunc(wanted, func(w *netlink.Route) bool { return w.Dst.String() == r.Dst.String() })
	})
}

func routes(cfg Config, lo netlink.Link) (list []*netlink.Route) {
	for _, p := range cfg.ServiceCIDRs {
		i := slices.IndexFunc(cfg.Sources, func(a netip.Addr) bool { return a.Is4() == p.Addr().Is4() })
		if i < 0 {
			continue
		}
		r := &netlink.Route{
			LinkIndex: lo.Attrs().Index, Dst: ipNet(p),
			Scope: netlink.SCOPE_LINK, Protocol: hostnet.ServiceRoutes, Priority: metric(p),
		}
		if !cfg.Sources[i].IsLoopback() {
			r.Src = cfg.Sources[i].AsSlice()
		}
		list = append(list, r)
	}
	return list
}

// metric: IPv6 gives a route without one 1024, and finds it by that only.
func metric(p netip.Prefix) int {
	if p.Addr().Is6() {
		return 1024
	}
	return 0
}

// Remove removes what Ensure made; addresses are those that it was given.
func Remove(addresses []netip.Addr) error {
	lo, err := netlink.LinkByName("lo")
	if err != nil {
		return fmt.Errorf("find loopback: %w", err)
	}
	var errs []error
	for _, a := range addresses {
		if err := netlink.AddrDel(lo, hostAddr(a)); err != nil && !errors.Is(err, unix.EADDRNOTAVAIL) {
			errs = append(errs, fmt.Errorf("remove %s from loopback: %w", a, err))
		}
	}
	errs = append(errs, removeRoutes(func(*netlink.Route) bool { return true }))
	return errors.Join(errs...)
}

// removeRoutes removes those of Skiff's routes that match.
func removeRoutes(match func(*netlink.Route) bool) error {
	list, err := netdump.Whole(func() ([]netlink.Route, error) {
		return netlink.RouteListFiltered(netlink.FAMILY_ALL, &netlink.Route{Protocol: hostnet.ServiceRoutes}, netlink.RT_FILTER_PROTOCOL)
	})
	if err != nil {
		return fmt.Errorf("list routes: %w", err)
	}
	var errs []error
	for i := range list {
		if match(&list[i]) {
			if err := netlink.RouteDel(&list[i]); err != nil && !errors.Is(err, unix.ESRCH) {
				errs = append(errs, fmt.Errorf("remove route to %s: %w", list[i].Dst, err))
			}
		}
	}
	return errors.Join(errs...)
}

func hostAddr(a netip.Addr) *netlink.Addr {
	return &netlink.Addr{IPNet: ipNet(netip.PrefixFrom(a, a.BitLen())), Scope: unix.RT_SCOPE_HOST}
}

func ipNet(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: p.Masked().Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}
