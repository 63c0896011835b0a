package hostport

import (
	"fmt"
	"net/netip"

	"github.com/google/nftables"
	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

const (
	chainPrerouting  = "prerouting"
	chainOutput      = "output"
	chainForward     = "forward"
	chainPostrouting = "postrouting"
	chainGuard       = "guard"
)

// fixedRule marks rules that belong to no attachment.
var fixedRule = []byte("skiff")

var protocols = map[string]byte{"tcp": unix.IPPROTO_TCP, "udp": unix.IPPROTO_UDP, "sctp": unix.IPPROTO_SCTP}

func (p *Ports) table() *nftables.Table {
	return &nftables.Table{Name: p.name, Family: nftables.TableFamilyINet}
}

// ensureTable creates table, chains and fixed rules in one transaction, unless
// they are there.
func (p *Ports) ensureTable(conn *nftables.Conn) error {
	if t, err := conn.ListTableOfFamily(p.name, nftables.TableFamilyINet); err == nil && t != nil {
		return nil
	}
	t := conn.AddTable(p.table())
	// Just before the usual place, so that a host port wins over a node port.
	early := nftables.ChainPriorityRef(*nftables.ChainPriorityNATDest - 1)
	base := func(name string, kind nftables.ChainType, hook *nftables.ChainHook, prio *nftables.ChainPriority) *nftables.Chain {
		return conn.AddChain(&nftables.Chain{Name: name, Table: t, Type: kind, Hooknum: hook, Priority: prio})
	}
	conn.AddChain(&nftables.Chain{Name: chainForward, Table: t})
	pre := base(chainPrerouting, nftables.ChainTypeNAT, nftables.ChainHookPrerouting, early)
	out := base(chainOutput, nftables.ChainTypeNAT, nftables.ChainHookOutput, early)
	post := base(chainPostrouting, nftables.ChainTypeNAT, nftables.ChainHookPostrouting, nftables.ChainPriorityNATSource)
	guard := base(chainGuard, nftables.ChainTypeFilter, nftables.ChainHookPrerouting, nftables.ChainPriorityRaw)
	for _, c := range []*nftables.Chain{pre, out} {
		conn.AddRule(&nftables.Rule{Table: t, Chain: c, UserData: fixedRule, Exprs: []expr.Any{
			&expr.Fib{Register: 1, FlagDADDR: true, ResultADDRTYPE: true},
			&expr.Cmp{Register: 1, Op: expr.CmpOpEq, Data: binaryutil.NativeEndian.PutUint32(unix.RTN_LOCAL)},
			&expr.Verdict{Kind: expr.VerdictJump, Chain: chainForward},
		}})
	}
	loopback := netip.MustParsePrefix("127.0.0.0/8")
	conn.AddRule(&nftables.Rule{Table: t, Chain: post, UserData: fixedRule, Exprs: join(
		link(expr.MetaKeyOIFNAME, p.bridge), inPrefix(source, loopback), []expr.Any{&expr.Masq{}})})
	conn.AddRule(&nftables.Rule{Table: t, Chain: guard, UserData: fixedRule, Exprs: join(
		link(expr.MetaKeyIIFNAME, p.bridge), inPrefix(destination, loopback), []expr.Any{&expr.Verdict{Kind: expr.VerdictDrop}})})
	return conn.Flush()
}

// mappingRules returns the translation of one port, and the masquerading for
// the pod that reaches itself through it.
func (p *Ports) mappingRules(m Mapping) ([]*nftables.Rule, error) {
	proto, ok := protocols[m.Protocol]
	if !ok {
		return nil, fmt.Errorf("host port %d: protocol %q is not one of tcp, udp, sctp", m.HostPort, m.Protocol)
	}
	if m.HostIP.IsValid() && m.HostIP.Is4() != m.Pod.Is4() {
		return nil, nil // the pod has no address of that family to forward to
	}
	t := p.table()
	match := family(m.Pod)
	if m.HostIP.IsValid() && !m.HostIP.IsUnspecified() {
		match = append(match, equals(destination, m.HostIP)...)
	}
	dnat := join(match, l4(proto, m.HostPort), []expr.Any{
		&expr.Immediate{Register: 1, Data: m.Pod.AsSlice()},
		&expr.Immediate{Register: 2, Data: binaryutil.BigEndian.PutUint16(m.PodPort)},
		&expr.NAT{Type: expr.NATTypeDestNAT, Family: natFamily(m.Pod), RegAddrMin: 1, RegProtoMin: 2, Specified: true},
	})
	self := join(family(m.Pod), equals(source, m.Pod), equals(destination, m.Pod), l4(proto, m.PodPort), []expr.Any{&expr.Masq{}})
	return []*nftables.Rule{
		{Table: t, Chain: &nftables.Chain{Name: chainForward, Table: t}, Exprs: dnat},
		{Table: t, Chain: &nftables.Chain{Name: chainPostrouting, Table: t}, Exprs: self},
	}, nil
}

type side int

const (
	source side = iota
	destination
)

func join(parts ...[]expr.Any) []expr.Any {
	var out []expr.Any
	for _, p := range parts {
		out = append(out, p...)
	}
	return out
}

// link matches the name of the incoming or outgoing link.
func link(key expr.MetaKey, name string) []expr.Any {
	padded := make([]byte, unix.IFNAMSIZ)
	copy(padded, name)
	return []expr.Any{&expr.Meta{Key: key, Register: 1}, &expr.Cmp{Register: 1, Op: expr.CmpOpEq, Data: padded}}
}

func family(ip netip.Addr) []expr.Any {
	return []expr.Any{
		&expr.Meta{Key: expr.MetaKeyNFPROTO, Register: 1},
		&expr.Cmp{Register: 1, Op: expr.CmpOpEq, Data: []byte{byte(natFamily(ip))}},
	}
}

func natFamily(ip netip.Addr) uint32 {
	if ip.Is4() {
		return unix.NFPROTO_IPV4
	}
	return unix.NFPROTO_IPV6
}

// load reads the source or destination address out of the packet's header.
func load(s side, ip netip.Addr) *expr.Payload {
	size := uint32(ip.BitLen() / 8)
	first := uint32(12) // RFC 791
	if ip.Is6() {
		first = 8 // RFC 8200
	}
	return &expr.Payload{DestRegister: 1, Base: expr.PayloadBaseNetworkHeader, Offset: first + uint32(s)*size, Len: size}
}

func equals(s side, ip netip.Addr) []expr.Any {
	return []expr.Any{load(s, ip), &expr.Cmp{Register: 1, Op: expr.CmpOpEq, Data: ip.AsSlice()}}
}

// inPrefix matches the address family too.
func inPrefix(s side, p netip.Prefix) []expr.Any {
	n := uint32(p.Addr().BitLen() / 8)
	mask := make([]byte, n)
	for i := range p.Bits() {
		mask[i/8] |= 1 << (7 - i%8)
	}
	return join(family(p.Addr()), []expr.Any{
		load(s, p.Addr()),
		&expr.Bitwise{SourceRegister: 1, DestRegister: 1, Len: n, Mask: mask, Xor: make([]byte, n)},
		&expr.Cmp{Register: 1, Op: expr.CmpOpEq, Data: p.Masked().Addr().AsSlice()},
	})
}

// l4 matches protocol and destination port; all three protocols have it at the same place.
func l4(proto byte, port uint16) []expr.Any {
	return []expr.Any{
		&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: 1},
		&expr.Cmp{Register: 1, Op: expr.CmpOpEq, Data: []byte{proto}},
		&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseTransportHeader, Offset: 2, Len: 2},
		&expr.Cmp{Register: 1, Op: expr.CmpOpEq, Data: binaryutil.BigEndian.PutUint16(port)},
	}
}
