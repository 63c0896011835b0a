package host

import (
	"fmt"
	"slices"

	"github.com/google/nftables"
	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// State is what the kernel holds for a network namespace, a line each: links,
// addresses, lasting neighbours and forwarding entries, routes, routing rules,
// nftables tables, chains and rules. A rule is known by its handle, which another
// one in its place does not have.
type State []string

// Minus are the lines of s that other does not have.
func (s State) Minus(other State) State {
	return slices.DeleteFunc(slices.Clone(s), func(line string) bool { return slices.Contains(other, line) })
}

// State reads the state of the host's network namespace.
func (h *Host) State() State {
	h.t.Helper()
	ns, err := netns.GetFromName(h.Name)
	if err != nil {
		h.t.Fatalf("open namespace %s: %v", h.Name, err)
	}
	defer ns.Close()
	s, err := readState(ns)
	if err != nil {
		h.t.Fatalf("read the state of %s: %v", h.Name, err)
	}
	slices.Sort(s)
	return s
}

func readState(ns netns.NsHandle) (State, error) {
	kernel, err := netlink.NewHandleAt(ns, unix.NETLINK_ROUTE)
	if err != nil {
		return nil, err
	}
	defer kernel.Close()
	s, err := readLinks(kernel)
	if err != nil {
		return nil, err
	}
	if s, err = appendNeighbours(s, kernel); err != nil {
		return nil, err
	}
	routes, err := kernel.RouteListFiltered(netlink.FAMILY_ALL, &netlink.Route{Table: unix.RT_TABLE_UNSPEC}, netlink.RT_FILTER_TABLE)
	if err != nil {
		return nil, fmt.Errorf("list routes: %w", err)
	}
	for _, r := range routes {
		// The kernel makes those of IPv6 by itself, some time after a link is up.
		if r.Dst != nil && (r.Dst.IP.IsLinkLocalUnicast() || r.Dst.IP.IsMulticast()) {
			continue
		}
		s = append(s, fmt.Sprintf("route %v", r))
	}
	rules, err := kernel.RuleList(netlink.FAMILY_ALL)
	if err != nil {
		return nil, fmt.Errorf("list routing rules: %w", err)
	}
	for _, r := range rules {
		s = append(s, fmt.Sprintf("rule %v", r))
	}
	return appendTables(s, ns)
}

func readLinks(kernel *netlink.Handle) (State, error) {
	links, err := kernel.LinkList()
	if err != nil {
		return nil, fmt.Errorf("list links: %w", err)
	}
	var s State
	for _, l := range links {
		s = append(s, fmt.Sprintf("link %s (%s)", l.Attrs().Name, l.Type()))
		addrs, err := kernel.AddrList(l, netlink.FAMILY_V4)
		if err != nil {
			return nil, fmt.Errorf("list addresses of %s: %w", l.Attrs().Name, err)
		}
		for _, a := range addrs {
			s = append(s, fmt.Sprintf("address %s of %s", a.IPNet, l.Attrs().Name))
		}
	}
	return s, nil
}

// appendNeighbours leaves out what the kernel learns, and what it knows of its own
// links.
func appendNeighbours(s State, kernel *netlink.Handle) (State, error) {
	for _, family := range []int{unix.AF_INET, unix.AF_INET6, unix.AF_BRIDGE} {
		neighbours, err := kernel.NeighList(0, family)
		if err != nil {
			return nil, fmt.Errorf("list neighbours: %w", err)
		}
		for _, n := range neighbours {
			if n.State&unix.NUD_PERMANENT != 0 && (family != unix.AF_BRIDGE || n.IP != nil) {
				s = append(s, fmt.Sprintf("neighbour %s", n.String()))
			}
		}
	}
	return s, nil
}

func appendTables(s State, ns netns.NsHandle) (State, error) {
	nft, err := nftables.New(nftables.WithNetNSFd(int(ns)))
	if err != nil {
		return nil, err
	}
	tables, err := nft.ListTables()
	if err != nil {
		return nil, fmt.Errorf("list nftables tables: %w", err)
	}
	for _, t := range tables {
		s = append(s, fmt.Sprintf("table %d %s", t.Family, t.Name))
	}
	chains, err := nft.ListChains()
	if err != nil {
		return nil, fmt.Errorf("list nftables chains: %w", err)
	}
	for _, c := range chains {
		name := fmt.Sprintf("chain %s of %d %s", c.Name, c.Table.Family, c.Table.Name)
		s = append(s, name)
		rules, err := nft.GetRules(c.Table, c)
		if err != nil {
			return nil, fmt.Errorf("list the rules of %s: %w", name, err)
		}
		for _, r := range rules {
			s = append(s, fmt.Sprintf("rule %d of %s", r.Handle, name))
		}
	}
	return s, nil
}
