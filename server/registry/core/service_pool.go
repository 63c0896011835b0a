package core

import (
	"encoding/binary"
	"math"
	"math/rand/v2"
	"net/netip"
)

// addressPool is a block of addresses. Addresses that nobody asked for come out of
// its upper part as long as there are free ones, so that the lower part stays for
// those who ask (KEP-3070).
type addressPool struct {
	cidr        netip.Prefix
	first, last netip.Addr
	// size is the number of addresses, reserved that of the lower part's.
	size, reserved uint64
}

func newAddressPool(cidr netip.Prefix) *addressPool {
	cidr = cidr.Masked()
	p := &addressPool{cidr: cidr, first: cidr.Addr().Next()}
	hostBits := cidr.Addr().BitLen() - cidr.Bits()
	total := uint64(math.MaxUint64)
	if hostBits < 64 {
		total = 1 << hostBits
	}
	// The network's own address is left out, and in IPv4 the broadcast address.
	p.size = total - 1
	if cidr.Addr().Is4() {
		p.size--
	}
	p.last = plus(cidr.Addr(), p.size)
	p.reserved = band(total, 16, 256, 16)
	if p.reserved >= p.size {
		p.reserved = 0
	}
	return p
}

// band is the size of the part of a range that is left to those who ask for a
// certain one: size/step, but at least low and at most high; none of a range that
// is not larger than low.
func band(size, low, high, step uint64) uint64 {
	if size <= low {
		return 0
	}
	return min(max(size/step, low), high)
}

// plus is the address n after ip.
func plus(ip netip.Addr, n uint64) netip.Addr {
	if ip.Is4() {
		b := ip.As4()
		binary.BigEndian.PutUint32(b[:], binary.BigEndian.Uint32(b[:])+uint32(n))
		return netip.AddrFrom4(b)
	}
	b := ip.As16()
	low := binary.BigEndian.Uint64(b[8:])
	binary.BigEndian.PutUint64(b[8:], low+n)
	if low+n < low {
		binary.BigEndian.PutUint64(b[:8], binary.BigEndian.Uint64(b[:8])+1)
	}
	return netip.AddrFrom16(b)
}

func (p *addressPool) contains(ip netip.Addr) bool {
	return ip.Compare(p.first) >= 0 && ip.Compare(p.last) <= 0
}

// next returns an address that is free, or errFull.
func (p *addressPool) next(free func(netip.Addr) (bool, error)) (netip.Addr, error) {
	n, err := pick(p.reserved, p.size, func(n uint64) (bool, error) { return free(plus(p.first, n)) })
	if err != nil {
		return netip.Addr{}, err
	}
	return plus(p.first, n), nil
}

// pick returns a number below size that is free: at or above reserved if there is
// any, below it otherwise, each time starting at random.
func pick(reserved, size uint64, free func(uint64) (bool, error)) (uint64, error) {
	for _, part := range []struct{ from, n uint64 }{{reserved, size - reserved}, {0, reserved}} {
		if part.n == 0 {
			continue
		}
		start := rand.Uint64N(part.n)
		for i := range part.n {
			n := part.from + (start+i)%part.n
			ok, err := free(n)
			if err != nil {
				return 0, err
			}
			if ok {
				return n, nil
			}
		}
	}
	return 0, errFull
}
