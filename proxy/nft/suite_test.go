package nft

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net/netip"
	"testing"

	"github.com/google/nftables"

	"skiff/proxy/nft/nfttest"
	"skiff/proxy/service"
)

func TestSuite(t *testing.T) {
	inNamespace(t)
	nfttest.Run(t, reader{newTable(t, nil)})
}

// reader reads the rules in force back from the kernel.
type reader struct{ *Table }

func (r reader) Dump() ([]string, error) {
	rules := service.Rules{}
	for _, m := range []struct {
		set    *nftables.Set
		closed bool
	}{{r.services, false}, {r.nodePorts, false}, {r.closed, true}, {r.closedNodePorts, true}} {
		elements, err := r.conn.GetSetElements(m.set)
		if err != nil {
			return nil, err
		}
		for _, e := range elements {
			f := parseFrontend(e.Key)
			if rules[f] == nil {
				rules[f] = &service.Backend{}
			}
			// The library hands out a verdict as its netlink attributes.
			switch {
			case m.closed && bytes.Contains(e.Val, []byte(chainReject)):
				rules[f].Action = service.Reject
			case m.closed && bytes.Contains(e.Val, []byte(chainDrop)):
				rules[f].Action = service.Drop
			case m.closed:
				return nil, fmt.Errorf("unknown verdict %q", e.Val)
			}
		}
	}
	elements, err := r.conn.GetSetElements(r.endpoints)
	if err != nil {
		return nil, err
	}
	found := map[service.Frontend]map[uint32]netip.AddrPort{}
	for _, e := range elements {
		f := parseFrontend(e.Key[:12])
		if found[f] == nil {
			found[f] = map[uint32]netip.AddrPort{}
		}
		ep, _ := parseEndpointValue(ipv4, e.Val)
		found[f][binary.NativeEndian.Uint32(e.Key[12:])] = ep
	}
	for f, eps := range found {
		rules[f].Endpoints = consecutive(eps, 0)
		rules[f].Inside = consecutive(eps, secondIndex)
	}
	if err := r.readGuards(rules); err != nil {
		return nil, err
	}
	return nfttest.Lines(rules), nil
}

func consecutive(eps map[uint32]netip.AddrPort, first uint32) (list []netip.AddrPort) {
	for i := first; eps[i].IsValid(); i++ {
		list = append(list, eps[i])
	}
	return list
}

func (r reader) readGuards(rules service.Rules) error {
	elements, err := r.conn.GetSetElements(r.firewall)
	if err != nil {
		return err
	}
	for _, e := range elements {
		for name, sources := range r.guards {
			if bytes.Contains(e.Val, []byte(name+"\x00")) {
				rules[parseFrontend(e.Key)].Sources = sources
			}
		}
	}
	return nil
}

// parseFrontend reads the key of a service, or of a node port.
func parseFrontend(key []byte) service.Frontend {
	f := service.Frontend{Addr: netip.IPv4Unspecified()}
	if len(key) == 12 {
		f.Addr = netip.AddrFrom4([4]byte(key[:4]))
		key = key[4:]
	}
	f.Protocol = service.Protocol(key[0])
	f.Port = binary.BigEndian.Uint16(key[4:])
	return f
}
