package server

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/endpoints/request"
	corelisters "k8s.io/client-go/listers/core/v1"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/remotecommand"
	clientspdy "k8s.io/client-go/transport/spdy"
	nodecommand "k8s.io/cri-streaming/pkg/streaming/remotecommand"
	"k8s.io/streaming/pkg/httpstream/spdy"

	agenttunnel "skiff/agent/tunnel"
	"skiff/server/pki"
	"skiff/server/tunnel"
)

// site is a server and nodes that only reach it, not the other way round: their
// addresses are of a network that is nowhere (RFC 5737).
type site struct {
	t       *testing.T
	pki     *pki.PKI
	address string // of the server
	tunnels *tunnel.Server
	nodes   cache.Indexer
	conn    *nodeConn
}

func newSite(t *testing.T) *site {
	p, err := pki.Open(pki.Config{Dir: t.TempDir(), Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	s := &site{t: t, pki: p, tunnels: tunnel.New(slog.New(slog.DiscardHandler)), nodes: cache.NewIndexer(cache.MetaNamespaceKeyFunc, nil)}
	s.conn = newNodeConn(corelisters.NewNodeLister(s.nodes), p, s.certificate(pki.APIServerKubeletClient()), s.tunnels)
	serving := s.certificate(pki.APIServer(pki.ServerNames{NodeName: "box", ClusterDomain: "cluster.local"}))
	s.address = s.serve(s.tunnels, &tls.Config{GetCertificate: serving.GetCertificate, ClientCAs: p.Client.Pool(), ClientAuth: tls.RequireAndVerifyClientCert})
	t.Cleanup(s.tunnels.Close)
	return s
}

// certificate issues one, and keeps it apart from those of the same kind: real boxes
// have one of each.
func (s *site) certificate(id pki.Identity) *pki.Certificate {
	s.t.Helper()
	id.Name += "-" + strings.ReplaceAll(fmt.Sprint(id.CommonName, id.Names.DNS), ":", "-")
	c, err := s.pki.Certificate(id)
	if err != nil {
		s.t.Fatal(err)
	}
	return c
}

// serve serves h on loopback, with the user of the certificate, and returns where.
func (s *site) serve(h http.Handler, conf *tls.Config) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		s.t.Fatal(err)
	}
	web := &http.Server{
		TLSConfig: conf, ErrorLog: slog.NewLogLogger(slog.DiscardHandler, 0),
		TLSNextProto: map[string]func(*http.Server, *tls.Conn, http.Handler){},
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			for _, c := range r.TLS.PeerCertificates {
				u := &user.DefaultInfo{Name: c.Subject.CommonName, Groups: c.Subject.Organization}
				r = r.WithContext(request.WithUser(r.Context(), u))
			}
			h.ServeHTTP(w, r)
		}),
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = web.ServeTLS(l, "", "")
	}()
	s.t.Cleanup(func() {
		_ = web.Close()
		<-done
	})
	return l.Addr().String()
}

// addNode adds a Node with an address, whose pods are in the block.
func (s *site) addNode(name, address, block string) {
	s.t.Helper()
	host, port, _ := strings.Cut(address, ":")
	n := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: corev1.NodeSpec{PodCIDRs: []string{block}}}
	n.Status.Addresses = []corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: host}}
	if _, err := fmt.Sscan(port, &n.Status.DaemonEndpoints.KubeletEndpoint.Port); err != nil {
		s.t.Fatal(err)
	}
	if err := s.nodes.Add(n); err != nil {
		s.t.Fatal(err)
	}
}

// api is a node's: it tells who it is and who asks, and has a shell.
func (s *site) api(name string, serving *pki.Certificate) string {
	mux := http.NewServeMux()
	mux.HandleFunc("/who", func(w http.ResponseWriter, r *http.Request) {
		u, _ := request.UserFrom(r.Context())
		_, _ = fmt.Fprintf(w, "%s answers %s", name, u.GetName())
	})
	mux.HandleFunc("/exec", func(w http.ResponseWriter, r *http.Request) {
		o := &nodecommand.Options{Stdin: true, Stdout: true}
		nodecommand.ServeExec(w, r, cat{}, "p", "", "c", nil, o, time.Minute, time.Minute, nodecommand.SupportedStreamingProtocols)
	})
	mux.HandleFunc("/follow", func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, "first line\n")
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	})
	return s.serve(mux, &tls.Config{GetCertificate: serving.GetCertificate, ClientCAs: s.pki.Client.Pool(), ClientAuth: tls.RequireAndVerifyClientCert})
}

