// Package conntrack makes the kernel forget where it sent the packets of a
// client, where that would keep them from a living endpoint: UDP has no end of a
// connection, so a client that goes on sending keeps its entry forever.
package conntrack

import (
	"fmt"
	"net/netip"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"skiff/proxy/service"
)

// stale matches the entries that changes have made wrong.
type stale struct {
	// gone are the endpoints that frontends no longer have.
	gone map[service.Frontend]map[netip.Addr]bool
	// opened are frontends that got their first endpoint: packets that were sent
	// there before passed without being forwarded.
	opened map[service.Frontend]bool
}

// Clean forgets the entries of UDP frontends that changes have made wrong.
func Clean(changes []service.Change) error {
	s := stale{gone: map[service.Frontend]map[netip.Addr]bool{}, opened: map[service.Frontend]bool{}}
	for _, c := range changes {
		if c.Frontend.Protocol == service.UDP {
			s.add(c)
		}
	}
	for _, family := range s.families() {
		if _, err := netlink.ConntrackDeleteFilters(netlink.ConntrackTable, netlink.InetFamily(family), s); err != nil {
			return fmt.Errorf("forget connections to endpoints that are gone: %w", err)
		}
	}
	return nil
}

func (s stale) add(c service.Change) {
	lost := map[netip.Addr]bool{}
	if c.Old != nil {
		for _, ep := range c.Old.Endpoints {
			lost[ep.Addr()] = true
		}
	}
	if c.New != nil {
		for _, ep := range c.New.Endpoints {
			delete(lost, ep.Addr())
		}
		if len(c.New.Endpoints) > 0 && (c.Old == nil || len(c.Old.Endpoints) == 0) {
			s.opened[c.Frontend] = true
		}
	}
	if len(lost) > 0 {
		s.gone[c.Frontend] = lost
	}
}

// families are those that anything is to be forgotten of.
func (s stale) families() (list []int) {
	var v4, v6 bool
	see := func(f service.Frontend) {
		v4, v6 = v4 || f.Addr.Is4(), v6 || f.Addr.Is6()
	}
	for f := range s.gone {
		see(f)
	}
	for f := range s.opened {
		see(f)
	}
	if v4 {
		list = append(list, unix.AF_INET)
	}
	if v6 {
		list = append(list, unix.AF_INET6)
	}
	return list
}

// MatchConntrackFlow implements netlink.CustomConntrackFilter. A flow's forward
// half is what the client sent, its reverse half what it gets back: from the
// endpoint, or from where it sent to if nothing was forwarded.
func (s stale) MatchConntrackFlow(flow *netlink.ConntrackFlow) bool {
	if flow.Forward.Protocol != uint8(service.UDP) {
		return false
	}
	to, ok := netip.AddrFromSlice(flow.Forward.DstIP)
	from, ok2 := netip.AddrFromSlice(flow.Reverse.SrcIP)
	if !ok || !ok2 {
		return false
	}
	to, from = to.Unmap(), from.Unmap()
	f := service.Frontend{Addr: to, Protocol: service.UDP, Port: flow.Forward.DstPort}
	nodePort := f
	nodePort.Addr = netip.IPv4Unspecified()
	if to.Is6() {
		nodePort.Addr = netip.IPv6Unspecified()
	}
	for _, f := range []service.Frontend{f, nodePort} {
		if s.gone[f][from] || s.opened[f] && from == to {
			return true
		}
	}
	return false
}
