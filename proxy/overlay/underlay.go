package overlay

import (
	"fmt"
	"net/netip"
	"slices"
)

// Underlay are the box's networks that the overlay uses.
type Underlay struct {
	// Links are those with addresses, besides loopback and the overlay's own.
	Links []Uplink
	// Default is the index of the default route's link, 0 without one.
	Default int
	// Overlay is the index of the overlay's own link, 0 if there is none.
	Overlay int
}

// Uplink is a link of the box.
type Uplink struct {
	Index int
	Name  string
	MTU   int
	Up    bool
	// Prefixes are its addresses, each with the length of its network.
	Prefixes []netip.Prefix
}

// uplink is the link that has one of the node's addresses; of a node whose address
// is elsewhere (behind NAT), the default route's.
func (u Underlay) uplink(addresses []netip.Addr) (Uplink, bool) {
	for _, a := range addresses {
		for _, l := range u.Links {
			if slices.ContainsFunc(l.Prefixes, func(p netip.Prefix) bool { return p.Addr() == a }) {
				return l, true
			}
		}
	}
	return u.byIndex(u.Default)
}

func (u Underlay) byIndex(index int) (Uplink, bool) {
	i := slices.IndexFunc(u.Links, func(l Uplink) bool { return l.Index == index })
	if i < 0 {
		return Uplink{}, false
	}
	return u.Links[i], true
}

// shared is the link by which another node's address is a neighbour.
func (u Underlay) shared(other netip.Addr) (Uplink, bool) {
	best, bits := Uplink{}, -1
	for _, l := range u.Links {
		for _, p := range l.Prefixes {
			if l.Up && p.Addr() != other && p.Bits() > bits && p.Contains(other) {
				best, bits = l, p.Bits()
			}
		}
	}
	return best, bits >= 0
}

const (
	// usualMTU is taken where no uplink tells of another.
	usualMTU = 1500
	// LeastMTU is what pods need at least: every IPv4 host takes packets of 576
	// bytes, and every IPv6 link carries 1280.
	LeastMTU, leastMTU6 = 576, 1280
)

// MTUError tells that an MTU does not fit. It is one line.
type MTUError struct{ text string }

// Error implements error.
func (e *MTUError) Error() string { return e.text }

func mtuError(format string, args ...any) *MTUError { return &MTUError{fmt.Sprintf(format, args...)} }

// mtu is what pods can have: what fits into the uplink's packets, or the
// configured one if that is less. With an error it is still the best there is, 0
// if there is none.
func (u Underlay) mtu(mode Mode, self Node, configured int) (int, error) {
	name, size := "the uplink", usualMTU
	if l, ok := u.uplink(self.Addresses); ok {
		name, size = l.Name, l.MTU
	}
	v6 := len(self.Addresses) > 0 && self.Addresses[0].Is6()
	fits, least := min(size-mode.overhead(v6), 65535), LeastMTU
	if slices.ContainsFunc(self.Blocks, func(p netip.Prefix) bool { return p.Addr().Is6() }) {
		least = leastMTU6
	}
	switch {
	case fits < least:
		return 0, mtuError("mtu: %s takes packets of %d bytes, which leaves %d for pods with the overlay %s, and they need %d: raise the MTU of %s, or choose another --overlay",
			name, size, fits, mode, least, name)
	case configured > fits:
		return fits, mtuError("mtu: %d does not fit, %s takes packets of %d bytes, which leaves %d with the overlay %s: set --mtu to that at most, or leave it out; pods have %d",
			configured, name, size, fits, mode, fits)
	case configured > 0 && configured < least:
		return fits, mtuError("mtu: %d is less than the %d that pods need: set a greater --mtu, or leave it out; pods have %d", configured, least, fits)
	case configured > 0:
		return configured, nil
	}
	return fits, nil
}