// cat runs every command.
type cat struct{}

func (cat) ExecInContainer(_ context.Context, _, _, _ string, _ []string, in io.Reader, out, _ io.WriteCloser, _ bool, _ <-chan nodecommand.TerminalSize, _ time.Duration) error {
	_, err := io.Copy(out, in)
	return err
}

// connect runs a node's agent and waits for its tunnel. Whatever pod is asked for,
// hello answers.
func (s *site) connect(name, api string) (stop func()) {
	hello := s.serve(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, "pod on "+name+" at "+r.Host) }),
		&tls.Config{GetCertificate: s.certificate(pki.KubeletServing("pod", nil)).GetCertificate})
	identity := s.certificate(pki.KubeletClient(name))
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = agenttunnel.Run(ctx, agenttunnel.Config{
			Servers: func() []string { return []string{s.address} },
			Dial: func(ctx context.Context, server string, protocols ...string) (net.Conn, error) {
				return (&tls.Dialer{Config: &tls.Config{
					RootCAs: s.pki.Server.Pool(), ServerName: "box", NextProtos: protocols, GetClientCertificate: identity.GetClientCertificate,
				}}).DialContext(ctx, "tcp", server)
			},
			NodeAPI: func(ctx context.Context) (net.Conn, error) { return (&net.Dialer{}).DialContext(ctx, "tcp", api) },
			Allow:   func(a netip.AddrPort) bool { return netip.MustParsePrefix("10.42.0.0/16").Contains(a.Addr()) },
			Connect: func(ctx context.Context, network, _ string) (net.Conn, error) {
				return (&net.Dialer{}).DialContext(ctx, network, hello)
			},
			Log: slog.New(slog.DiscardHandler),
		})
	}()
	stop = func() {
		cancel()
		<-done
	}
	s.t.Cleanup(stop)
	for !slices.Contains(s.tunnels.Nodes(), name) {
		time.Sleep(time.Millisecond) // the server tells nobody
	}
	return stop
}

// get asks the API of a node.
func (s *site) get(node, path string) (string, error) {
	to, err := s.conn.Node(s.t.Context(), node)
	if err != nil {
		return "", err
	}
	return get(s.t, to.Transport, to.Scheme+"://"+to.Host+path)
}

func get(t *testing.T, by http.RoundTripper, address string) (string, error) {
	t.Helper()
	resp, err := (&http.Client{Transport: by}).Get(address)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return string(body), err
}

// TestNodesBehindNAT: nodes that cannot be dialled are reached, each by itself,
// also if they have the same address.
func TestNodesBehindNAT(t *testing.T) {
	s := newSite(t)
	for i, name := range []string{"one", "two"} {
		s.addNode(name, "192.0.2.7:10250", fmt.Sprintf("10.42.%d.0/24", i))
		s.connect(name, s.api(name, s.certificate(pki.KubeletServing(name, nil))))
	}
	for range 2 {
		for _, name := range []string{"one", "two"} {
			if got, err := s.get(name, "/who"); err != nil || got != name+" answers kube-apiserver-kubelet-client" {
				t.Errorf("the API of %s: %q, %v", name, got, err)
			}
		}
	}
	for _, tt := range []struct{ node, address, want string }{
		{"one", "https://10.42.0.5:8080/", "pod on one at 10.42.0.5:8080"},
		{"", "https://10.42.0.5:8080/", "pod on one at 10.42.0.5:8080"},
		{"", "https://10.42.1.5/", "pod on two at 10.42.1.5"},
	} {
		if got, err := get(t, s.conn.Network(tt.node), tt.address); err != nil || got != tt.want {
			t.Errorf("%s on %q: %q, %v", tt.address, tt.node, got, err)
		}
	}
	_, err := get(t, s.conn.Network("one"), "http://192.0.2.99:22/")
	if err == nil || !strings.Contains(err.Error(), "192.0.2.99 is not an address of this node or its pods") {
		t.Errorf("a foreign address: %v", err)
	}
}

