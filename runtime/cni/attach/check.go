package attach

import (
	"fmt"
	"slices"

	"github.com/containernetworking/plugins/pkg/ns"
	"github.com/vishvananda/netlink"

	"skiff/netdump"
)

// Check reports how an attachment differs from what Add made of the spec.
func Check(s Spec) error {
	br, err := netlink.LinkByName(s.Bridge)
	if err != nil {
		return fmt.Errorf("bridge %s: %w", s.Bridge, err)
	}
	name := HostLink(s.ContainerID, s.IfName)
	host, err := netlink.LinkByName(name)
	if err != nil {
		return fmt.Errorf("link %s: %w", name, err)
	}
	if host.Attrs().MasterIndex != br.Attrs().Index {
		return fmt.Errorf("link %s is not attached to bridge %s", name, s.Bridge)
	}
	return ns.WithNetNSPath(s.NetNS, func(ns.NetNS) error { return checkPod(s) })
}

func checkPod(s Spec) error {
	link, err := netlink.LinkByName(s.IfName)
	if err != nil {
		return fmt.Errorf("link %s in the pod: %w", s.IfName, err)
	}
	for _, want := range s.Addresses {
		family := netlink.FAMILY_V6
		if want.IP.Is4() {
			family = netlink.FAMILY_V4
		}
		addrs, err := netdump.Whole(func() ([]netlink.Addr, error) { return netlink.AddrList(link, family) })
		if err != nil {
			return fmt.Errorf("list the pod's addresses: %w", err)
		}
		if !slices.ContainsFunc(addrs, func(a netlink.Addr) bool { return a.IP.Equal(want.IP.AsSlice()) }) {
			return fmt.Errorf("address %s is missing on %s in the pod", want.IP, s.IfName)
		}
		routes, err := netdump.Whole(func() ([]netlink.Route, error) { return netlink.RouteList(link, family) })
		if err != nil {
			return fmt.Errorf("list the pod's routes: %w", err)
		}
		if !slices.ContainsFunc(routes, func(r netlink.Route) bool { return r.Gw.Equal(want.Gateway.AsSlice()) }) {
			return fmt.Errorf("default route via %s is missing in the pod", want.Gateway)
		}
	}
	return nil
}
