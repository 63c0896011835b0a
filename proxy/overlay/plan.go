package overlay

import (
	"fmt"
	"hash/fnv"
	"net/netip"
	"slices"
	"strings"
)

const (
	// VNI is the number of the vxlan network; it is not that of other programs, so
	// that one of them may be on the box as well.
	VNI = 0x534b46
	// Port is the UDP port of vxlan, Linux' old one as other distributions use it.
	Port = 8472
)

// vxlanFixed are the properties of a vxlan link that cannot be changed in place,
// as Read describes them. It has neither a source address nor an uplink: the
// routes choose those, so that a changed address leaves it as it is.
var vxlanFixed = fmt.Sprintf("id %d port %d", VNI, Port)

// planner computes what the kernel should hold.
type planner struct {
	link     string
	mode     Mode
	self     Node
	others   []Node
	underlay Underlay
	mtu      int
	// publicKey is this node's, for wireguard.
	publicKey string
}

// plan returns the wanted state, and what keeps it from being whole, a line each.
func (p planner) plan() (State, []string) {
	others := slices.DeleteFunc(slices.Clone(p.others), func(n Node) bool { return !n.whole() || n.Name == p.self.Name })
	slices.SortFunc(others, func(a, b Node) int { return strings.Compare(a.Name, b.Name) })
	p.others = others
	if p.mode == WireGuard {
		return p.wireguard(), nil // also without others: whether the kernel can is known from the start
	}
	if len(others) == 0 {
		return State{}, nil // there is nobody to reach
	}
	switch p.mode {
	case VXLAN:
		return p.vxlan()
	case HostGW:
		return p.hostGW()
	default:
		return State{}, nil
	}
}

// vxlan: the link's address follows from the node's block. The neighbour is the
// block's network address, which is the other's link's.
func (p planner) vxlan() (State, []string) {
	want := NewState(Link{Name: p.link, Type: "vxlan", Fixed: vxlanFixed, MAC: macOf(p.self.Blocks[0]), MTU: p.mtu, Up: true})
	p.addSources(want)
	var problems []string
	for _, n := range p.others {
		to := n.address(p.self)
		if !to.IsValid() {
			problems = append(problems, fmt.Sprintf("node %s has no address of the family of %s, its pods cannot be reached", n.Name, p.self.Addresses[0]))
			continue
		}
		mac := macOf(n.Blocks[0])
		want.put(Forward{MAC: mac, To: to})
		for _, b := range p.reachable(n) {
			want.put(Neighbour{Addr: b.Addr(), MAC: mac})
			want.put(Route{Dst: b, Via: b.Addr(), Dev: p.link, Src: p.self.source(b), OnLink: true, Metric: metric(b)})
		}
	}
	return want, problems
}

// hostGW: a route needs the other node as a neighbour.
func (p planner) hostGW() (State, []string) {
	want := State{}
	var problems []string
	for _, n := range p.others {
		for _, b := range p.reachable(n) {
			via, ok := p.gateway(n, b)
			if !ok {
				problems = append(problems, fmt.Sprintf("node %s (%s) shares no network with this one, so host-gw cannot reach its pods in %s: choose --overlay vxlan", n.Name, n.Addresses[0], b))
				continue
			}
			want.put(via)
		}
	}
	return want, problems
}

// gateway is the route to a node's block by an address of the node in the block's
// family.
func (p planner) gateway(n Node, b netip.Prefix) (Route, bool) {
	for _, a := range n.Addresses {
		if l, ok := p.underlay.shared(a); ok && a.Is4() == b.Addr().Is4() {
			return Route{Dst: b, Via: a, Dev: l.Name, Metric: metric(b)}, true
		}
	}
	return Route{}, false
}

// wireguard: a node that has not published its key yet is about to.
func (p planner) wireguard() State {
	want := NewState(Link{Name: p.link, Type: "wireguard", Fixed: wireguardFixed, MTU: p.mtu, Up: true, PublicKey: p.publicKey})
	p.addSources(want)
	for _, n := range p.others {
		to, blocks := n.address(p.self), p.reachable(n)
		if n.PublicKey == "" || !to.IsValid() || len(blocks) == 0 {
			continue
		}
		want.put(Peer{PublicKey: n.PublicKey, Endpoint: netip.AddrPortFrom(to, WireGuardPort), Allowed: joinPrefixes(blocks)})
		for _, b := range blocks {
			want.put(Route{Dst: b, Dev: p.link, Src: p.self.source(b), Metric: metric(b)})
		}
	}
	return want
}

// addSources gives the overlay's link the addresses that the node's own processes
// reach pods of other nodes with: without them they would use the node's address,
// to which the answers come back by another way.
func (p planner) addSources(want State) {
	for _, b := range p.self.Blocks {
		want.put(Address{netip.PrefixFrom(b.Addr(), b.Addr().BitLen())})
	}
}

// reachable are the other node's blocks of families that this node has, too. One
// that overlaps this node's own would take its pods' traffic away.
func (p planner) reachable(n Node) (blocks []netip.Prefix) {
	for _, b := range n.Blocks {
		if p.self.source(b).IsValid() && !slices.ContainsFunc(p.self.Blocks, b.Overlaps) {
			blocks = append(blocks, b)
		}
	}
	return blocks
}

// put adds an item, unless another node has the like: the first one by name has it.
func (s State) put(i Item) {
	if _, taken := s[i.Key()]; !taken {
		s[i.Key()] = i
	}
}

// metric: IPv6 gives a route without one 1024, and finds it by that only.
func metric(p netip.Prefix) int {
	if p.Addr().Is6() {
		return 1024
	}
	return 0
}

// macOf is the address of the vxlan link of the node that has the block: locally
// administered, and for IPv4 never that of another block.
func macOf(block netip.Prefix) MAC {
	if a := block.Addr(); a.Is4() {
		b := a.As4()
		return MAC{0x0e, 0x73, b[0], b[1], b[2], b[3]}
	}
	h := fnv.New64a()
	_, _ = h.Write(block.Addr().AsSlice()) // cannot fail
	sum := h.Sum(nil)
	return MAC{0x0e, 0x76, sum[0] ^ sum[4], sum[1] ^ sum[5], sum[2] ^ sum[6], sum[3] ^ sum[7]}
}
