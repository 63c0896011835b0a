package overlay

import (
	"bytes"
	"cmp"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"slices"
	"strings"
)

// Kind orders items: each needs only items of the kinds before its own.
type Kind int

// The kinds of items.
const (
	KindLink Kind = iota
	KindAddress
	KindPeer
	KindForward
	KindNeighbour
	KindRoute
)

// Key tells what thing an item is. Two items of one key are the same thing, maybe
// with different properties.
type Key struct {
	Kind   Kind
	Prefix netip.Prefix
	MAC    MAC
	Metric int
	// Peer is a public key, in text.
	Peer string
}

func (k Key) compare(o Key) int {
	return cmp.Or(
		cmp.Compare(k.Kind, o.Kind), k.Prefix.Addr().Compare(o.Prefix.Addr()), cmp.Compare(k.Prefix.Bits(), o.Prefix.Bits()),
		bytes.Compare(k.MAC[:], o.MAC[:]), cmp.Compare(k.Metric, o.Metric), cmp.Compare(k.Peer, o.Peer),
	)
}

// Item is one thing in the kernel's tables. Items are comparable.
type Item interface {
	fmt.Stringer
	Key() Key
}

// State is what the kernel's tables hold of the overlay.
type State map[Key]Item

// NewState returns the state of the items.
func NewState(items ...Item) State {
	s := State{}
	for _, i := range items {
		s[i.Key()] = i
	}
	return s
}

// Lines describes the state, sorted, for people.
func (s State) Lines() []string {
	var lines []string
	for i := range maps.Values(s) {
		lines = append(lines, i.String())
	}
	slices.Sort(lines)
	return lines
}

// MAC is a link's address.
type MAC [6]byte

// String implements fmt.Stringer.
func (m MAC) String() string { return net.HardwareAddr(m[:]).String() }

// Link is the overlay's own link.
type Link struct {
	Name string
	// Type is the kernel's name for the kind of link, Fixed what cannot be changed
	// in place.
	Type, Fixed string
	// MAC is zero for a link without addresses of this kind.
	MAC MAC
	MTU int
	Up  bool
	// PublicKey is that of a wireguard link.
	PublicKey string
}

// Key implements Item.
func (l Link) Key() Key { return Key{Kind: KindLink} }

// String implements fmt.Stringer.
func (l Link) String() string {
	state := "down"
	if l.Up {
		state = "up"
	}
	address := l.MAC.String()
	if l.PublicKey != "" {
		address = l.PublicKey
	}
	return fmt.Sprintf("link %s %s %s address %s mtu %d %s", l.Name, l.Type, l.Fixed, address, l.MTU, state)
}

// Address is one of the overlay's link.
type Address struct{ Prefix netip.Prefix }

// Key implements Item.
func (a Address) Key() Key { return Key{Kind: KindAddress, Prefix: a.Prefix} }

// String implements fmt.Stringer.
func (a Address) String() string { return "address " + a.Prefix.String() }

// Forward says to which node frames to a vxlan link's address go.
type Forward struct {
	MAC MAC
	To  netip.Addr
}

// Key implements Item.
func (f Forward) Key() Key { return Key{Kind: KindForward, MAC: f.MAC} }

// String implements fmt.Stringer.
func (f Forward) String() string { return fmt.Sprintf("forward %s to %s", f.MAC, f.To) }

// Neighbour is the link's address of a router on the overlay's link.
type Neighbour struct {
	Addr netip.Addr
	MAC  MAC
}

// Key implements Item.
func (n Neighbour) Key() Key {
	return Key{Kind: KindNeighbour, Prefix: netip.PrefixFrom(n.Addr, n.Addr.BitLen())}
}

// String implements fmt.Stringer.
func (n Neighbour) String() string { return fmt.Sprintf("neighbour %s at %s", n.Addr, n.MAC) }

// Route leads to a block of another node.
type Route struct {
	Dst netip.Prefix
	// Via is the next router, invalid if there is none.
	Via netip.Addr
	// Dev is the link's name.
	Dev string
	// Src is the address that this node's own processes use, invalid if the
	// kernel is to choose.
	Src netip.Addr
	// OnLink takes Via for reachable although no address says so.
	OnLink bool
	Metric int
}

// Key implements Item.
func (r Route) Key() Key { return Key{Kind: KindRoute, Prefix: r.Dst, Metric: r.Metric} }

// String implements fmt.Stringer.
func (r Route) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "route %s", r.Dst)
	if r.Via.IsValid() {
		fmt.Fprintf(&b, " via %s", r.Via)
	}
	fmt.Fprintf(&b, " dev %s", r.Dev)
	if r.Src.IsValid() {
		fmt.Fprintf(&b, " src %s", r.Src)
	}
	if r.OnLink {
		b.WriteString(" onlink")
	}
	return b.String()
}
