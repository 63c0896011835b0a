package dns

import (
	"fmt"
	"net"
	"net/netip"
	"testing"

	"github.com/miekg/dns"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// nothing is a cluster without services.
type nothing struct{}

func (nothing) Service(string, string) *corev1.Service             { return nil }
func (nothing) Slices(string, string) []*discoveryv1.EndpointSlice { return nil }
func (nothing) NamespaceExists(string) bool                        { return false }
func (nothing) ServiceAt(netip.Addr) *corev1.Service               { return nil }
func (nothing) SlicesAt(netip.Addr) []*discoveryv1.EndpointSlice   { return nil }

// one is a cluster with one service, web in default.
type one struct{ nothing }

func (one) Service(namespace, name string) *corev1.Service {
	if namespace != "default" || name != "web" {
		return nil
	}
	return &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}, Spec: corev1.ServiceSpec{ClusterIP: "10.43.0.7", ClusterIPs: []string{"10.43.0.7"}}}
}

// sink is a client that packs the answer as the wire wants it, and drops it.
type sink struct {
	dns.ResponseWriter
	buf []byte
}

func (s *sink) RemoteAddr() net.Addr { return &net.UDPAddr{} }
func (s *sink) WriteMsg(m *dns.Msg) error {
	_, err := m.PackBuffer(s.buf)
	return err
}

// BenchmarkAnswer is one answer without the network: from the zone, a miss on a
// search path, and from the cache.
func BenchmarkAnswer(b *testing.B) {
	s := newServer(b, Config{Domain: "cluster.local", Source: one{}})
	s.handler.cache.put(question{name: "example.com.", qtype: dns.TypeA, qclass: dns.ClassINET}, &dns.Msg{
		Answer: []dns.RR{&dns.A{Hdr: dns.RR_Header{Name: "example.com.", Rrtype: dns.TypeA, Class: dns.ClassINET, Ttl: 3600}, A: []byte{192, 0, 2, 1}}},
	})
	for _, name := range []string{"web.default.svc.cluster.local.", "example.com.default.svc.cluster.local.", "example.com."} {
		b.Run(name, func(b *testing.B) {
			req, w := new(dns.Msg).SetQuestion(name, dns.TypeA), &sink{buf: make([]byte, 4096)}
			b.ReportAllocs()
			for b.Loop() {
				s.handler.ServeDNS(w, req)
			}
		})
	}
}

// BenchmarkAnswerOverUDP is the round trip of a question over loopback.
func BenchmarkAnswerOverUDP(b *testing.B) {
	l, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	s := newServer(b, Config{Domain: "cluster.local", Source: one{}})
	srv := &dns.Server{PacketConn: l, Handler: s.handler, UDPSize: 1232}
	done := make(chan error, 1)
	started := make(chan struct{})
	srv.NotifyStartedFunc = func() { close(started) }
	go func() { done <- srv.ActivateAndServe() }()
	<-started
	conn, err := dns.Dial("udp", l.LocalAddr().String())
	if err != nil {
		b.Fatal(err)
	}
	c, req := new(dns.Client), new(dns.Msg).SetQuestion("web.default.svc.cluster.local.", dns.TypeA)
	for b.Loop() {
		resp, _, err := c.ExchangeWithConn(req, conn)
		if err != nil || len(resp.Answer) != 1 {
			b.Fatal(fmt.Sprint(resp), err)
		}
	}
	conn.Close()
	_ = srv.Shutdown()
	<-done
}
