package ipam

import (
	"fmt"
	"net/netip"
)

// NewRange returns the range of a subnet with its first address as gateway.
func NewRange(subnet netip.Prefix) (Range, error) {
	r := Range{Subnet: subnet, Gateway: subnet.Addr().Next()}
	return r, r.Validate()
}

// Validate checks that the range can serve a node.
func (r Range) Validate() error {
	switch {
	case !r.Subnet.IsValid():
		return fmt.Errorf("subnet is missing or not a CIDR")
	case r.Subnet != r.Subnet.Masked():
		return fmt.Errorf("subnet %s has bits set behind its mask; did you mean %s?", r.Subnet, r.Subnet.Masked())
	case r.Subnet.Addr().BitLen()-r.Subnet.Bits() < 2:
		return fmt.Errorf("subnet %s is too small: it needs at least four addresses", r.Subnet)
	case !r.Subnet.Contains(r.Gateway):
		return fmt.Errorf("gateway %s is not in subnet %s", r.Gateway, r.Subnet)
	}
	return nil
}

// bounds returns the first and last address that may be given away: neither
// the network's own nor, for IPv4, the broadcast address.
func bounds(p netip.Prefix) (first, last netip.Addr) {
	first = p.Addr().Next()
	b := p.Addr().AsSlice()
	for i := p.Bits(); i < len(b)*8; i++ {
		b[i/8] |= 1 << (7 - i%8)
	}
	last, _ = netip.AddrFromSlice(b)
	if p.Addr().Is4() {
		last = last.Prev()
	}
	return first, last
}

func next(a, first, last netip.Addr) netip.Addr {
	if a == last {
		return first
	}
	return a.Next()
}
