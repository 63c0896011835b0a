package e2e

import (
	"net"
	"net/netip"
	"sync"
	"testing"

	"github.com/miekg/dns"

	"skiff/test/e2e/host"
)

// zone is what the resolver outside of the cluster knows.
type zone struct {
	mu    sync.Mutex
	names map[string]netip.Addr
}

func newZone() *zone {
	return &zone{names: map[string]netip.Addr{
		"www.example.":         netip.MustParseAddr("198.51.100.1"),
		"printer.lan.example.": netip.MustParseAddr("198.51.100.2"),
	}}
}

// set gives a name another address.
func (z *zone) set(name string, addr netip.Addr) {
	z.mu.Lock()
	defer z.mu.Unlock()
	z.names[name] = addr
}

func (z *zone) get(name string) (netip.Addr, bool) {
	z.mu.Lock()
	defer z.mu.Unlock()
	addr, known := z.names[name]
	return addr, known
}

// serve answers on a host until the test ends.
func (z *zone) serve(t *testing.T, h *host.Host) {
	t.Helper()
	var conn net.PacketConn
	err := h.Inside(func() (err error) {
		conn, err = net.ListenPacket("udp", netip.AddrPortFrom(h.Addr, 53).String())
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	server := &dns.Server{PacketConn: conn, Handler: dns.HandlerFunc(z.answer)}
	ended := make(chan error)
	go func() { ended <- server.ActivateAndServe() }()
	t.Cleanup(func() {
		conn.Close()
		<-ended
	})
}

func (z *zone) answer(w dns.ResponseWriter, request *dns.Msg) {
	response := new(dns.Msg).SetReply(request)
	question := request.Question[0]
	addr, known := z.get(question.Name)
	switch {
	case !known:
		response.Rcode = dns.RcodeNameError
	case question.Qtype == dns.TypeA:
		header := dns.RR_Header{Name: question.Name, Rrtype: dns.TypeA, Class: dns.ClassINET, Ttl: 1}
		response.Answer = []dns.RR{&dns.A{Hdr: header, A: addr.AsSlice()}}
	}
	_ = w.WriteMsg(response)
}
