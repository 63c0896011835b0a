package dns

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/miekg/dns"
	"github.com/rogpeppe/go-internal/txtar"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes/fake"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/tools/cache"
)

var update = flag.Bool("update", false, "rewrite the expected answers in testdata")

// serve starts a server on a port of loopback, with an upstream that answers
// through handler, and returns its address.
func serve(t *testing.T, handler dns.HandlerFunc, objects ...runtime.Object) string {
	t.Helper()
	upstream := startUpstream(t, handler)
	factory := informers.NewSharedInformerFactory(fake.NewClientset(objects...), 0)
	source, synced, err := NewSource(factory)
	if err != nil {
		t.Fatal(err)
	}
	factory.Start(t.Context().Done())
	if !cache.WaitForCacheSync(t.Context().Done(), synced...) {
		t.Fatal("the informers did not sync")
	}
	s := newServer(t, Config{
		Domain: "cluster.local", Listen: []netip.Addr{netip.MustParseAddr("127.0.0.1")}, Port: freePort(t),
		ResolvConf: filepath.Join(t.TempDir(), "none"), Source: source,
	})
	s.handler.box = func() []string { return []string{upstream} }
	s.handler.turn = func(int) int { return 0 }
	run(t, s)
	return fmt.Sprintf("127.0.0.1:%d", s.cfg.Port)
}

func newServer(t testing.TB, cfg Config) *Server {
	t.Helper()
	s, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func run(t *testing.T, s *Server) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ready := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := s.Run(ctx, func() { close(ready) }); err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	t.Cleanup(func() { cancel(); wg.Wait() })
	<-ready
}

func freePort(t *testing.T) uint16 {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return uint16(l.Addr().(*net.TCPAddr).Port)
}

func startUpstream(t *testing.T, handler dns.HandlerFunc) string {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	started := make(chan struct{})
	srv := &dns.Server{PacketConn: conn, Handler: handler, NotifyStartedFunc: func() { close(started) }}
	var wg sync.WaitGroup
	wg.Go(func() { _ = srv.ActivateAndServe() })
	<-started
	t.Cleanup(func() { _ = srv.Shutdown(); wg.Wait() })
	return conn.LocalAddr().String()
}

// example answers every question with one address.
func example(w dns.ResponseWriter, req *dns.Msg) {
	resp := new(dns.Msg).SetReply(req)
	if req.Question[0].Qtype == dns.TypeA {
		resp.Answer = []dns.RR{&dns.A{Hdr: dns.RR_Header{Name: req.Question[0].Name, Rrtype: dns.TypeA, Class: dns.ClassINET, Ttl: 60}, A: net.IPv4(192, 0, 2, 1)}}
	}
	_ = w.WriteMsg(resp)
}

func ask(t *testing.T, network, server, name string, qtype uint16) *dns.Msg {
	t.Helper()
	resp, _, err := (&dns.Client{Net: network}).Exchange(new(dns.Msg).SetQuestion(name, qtype), server)
	if err != nil {
		t.Fatalf("ask %s for %s: %v", server, name, err)
	}
	return resp
}

func TestZone(t *testing.T) {
	const path = "testdata/zone.txtar"
	archive, err := txtar.ParseFile(path)
	if err != nil {
		t.Fatal(err)
	}
	server := serve(t, example, decode(t, archive.Files[0].Data)...)
	var got strings.Builder
	for line := range strings.Lines(string(archive.Files[1].Data)) {
		if q, ok := strings.CutPrefix(line, "? "); ok {
			fields := strings.Fields(q)
			got.WriteString(line)
			describe(&got, ask(t, "udp", server, fields[0], dns.StringToType[fields[1]]))
		}
	}
	if *update {
		archive.Files[1].Data = []byte(got.String())
		if err := os.WriteFile(path, txtar.Format(archive), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if want := string(archive.Files[1].Data); got.String() != want {
		t.Errorf("got:\n%s\nwant:\n%s", got.String(), want)
	}
}

func decode(t *testing.T, yaml []byte) (objects []runtime.Object) {
	t.Helper()
	objects = append(objects, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "default"}})
	for doc := range bytes.SplitSeq(yaml, []byte("\n---\n")) {
		o, _, err := scheme.Codecs.UniversalDeserializer().Decode(doc, nil, nil)
		if err != nil {
			t.Fatalf("%v in\n%s", err, doc)
		}
		objects = append(objects, o)
	}
	return objects
}

func describe(b *strings.Builder, m *dns.Msg) {
	if m.Rcode != dns.RcodeSuccess {
		fmt.Fprintln(b, dns.RcodeToString[m.Rcode])
	}
	for _, section := range [][]dns.RR{m.Answer, m.Ns, m.Extra} {
		for _, rr := range section {
			fmt.Fprintln(b, strings.Join(strings.Fields(rr.String()), " "))
		}
	}
}

