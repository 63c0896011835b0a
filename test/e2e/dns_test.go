package e2e

import (
	"net"
	"net/netip"
	"testing"

	"github.com/miekg/dns"

	"skiff/test/e2e/host"
)

// upstreamNames are what the resolver outside of the cluster knows.
var upstreamNames = map[string]netip.Addr{
	"www.example.":         netip.MustParseAddr("198.51.100.1"),
	"printer.lan.example.": netip.MustParseAddr("198.51.100.2"),
}

// serveDNS answers on a host for upstreamNames until the test ends.
func serveDNS(t *testing.T, h *host.Host) {
	t.Helper()
	var conn net.PacketConn
	err := h.Inside(func() (err error) {
		conn, err = net.ListenPacket("udp", netip.AddrPortFrom(h.Addr, 53).String())
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	server := &dns.Server{PacketConn: conn, Handler: dns.HandlerFunc(answerUpstream)}
	ended := make(chan error)
	go func() { ended <- server.ActivateAndServe() }()
	t.Cleanup(func() {
		conn.Close()
		<-ended
	})
}

func answerUpstream(w dns.ResponseWriter, request *dns.Msg) {
	response := new(dns.Msg).SetReply(request)
	question := request.Question[0]
	addr, known := upstreamNames[question.Name]
	switch {
	case !known:
		response.Rcode = dns.RcodeNameError
	case question.Qtype == dns.TypeA:
		header := dns.RR_Header{Name: question.Name, Rrtype: dns.TypeA, Class: dns.ClassINET, Ttl: 60}
		response.Answer = []dns.RR{&dns.A{Hdr: header, A: addr.AsSlice()}}
	}
	_ = w.WriteMsg(response)
}
