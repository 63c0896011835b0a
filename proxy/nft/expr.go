package nft

import (
	"net"
	"net/netip"
	"time"

	"github.com/google/nftables"
	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

// Rules are lists of expressions that work on registers. Register 8 is the first
// of 16 with 4 bytes each; a concatenated key lies in consecutive ones.
const firstRegister uint32 = 8

// verdictRegister as a lookup's destination takes the map's verdict.
const verdictRegister uint32 = 0

// masqueradeMark is set on packets whose source is to be changed when they
// leave. It is the bit that Kubernetes has always used for it.
const masqueradeMark uint32 = 0x4000

// registers hands out consecutive registers and collects what fills them.
type registers struct {
	f     *family
	next  uint32
	exprs []expr.Any
}

func (f *family) registers() *registers { return &registers{f: f, next: firstRegister} }

func (r *registers) take(bytes uint32) (register uint32) {
	register = r.next
	r.next += (bytes + 3) / 4
	return register
}

func (r *registers) payload(base expr.PayloadBase, offset, length uint32) *registers {
	r.exprs = append(r.exprs, &expr.Payload{DestRegister: r.take(length), Base: base, Offset: offset, Len: length})
	return r
}

func (r *registers) source() *registers {
	return r.payload(expr.PayloadBaseNetworkHeader, r.f.saddr, r.f.addrLen)
}

func (r *registers) destination() *registers {
	return r.payload(expr.PayloadBaseNetworkHeader, r.f.daddr, r.f.addrLen)
}

// unspecified stands for the destination in the keys of node ports.
func (r *registers) unspecified() *registers {
	r.exprs = append(r.exprs, &expr.Immediate{Register: r.take(r.f.addrLen), Data: r.f.unspecified.AsSlice()})
	return r
}

func (r *registers) protocolAndPort() *registers {
	r.exprs = append(r.exprs, &expr.Meta{Key: expr.MetaKeyL4PROTO, Register: r.take(1)})
	return r.payload(expr.PayloadBaseTransportHeader, 2, 2)
}

// random draws one of count numbers.
func (r *registers) random(count, first int) *registers {
	r.exprs = append(r.exprs, &expr.Numgen{Register: r.take(4), Modulus: uint32(count), Offset: uint32(first), Type: unix.NFT_NG_RANDOM})
	return r
}

// verdict looks the registers up in a verdict map; without an element the rule
// ends.
func (r *registers) verdict(m *nftables.Set) []expr.Any {
	return append(r.exprs, &expr.Lookup{SourceRegister: firstRegister, SetName: m.Name, SetID: m.ID, DestRegister: verdictRegister, IsDestRegSet: true})
}

// lookup fetches the map's value into the registers behind the key, and returns
// the first of them; without an element the rule ends.
func (r *registers) lookup(m *nftables.Set, key uint32) (value uint32) {
	value = r.next
	r.exprs = append(r.exprs, &expr.Lookup{SourceRegister: key, SetName: m.Name, SetID: m.ID, DestRegister: value, IsDestRegSet: true})
	r.next += r.f.addrLen/4 + 1
	return value
}

// remember writes an element with a timeout, or renews it.
func (r *registers) remember(m *nftables.Set, key, value uint32, timeout time.Duration) *registers {
	r.exprs = append(r.exprs, &expr.Dynset{SrcRegKey: key, SrcRegData: value, SetName: m.Name, SetID: m.ID, Operation: unix.NFT_DYNSET_OP_UPDATE, Timeout: timeout})
	return r
}

// forward sends the packet to the address and port in the registers.
func (r *registers) forward(value uint32) []expr.Any {
	return append(r.exprs, &expr.NAT{
		Type: expr.NATTypeDestNAT, Family: r.f.proto,
		RegAddrMin: value, RegProtoMin: value + r.f.addrLen/4, Specified: true,
	})
}

func jump(chain string) []expr.Any {
	return []expr.Any{&expr.Verdict{Kind: expr.VerdictJump, Chain: chain}}
}

func goTo(chain string) []expr.Any {
	return []expr.Any{&expr.Verdict{Kind: expr.VerdictGoto, Chain: chain}}
}

func verdict(kind expr.VerdictKind) []expr.Any { return []expr.Any{&expr.Verdict{Kind: kind}} }

// within matches an address of the packet, at the offset of the header, in a
// prefix, or outside of it.
func (f *family) within(offset uint32, p netip.Prefix, inside bool) []expr.Any {
	op := expr.CmpOpEq
	if !inside {
		op = expr.CmpOpNeq
	}
	return []expr.Any{
		&expr.Payload{DestRegister: firstRegister, Base: expr.PayloadBaseNetworkHeader, Offset: offset, Len: f.addrLen},
		&expr.Bitwise{SourceRegister: firstRegister, DestRegister: firstRegister, Len: f.addrLen, Mask: net.CIDRMask(p.Bits(), int(f.addrLen)*8), Xor: make([]byte, f.addrLen)},
		&expr.Cmp{Op: op, Register: firstRegister, Data: p.Masked().Addr().AsSlice()},
	}
}

// toThisNode matches packets to any address of the node but loopback.
func (f *family) toThisNode() []expr.Any {
	return append(isLocal(&expr.Fib{FlagDADDR: true}), f.within(f.daddr, f.loopback, false)...)
}

// fromThisNode matches packets from any address of the node.
func fromThisNode() []expr.Any { return isLocal(&expr.Fib{FlagSADDR: true}) }

func isLocal(address *expr.Fib) []expr.Any {
	address.Register, address.ResultADDRTYPE = firstRegister, true
	return []expr.Any{
		address,
		&expr.Cmp{Op: expr.CmpOpEq, Register: firstRegister, Data: binaryutil.NativeEndian.PutUint32(unix.RTN_LOCAL)},
	}
}

func newConnection() []expr.Any { return ctBits(expr.CtKeySTATE, expr.CtStateBitNEW) }

const ctStatusDestinationNAT uint32 = 1 << 5 // IPS_DST_NAT

func forwarded() []expr.Any { return ctBits(expr.CtKeySTATUS, ctStatusDestinationNAT) }

func ctBits(key expr.CtKey, bits uint32) []expr.Any {
	return append([]expr.Any{&expr.Ct{Key: key, Register: firstRegister}}, anyBit(bits)...)
}

func anyBit(bits uint32) []expr.Any {
	return []expr.Any{
		&expr.Bitwise{SourceRegister: firstRegister, DestRegister: firstRegister, Len: 4, Mask: binaryutil.NativeEndian.PutUint32(bits), Xor: make([]byte, 4)},
		&expr.Cmp{Op: expr.CmpOpNeq, Register: firstRegister, Data: make([]byte, 4)},
	}
}

func isMarked() []expr.Any {
	return append([]expr.Any{&expr.Meta{Key: expr.MetaKeyMARK, Register: firstRegister}}, anyBit(masqueradeMark)...)
}

// setMark sets or clears the bit, leaving all others of the packet's mark.
func setMark(on bool) []expr.Any {
	xor := uint32(0)
	if on {
		xor = masqueradeMark
	}
	return []expr.Any{
		&expr.Meta{Key: expr.MetaKeyMARK, Register: firstRegister},
		&expr.Bitwise{
			SourceRegister: firstRegister, DestRegister: firstRegister, Len: 4,
			Mask: binaryutil.NativeEndian.PutUint32(^masqueradeMark), Xor: binaryutil.NativeEndian.PutUint32(xor),
		},
		&expr.Meta{Key: expr.MetaKeyMARK, SourceRegister: true, Register: firstRegister},
	}
}

func masquerade() expr.Any { return &expr.Masq{FullyRandom: true} }

func isTCP() []expr.Any {
	return []expr.Any{
		&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: firstRegister},
		&expr.Cmp{Op: expr.CmpOpEq, Register: firstRegister, Data: []byte{unix.IPPROTO_TCP}},
	}
}

func resetTCP() expr.Any { return &expr.Reject{Type: unix.NFT_REJECT_TCP_RST} }

func (f *family) unreachable() expr.Any {
	return &expr.Reject{Type: unix.NFT_REJECT_ICMP_UNREACH, Code: f.unreachableCode}
}

// rule joins lists of expressions.
func rule(parts ...[]expr.Any) (exprs []expr.Any) {
	for _, p := range parts {
		exprs = append(exprs, p...)
	}
	return exprs
}
