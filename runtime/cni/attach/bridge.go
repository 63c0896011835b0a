package attach

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/vishvananda/netlink"

	"skiff/netdump"
)

const errNoDevice = syscall.ENODEV

// ensureBridge makes the bridge what the spec says: there, up, with the
// gateways' addresses and no others, forwarding.
func ensureBridge(s Spec) (netlink.Link, error) {
	br, err := netlink.LinkByName(s.Bridge)
	if isNotFound(err) {
		br, err = createBridge(s)
	}
	if err != nil {
		return nil, err
	}
	if br.Type() != "bridge" {
		return nil, fmt.Errorf("a link of this name exists and is a %s", br.Type())
	}
	if s.MTU != 0 && br.Attrs().MTU != s.MTU {
		if err := netlink.LinkSetMTU(br, s.MTU); err != nil {
			return nil, fmt.Errorf("set mtu %d: %w", s.MTU, err)
		}
	}
	if err := skipDAD(s.Bridge, s.Addresses); err != nil {
		return nil, err
	}
	if err := ensureGateways(br, s.Addresses); err != nil {
		return nil, err
	}
	if br.Attrs().Flags&net.FlagUp == 0 {
		if err := netlink.LinkSetUp(br); err != nil {
			return nil, fmt.Errorf("set up: %w", err)
		}
	}
	return br, enableForwarding(s)
}

func createBridge(s Spec) (netlink.Link, error) {
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.MTU = s.Bridge, s.MTU
	// A fixed address: a bridge otherwise takes the lowest of its ports', and
	// pods would lose their gateway whenever that changes.
	attrs.HardwareAddr = macOf(s.Addresses[0].Gateway)
	noSnooping := false
	br := &netlink.Bridge{LinkAttrs: attrs, MulticastSnooping: &noSnooping}
	// Plugins run in parallel: another may just have made it.
	if err := netlink.LinkAdd(br); err != nil && !errors.Is(err, syscall.EEXIST) {
		return nil, fmt.Errorf("create: %w", err)
	}
	return netlink.LinkByName(s.Bridge)
}

func ensureGateways(br netlink.Link, addrs []Address) error {
	have, err := netdump.Whole(func() ([]netlink.Addr, error) { return netlink.AddrList(br, netlink.FAMILY_ALL) })
	if err != nil {
		return fmt.Errorf("list addresses: %w", err)
	}
	missing := map[string]bool{}
	for _, a := range addrs {
		missing[netip.PrefixFrom(a.Gateway, a.Subnet.Bits()).String()] = true
	}
	for _, h := range have {
		cidr := h.IPNet.String()
		switch {
		case missing[cidr]:
			delete(missing, cidr)
		case h.IP.IsLinkLocalUnicast():
		default:
			// The node's block changed: the old gateway would attract its traffic.
			if err := netlink.AddrDel(br, &h); err != nil && !errors.Is(err, syscall.EADDRNOTAVAIL) {
				return fmt.Errorf("remove address %s: %w", cidr, err)
			}
		}
	}
	for cidr := range missing {
		addr, err := netlink.ParseAddr(cidr)
		if err != nil {
			return err
		}
		noDAD(addr)
		if err := netlink.AddrReplace(br, addr); err != nil {
			return fmt.Errorf("add address %s: %w", cidr, err)
		}
	}
	return nil
}

// skipDAD spares a link of a pod network duplicate address detection: until it
// is over, seconds later, the node would not even ask for a pod's neighbour entry.
func skipDAD(link string, addrs []Address) error {
	for _, a := range addrs {
		if a.IP.Is6() {
			return setSysctls("net/ipv6/conf/"+link+"/accept_dad", "0", "net/ipv6/conf/"+link+"/dad_transmits", "0")
		}
	}
	return nil
}

// noDAD makes an IPv6 address usable at once: nobody else can have it.
func noDAD(addr *netlink.Addr) {
	if addr.IP.To4() == nil {
		addr.Flags |= syscall.IFA_F_NODAD
	}
}

func enableForwarding(s Spec) error {
	for _, a := range s.Addresses {
		if a.IP.Is4() {
			// Pods on one bridge talk through it on purpose; redirects would tell
			// them of a neighbour that they have no route to.
			if err := setSysctls("net/ipv4/ip_forward", "1", "net/ipv4/conf/"+s.Bridge+"/send_redirects", "0"); err != nil {
				return err
			}
		} else if err := setSysctls("net/ipv6/conf/all/forwarding", "1"); err != nil {
			return err
		}
	}
	return nil
}

// setSysctls writes pairs of name and value, each only if it differs, since
// /proc/sys may be read-only where all is as it should be.
func setSysctls(pairs ...string) error {
	for i := 0; i+1 < len(pairs); i += 2 {
		path := filepath.Join("/proc/sys", pairs[i])
		old, err := os.ReadFile(path)
		if err == nil && strings.TrimSpace(string(old)) == pairs[i+1] {
			continue
		}
		if err := os.WriteFile(path, []byte(pairs[i+1]), 0o644); err != nil {
			return fmt.Errorf("set %s to %s: %w", pairs[i], pairs[i+1], err)
		}
	}
	return nil
}

// RemoveBridge deletes the bridge if it exists.
func RemoveBridge(name string) error { return deleteLink(name) }
