package conntrack

import (
	"net"
	"net/netip"
	"testing"

	"github.com/vishvananda/netlink"

	"skiff/proxy/service"
)

func change(f string, old, now []string) service.Change {
	ap := netip.MustParseAddrPort(f)
	backend := func(eps []string) *service.Backend {
		if eps == nil {
			return nil
		}
		b := &service.Backend{}
		for _, ep := range eps {
			b.Endpoints = append(b.Endpoints, netip.MustParseAddrPort(ep))
		}
		return b
	}
	return service.Change{
		Frontend: service.Frontend{Addr: ap.Addr(), Protocol: service.UDP, Port: ap.Port()},
		Old:      backend(old), New: backend(now),
	}
}

func TestMatch(t *testing.T) {
	s := stale{gone: map[service.Frontend]map[netip.Addr]bool{}, opened: map[service.Frontend]bool{}}
	s.add(change("10.43.0.1:53", []string{"10.42.0.1:53", "10.42.0.2:53"}, []string{"10.42.0.2:53"}))
	s.add(change("0.0.0.0:30053", []string{"10.42.0.3:53"}, nil))
	s.add(change("10.43.0.2:53", []string{}, []string{"10.42.0.4:53"}))
	for _, tc := range []struct {
		name     string
		protocol service.Protocol
		to       string
		port     uint16
		from     string
		want     bool
	}{
		{"to an endpoint that is gone", service.UDP, "10.43.0.1", 53, "10.42.0.1", true},
		{"to an endpoint that is left", service.UDP, "10.43.0.1", 53, "10.42.0.2", false},
		{"to another port", service.UDP, "10.43.0.1", 54, "10.42.0.1", false},
		{"TCP ends by itself", service.TCP, "10.43.0.1", 53, "10.42.0.1", false},
		{"a node port, by any address", service.UDP, "192.0.2.1", 30053, "10.42.0.3", true},
		{"not forwarded before there was an endpoint", service.UDP, "10.43.0.2", 53, "10.43.0.2", true},
		{"forwarded to the first endpoint", service.UDP, "10.43.0.2", 53, "10.42.0.4", false},
	} {
		flow := &netlink.ConntrackFlow{
			Forward: netlink.IPTuple{Protocol: uint8(tc.protocol), DstIP: net.ParseIP(tc.to), DstPort: tc.port},
			Reverse: netlink.IPTuple{SrcIP: net.ParseIP(tc.from)},
		}
		if got := s.MatchConntrackFlow(flow); got != tc.want {
			t.Errorf("%s: %v, want %v", tc.name, got, tc.want)
		}
	}
}
