package nft

import (
	"encoding/binary"
	"net/netip"

	"github.com/google/nftables"
	"golang.org/x/sys/unix"

	"skiff/proxy/service"
)

// family is what differs between IPv4 and IPv6.
type family struct {
	table    nftables.TableFamily
	proto    uint32
	addrType nftables.SetDatatype
	addrLen  uint32
	// saddr and daddr are the offsets in the network header.
	saddr, daddr uint32
	unspecified  netip.Addr
	loopback     netip.Prefix
	// unreachableCode is ICMP's "port unreachable".
	unreachableCode uint8
}

var (
	ipv4 = &family{
		table: nftables.TableFamilyIPv4, proto: unix.NFPROTO_IPV4,
		addrType: nftables.TypeIPAddr, addrLen: 4, saddr: 12, daddr: 16,
		unspecified: netip.IPv4Unspecified(), loopback: netip.MustParsePrefix("127.0.0.0/8"),
		unreachableCode: 3,
	}
	ipv6 = &family{
		table: nftables.TableFamilyIPv6, proto: unix.NFPROTO_IPV6,
		addrType: nftables.TypeIP6Addr, addrLen: 16, saddr: 8, daddr: 24,
		unspecified: netip.IPv6Unspecified(), loopback: netip.MustParsePrefix("::1/128"),
		unreachableCode: 4,
	}
)

func (f *family) has(a netip.Addr) bool { return (f == ipv4) == a.Is4() }

// The fields of concatenated keys and values are padded to 4 bytes each.

// keySize is enough for the longest key, that of a remembered client over IPv6.
const keySize = 16 + 16 + 4 + 4

func appendAddr(key []byte, a netip.Addr) []byte {
	if a.Is4() {
		four := a.As4()
		return append(key, four[:]...)
	}
	sixteen := a.As16()
	return append(key, sixteen[:]...)
}

func appendPort(key []byte, p uint16) []byte { return append(key, byte(p>>8), byte(p), 0, 0) }

// serviceKey is address . protocol . port.
func serviceKey(f service.Frontend) []byte {
	key := appendAddr(make([]byte, 0, keySize), f.Addr)
	return appendPort(append(key, byte(f.Protocol), 0, 0, 0), f.Port)
}

// nodePortKey is protocol . port.
func nodePortKey(f service.Frontend) []byte {
	return appendPort([]byte{byte(f.Protocol), 0, 0, 0}, f.Port)
}

// endpointKey is address . protocol . port . index; node ports have the
// unspecified address.
func endpointKey(f service.Frontend, index int) []byte {
	return binary.NativeEndian.AppendUint32(serviceKey(f), uint32(index))
}

// endpointValue is address . port.
func endpointValue(ep netip.AddrPort) []byte {
	return appendPort(appendAddr(make([]byte, 0, keySize), ep.Addr()), ep.Port())
}

// hairpinKey is address . address.
func hairpinKey(a netip.Addr) []byte {
	return appendAddr(appendAddr(make([]byte, 0, keySize), a), a)
}

func parseEndpointValue(f *family, b []byte) (netip.AddrPort, bool) {
	if len(b) < int(f.addrLen)+2 {
		return netip.AddrPort{}, false
	}
	addr, ok := netip.AddrFromSlice(b[:f.addrLen])
	return netip.AddrPortFrom(addr, uint16(b[f.addrLen])<<8|uint16(b[f.addrLen+1])), ok
}