func TestUpstreamIsAskedOnceForWhatItAllowsToKeep(t *testing.T) {
	var asked atomic.Int32
	server := serve(t, func(w dns.ResponseWriter, req *dns.Msg) { asked.Add(1); example(w, req) })
	for range 3 {
		if resp := ask(t, "udp", server, "example.com.", dns.TypeA); len(resp.Answer) != 1 {
			t.Fatalf("got %v", resp)
		}
	}
	if n := asked.Load(); n != 1 {
		t.Errorf("the upstream was asked %d times, want 1", n)
	}
}

func TestUpstreamFailureIsServfail(t *testing.T) {
	server := serve(t, func(w dns.ResponseWriter, req *dns.Msg) {
		_ = w.WriteMsg(new(dns.Msg).SetRcode(req, dns.RcodeServerFailure))
	})
	if resp := ask(t, "udp", server, "example.com.", dns.TypeA); resp.Rcode != dns.RcodeServerFailure {
		t.Errorf("got %s, want SERVFAIL", dns.RcodeToString[resp.Rcode])
	}
}

func TestLongAnswerIsTruncatedOverUDPOnly(t *testing.T) {
	objects := []runtime.Object{&corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Name: "big", Namespace: "default"}, Spec: corev1.ServiceSpec{ClusterIP: corev1.ClusterIPNone},
	}}
	slice := "apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {name: big-1, namespace: default, labels: {kubernetes.io/service-name: big}}\naddressType: IPv4\nendpoints:\n"
	for i := range 100 {
		slice += fmt.Sprintf("- {addresses: [10.42.1.%d]}\n", i)
	}
	server := serve(t, example, append(objects, decode(t, []byte(slice))...)...)
	const name = "big.default.svc.cluster.local."
	if resp := ask(t, "udp", server, name, dns.TypeA); !resp.Truncated || len(resp.Answer) >= 100 {
		t.Errorf("over UDP: truncated is %v with %d records", resp.Truncated, len(resp.Answer))
	}
	if resp := ask(t, "tcp", server, name, dns.TypeA); resp.Truncated || len(resp.Answer) != 100 {
		t.Errorf("over TCP: truncated is %v with %d records, want all 100", resp.Truncated, len(resp.Answer))
	}
}

func TestCacheForgetsWhenTheTimeIsUp(t *testing.T) {
	now := time.Unix(1000, 0)
	c := newResponseCache(func() time.Time { return now })
	q := question{name: "a.", qtype: dns.TypeA}
	msg := &dns.Msg{Answer: []dns.RR{&dns.A{Hdr: dns.RR_Header{Rrtype: dns.TypeA, Ttl: 10}}}}
	c.put(q, msg)
	now = now.Add(4 * time.Second)
	if hit := c.get(q); hit == nil || hit.Answer[0].Header().Ttl != 6 {
		t.Errorf("after 4 of 10 s: %v, want 6 s left", hit)
	}
	now = now.Add(6 * time.Second)
	if hit := c.get(q); hit != nil {
		t.Errorf("after 10 of 10 s: %v, want nothing", hit)
	}
}

func TestCacheIsBounded(t *testing.T) {
	c := newResponseCache(time.Now)
	msg := &dns.Msg{Answer: []dns.RR{&dns.A{Hdr: dns.RR_Header{Rrtype: dns.TypeA, Ttl: 10}}}}
	for i := range cacheSize + 10 {
		c.put(question{name: fmt.Sprint(i)}, msg)
	}
	if n := len(c.entries); n != cacheSize {
		t.Errorf("%d entries, want %d", n, cacheSize)
	}
	if c.get(question{name: "0"}) != nil {
		t.Error("the oldest entry is still there")
	}
}

func TestResolvConfLeavesOutThisServer(t *testing.T) {
	path := filepath.Join(t.TempDir(), "resolv.conf")
	if err := os.WriteFile(path, []byte("nameserver 10.43.0.10\nnameserver 192.0.2.53\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	r := resolvConf{path: path, own: []netip.Addr{netip.MustParseAddr("10.43.0.10")}, now: time.Now}
	if got := r.list(); len(got) != 1 || got[0] != "192.0.2.53:53" {
		t.Errorf("got %v, want only 192.0.2.53:53", got)
	}
}

func TestAnswersTakeTurns(t *testing.T) {
	h := handler{turn: func(n int) int { return n - 1 }}
	record := func(last byte) dns.RR { return &dns.A{A: net.IPv4(10, 42, 0, last)} }
	got := h.spread([]dns.RR{record(1), record(2), record(3)})
	var order []byte
	for _, rr := range got {
		order = append(order, rr.(*dns.A).A.To4()[3])
	}
	if !bytes.Equal(order, []byte{3, 1, 2}) {
		t.Errorf("the addresses come as %v", order)
	}
}

func TestAnswerKeepsTheCaseOfTheQuestion(t *testing.T) {
	server := serve(t, example)
	const name = "eXample.COM."
	if resp := ask(t, "udp", server, name, dns.TypeA); resp.Answer[0].Header().Name != name {
		t.Errorf("asked for %s, got %s", name, resp.Answer[0].Header().Name)
	}
	if resp := ask(t, "udp", server, "CLUSTER.local.", dns.TypeNS); resp.Answer[0].Header().Name != "CLUSTER.local." {
		t.Errorf("got %s", resp.Answer[0].Header().Name)
	}
}
