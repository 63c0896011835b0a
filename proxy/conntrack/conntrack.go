// Package conntrack makes the kernel forget where it sent the packets of a
// client, where that would keep them from a living endpoint: UDP has no end of a
// connection, so a client that goes on sending keeps its entry forever.
// Connections over TCP are left to end by themselves.
package conntrack

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"skiff/netdump"
	"skiff/proxy/service"
)

// Config says what else than the frontends of services is theirs.
type Config struct {
	// ServiceCIDRs are ranges in which all addresses are services'.
	ServiceCIDRs []netip.Prefix
	// Local are addresses in these ranges that this node answers itself.
	Local []netip.Addr
}

// Cleaner removes entries from the kernel's table of connections.
type Cleaner struct {
	cfg    Config
	handle *netlink.Handle
}

// New returns a Cleaner for the network namespace that it is called in. Close
// it after use.
func New(cfg Config) (*Cleaner, error) {
	handle, err := netlink.NewHandle(unix.NETLINK_NETFILTER)
	if err != nil {
		return nil, fmt.Errorf("open the table of connections: %w", err)
	}
	return &Cleaner{cfg: cfg, handle: handle}, nil
}

// Close closes the connection to the kernel.
func (c *Cleaner) Close() { c.handle.Close() }

// Removed counts the entries that were removed, for each IP family that was
// looked at; true is IPv6.
type Removed map[bool]int

// Changed forgets what changes have made wrong: clients of an endpoint that no
// longer serves, of a service that is gone, or that sent before there was one.
func (c *Cleaner) Changed(changes []service.Change) (Removed, error) {
	s := stale{frontends: map[service.Frontend]serving{}}
	for _, change := range changes {
		if change.Frontend.Protocol == service.UDP {
			s.add(change)
		}
	}
	return c.clean(&s)
}

// All forgets what does not fit rules, however long ago it became wrong: also
// clients of services that went while nobody looked, as far as their addresses
// can be nothing else.
func (c *Cleaner) All(rules service.Rules) (Removed, error) {
	s := stale{frontends: map[service.Frontend]serving{}, ranges: c.cfg.ServiceCIDRs, except: c.cfg.Local}
	for f, b := range rules {
		if f.Protocol == service.UDP {
			s.frontends[f] = servingOf(b)
		}
	}
	return c.clean(&s)
}

// attempts are how often the table is read when the kernel says that it changed
// so much meanwhile that entries may have been missed.
const attempts = 3

func (c *Cleaner) clean(s *stale) (Removed, error) {
	if err := s.findOwn(); err != nil {
		return nil, err
	}
	removed := Removed{}
	for _, family := range s.families() {
		n, err := c.cleanFamily(family, s)
		if err != nil {
			return removed, fmt.Errorf("forget connections to endpoints that are gone: %w", err)
		}
		removed[family == unix.AF_INET6] = n
	}
	return removed, nil
}

func (c *Cleaner) cleanFamily(family netlink.InetFamily, s *stale) (removed int, err error) {
	for range attempts {
		var n uint
		n, err = c.handle.ConntrackDeleteFilters(netlink.ConntrackTable, family, s)
		removed += int(n)
		if !errors.Is(err, netlink.ErrDumpInterrupted) {
			break
		}
	}
	return removed, err
}

// serving are the endpoints with which a frontend's clients may go on. It is nil
// for a frontend that is gone: what nobody forwarded is none of its clients.
type serving map[netip.AddrPort]bool

func servingOf(b *service.Backend) serving {
	s := make(serving, len(b.Serving))
	for _, ep := range b.Serving {
		s[ep] = true
	}
	return s
}

// stale matches entries that are wrong.
type stale struct {
	frontends map[service.Frontend]serving
	// own are this node's addresses; node ports are ports of theirs.
	own map[netip.Addr]bool
	// ranges are addresses that only frontends have, except some.
	ranges []netip.Prefix
	except []netip.Addr
}

func (s *stale) add(c service.Change) {
	switch {
	case c.New == nil:
		s.frontends[c.Frontend] = nil
	case c.Old == nil || !slices.Equal(c.Old.Serving, c.New.Serving):
		s.frontends[c.Frontend] = servingOf(c.New)
	}
}

// findOwn lists the node's addresses if node ports are to be looked at.
func (s *stale) findOwn() error {
	s.own = map[netip.Addr]bool{}
	for f := range s.frontends {
		if !f.IsNodePort() {
			continue
		}
		addresses, err := netdump.Whole(func() ([]netlink.Addr, error) { return netlink.AddrList(nil, netlink.FAMILY_ALL) })
		if err != nil {
			return fmt.Errorf("list this node's addresses: %w", err)
		}
		for _, a := range addresses {
			if addr, ok := netip.AddrFromSlice(a.IP); ok {
				s.own[addr.Unmap()] = true
			}
		}
		break
	}
	return nil
}

// families are those that anything is to be forgotten of.
func (s *stale) families() (list []netlink.InetFamily) {
	var v4, v6 bool
	see := func(a netip.Addr) { v4, v6 = v4 || a.Is4(), v6 || a.Is6() }
	for f := range s.frontends {
		see(f.Addr)
	}
	for _, p := range s.ranges {
		see(p.Addr())
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
func (s *stale) MatchConntrackFlow(flow *netlink.ConntrackFlow) bool {
	if flow.Forward.Protocol != uint8(service.UDP) {
		return false
	}
	to, ok := addrPort(flow.Forward.DstIP, flow.Forward.DstPort)
	from, ok2 := addrPort(flow.Reverse.SrcIP, flow.Reverse.SrcPort)
	if !ok || !ok2 {
		return false
	}
	eps, found := s.frontends[service.Frontend{Addr: to.Addr(), Protocol: service.UDP, Port: to.Port()}]
	if !found && s.own[to.Addr()] {
		eps, found = s.frontends[service.Frontend{Addr: unspecified(to.Addr()), Protocol: service.UDP, Port: to.Port()}]
	}
	switch {
	case found && eps == nil:
		return from != to
	case found:
		return !eps[from]
	default:
		return s.inRange(to.Addr())
	}
}

func (s *stale) inRange(a netip.Addr) bool {
	return !slices.Contains(s.except, a) && slices.ContainsFunc(s.ranges, func(p netip.Prefix) bool { return p.Contains(a) })
}

func addrPort(ip []byte, port uint16) (netip.AddrPort, bool) {
	addr, ok := netip.AddrFromSlice(ip)
	return netip.AddrPortFrom(addr.Unmap(), port), ok
}

func unspecified(like netip.Addr) netip.Addr {
	if like.Is6() {
		return netip.IPv6Unspecified()
	}
	return netip.IPv4Unspecified()
}