// TestExecThroughTunnel: SPDY inside of TLS inside of a stream ends where it should,
// and with all that was sent.
func TestExecThroughTunnel(t *testing.T) {
	s := newSite(t)
	s.addNode("one", "192.0.2.7:10250", "10.42.0.0/24")
	s.connect("one", s.api("one", s.certificate(pki.KubeletServing("one", nil))))
	to, err := s.conn.Node(t.Context(), "one")
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		upgrade, err := spdy.NewRoundTripperWithConfig(spdy.RoundTripperConfig{UpgradeTransport: to.Transport})
		if err != nil {
			t.Fatal(err)
		}
		address := &url.URL{Scheme: "https", Host: to.Host, Path: "/exec"}
		exec, err := remotecommand.NewSPDYExecutorRejectRedirects(upgrade, clientspdy.NewUpgraderForStreaming(upgrade), "POST", address)
		if err != nil {
			t.Fatal(err)
		}
		var out strings.Builder
		in := strings.Repeat("0123456789", 200000)
		err = exec.StreamWithContext(t.Context(), remotecommand.StreamOptions{Stdin: strings.NewReader(in), Stdout: &out})
		if err != nil || out.String() != in {
			t.Errorf("%d of %d bytes came back, %v", out.Len(), len(in), err)
		}
	}
}

// TestFollowThroughTunnel: a log that is followed ends with an error when the node
// goes, and the next request is told that it is not connected.
func TestFollowThroughTunnel(t *testing.T) {
	s := newSite(t)
	s.addNode("one", "192.0.2.7:10250", "10.42.0.0/24")
	stop := s.connect("one", s.api("one", s.certificate(pki.KubeletServing("one", nil))))
	to, err := s.conn.Node(t.Context(), "one")
	if err != nil {
		t.Fatal(err)
	}
	resp, err := (&http.Client{Transport: to.Transport}).Get("https://" + to.Host + "/follow")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	line := make([]byte, len("first line\n"))
	if _, err := io.ReadFull(resp.Body, line); err != nil || string(line) != "first line\n" {
		t.Fatalf("%q, %v", line, err)
	}
	stop()
	if _, err := io.ReadAll(resp.Body); err == nil {
		t.Error("the log ended as if that was all")
	}
	_, err = s.get("one", "/who")
	lost(t, err)
	_, err = get(t, s.conn.Network("one"), "http://10.42.0.5/")
	lost(t, err)
	_, err = get(t, to.Transport, "https://"+to.Host+"/who")
	lost(t, err)
}

func lost(t *testing.T, err error) {
	t.Helper()
	status, ok := errors.AsType[*apierrors.StatusError](err)
	if !ok || status.ErrStatus.Code != http.StatusServiceUnavailable || status.ErrStatus.Message != `node "one" is not connected` {
		t.Errorf("got %v", err)
	}
}

// TestNodeIsItself: what answers must be the node, whatever way led there.
func TestNodeIsItself(t *testing.T) {
	s := newSite(t)
	other := s.certificate(pki.KubeletServing("other", []netip.Addr{netip.MustParseAddr("192.0.2.7")}))
	s.addNode("one", "192.0.2.7:10250", "10.42.0.0/24")
	s.connect("one", s.api("other", other))
	s.addNode("near", s.api("other", other), "10.42.1.0/24")
	s.addNode("box", s.api("box", s.certificate(pki.KubeletServing("box", nil))), "10.42.2.0/24")
	for _, name := range []string{"one", "near"} {
		if got, err := s.get(name, "/who"); err == nil || !strings.Contains(err.Error(), "not "+name) {
			t.Errorf("%s answered %q, %v", name, got, err)
		}
	}
	if got, err := s.get("box", "/who"); err != nil || got != "box answers kube-apiserver-kubelet-client" {
		t.Errorf("the server's own node: %q, %v", got, err)
	}
	if _, err := s.get("none", "/who"); !apierrors.IsNotFound(err) {
		t.Errorf("a node that is not: %v", err)
	}
}

// TestNodeWaysAreBounded: nodes that come and go leave nothing behind.
func TestNodeWaysAreBounded(t *testing.T) {
	s := newSite(t)
	for i := range 3 * maxNodeWays {
		s.conn.Network(fmt.Sprint("node-", i))
	}
	if n := len(s.conn.ways); n > maxNodeWays {
		t.Errorf("%d are kept", n)
	}
	if s.conn.Network("one") != s.conn.Network("one") {
		t.Error("connections to a node are not shared")
	}
}
