package attach

import (
	"fmt"
	"net"
	"net/netip"

	"github.com/vishvananda/netlink"
)

// configurePod runs inside the pod's namespace.
func configurePod(s Spec) error {
	if lo, err := netlink.LinkByName("lo"); err == nil {
		if err := netlink.LinkSetUp(lo); err != nil {
			return fmt.Errorf("set lo up: %w", err)
		}
	}
	if err := podSysctls(s); err != nil {
		return err
	}
	if err := skipDAD(s.IfName, s.Addresses); err != nil {
		return err
	}
	link, err := netlink.LinkByName(s.IfName)
	if err != nil {
		return err
	}
	for _, a := range s.Addresses {
		addr := &netlink.Addr{IPNet: hostNet(a.IP)}
		noDAD(addr)
		if err := netlink.AddrReplace(link, addr); err != nil {
			return fmt.Errorf("add address %s: %w", a.IP, err)
		}
	}
	if err := netlink.LinkSetUp(link); err != nil {
		return fmt.Errorf("set up: %w", err)
	}
	for _, a := range s.Addresses {
		if err := addRoutes(link, a); err != nil {
			return err
		}
	}
	return nil
}

// podSysctls have a pod take no routes from anyone.
func podSysctls(s Spec) error {
	for _, a := range s.Addresses {
		if a.IP.Is4() {
			if err := setSysctls("net/ipv4/conf/all/accept_redirects", "0", "net/ipv4/conf/"+s.IfName+"/accept_redirects", "0"); err != nil {
				return err
			}
			continue
		}
		if err := setSysctls("net/ipv6/conf/"+s.IfName+"/disable_ipv6", "0", "net/ipv6/conf/"+s.IfName+"/accept_ra", "0"); err != nil {
			return err
		}
	}
	return nil
}

func addRoutes(link netlink.Link, a Address) error {
	index := link.Attrs().Index
	gateway := &netlink.Route{LinkIndex: index, Dst: hostNet(a.Gateway), Scope: netlink.SCOPE_LINK, Src: a.IP.AsSlice()}
	if err := netlink.RouteReplace(gateway); err != nil {
		return fmt.Errorf("add route to gateway %s: %w", a.Gateway, err)
	}
	def := &netlink.Route{LinkIndex: index, Dst: defaultNet(a.IP), Gw: a.Gateway.AsSlice(), Src: a.IP.AsSlice()}
	if err := netlink.RouteReplace(def); err != nil {
		return fmt.Errorf("add default route via %s: %w", a.Gateway, err)
	}
	return nil
}

func hostNet(ip netip.Addr) *net.IPNet {
	return &net.IPNet{IP: ip.AsSlice(), Mask: net.CIDRMask(ip.BitLen(), ip.BitLen())}
}

func defaultNet(ip netip.Addr) *net.IPNet {
	return &net.IPNet{IP: make(net.IP, ip.BitLen()/8), Mask: net.CIDRMask(0, ip.BitLen())}
}
