package tunnel_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/netip"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/endpoints/request"

	agent "skiff/agent/tunnel"
	"skiff/server/tunnel"
	"skiff/server/tunnel/wire"
)

// network is what a server listens on and agents dial.
type network interface {
	listen() (net.Listener, error)
	dial(ctx context.Context) (net.Conn, error)
}

// loopback is TCP.
type loopback struct{ address string }

func (l *loopback) listen() (net.Listener, error) {
	address := l.address
	if address == "" {
		address = "127.0.0.1:0"
	}
	listener, err := net.Listen("tcp", address)
	if err == nil {
		l.address = listener.Addr().String()
	}
	return listener, err
}

func (l *loopback) dial(ctx context.Context) (net.Conn, error) {
	return (&net.Dialer{}).DialContext(ctx, "tcp", l.address)
}

// pipes are net.Pipe, for virtual time.
type pipes struct {
	mu   sync.Mutex
	open *pipeListener
}

type pipeListener struct {
	conns chan net.Conn
	done  chan struct{}
	once  sync.Once
}

func (p *pipes) listen() (net.Listener, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.open = &pipeListener{conns: make(chan net.Conn), done: make(chan struct{})}
	return p.open, nil
}

func (p *pipes) dial(ctx context.Context) (net.Conn, error) {
	p.mu.Lock()
	l := p.open
	p.mu.Unlock()
	here, there := net.Pipe()
	select {
	case l.conns <- there:
		return here, nil
	case <-l.done:
		return nil, errors.New("connection refused")
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (l *pipeListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

func (l *pipeListener) Close() error {
	l.once.Do(func() { close(l.done) })
	return nil
}

func (l *pipeListener) Addr() net.Addr { return &net.TCPAddr{} }

// cable is a connection that can be cut, without a word to either end.
type cable struct {
	net.Conn
	cut chan struct{}
}

func (c *cable) Write(p []byte) (int, error) {
	if c.isCut() {
		return len(p), nil
	}
	return c.Conn.Write(p)
}

func (c *cable) Read(p []byte) (int, error) {
	for {
		n, err := c.Conn.Read(p)
		if err != nil || !c.isCut() {
			return n, err
		}
	}
}

func (c *cable) isCut() bool {
	select {
	case <-c.cut:
		return true
	default:
		return false
	}
}

// certificates are those of a server and of nodes, all by one authority.
type certificates struct {
	pool *x509.CertPool
	ca   tls.Certificate
}

func newCertificates(t testing.TB) *certificates {
	c := &certificates{pool: x509.NewCertPool()}
	c.ca = c.issue(t, &x509.Certificate{IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign})
	c.pool.AddCert(c.ca.Leaf)
	return c
}

func (c *certificates) issue(t testing.TB, template *x509.Certificate) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template.SerialNumber, template.NotBefore, template.NotAfter = big.NewInt(1), time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	parent, signer := template, key
	if c.ca.Leaf != nil {
		parent, signer = c.ca.Leaf, c.ca.PrivateKey.(*ecdsa.PrivateKey)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), signer)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}
}

func (c *certificates) node(t testing.TB, name string) tls.Certificate {
	return c.issue(t, &x509.Certificate{
		Subject: pkix.Name{CommonName: "system:node:" + name, Organization: []string{"system:nodes"}}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	})
}

// world is a server, and the agents that reach it.
type world struct {
	t     testing.TB
	net   network
	certs *certificates
	// server is the present one, and stop ends it.
	server *tunnel.Server
	stop   func()
	log    *logged
}

// logged is what was written to a log.
type logged struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *logged) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

func newWorld(t testing.TB, n network) *world {
	w := &world{t: t, net: n, certs: newCertificates(t), log: &logged{}}
	w.start()
	t.Cleanup(func() { w.stop() })
	return w
}

// start starts a server, another one each time.
func (w *world) start() {
	w.t.Helper()
	listener, err := w.net.listen()
	if err != nil {
		w.t.Fatal(err)
	}
	w.server = tunnel.New(slog.New(slog.DiscardHandler))
	serving := w.certs.issue(w.t, &x509.Certificate{DNSNames: []string{"server"}})
	mux := http.NewServeMux()
	mux.Handle(wire.Path, authenticated(w.server))
	web := &http.Server{
		Handler:   mux,
		TLSConfig: &tls.Config{Certificates: []tls.Certificate{serving}, ClientCAs: w.certs.pool, ClientAuth: tls.VerifyClientCertIfGiven},
		ErrorLog:  slog.NewLogLogger(slog.DiscardHandler, slog.LevelDebug),
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = web.ServeTLS(listener, "", "")
	}()
	w.stop = sync.OnceFunc(func() {
		_ = web.Close()
		w.server.Close()
		<-done
	})
}

// authenticated knows users by their certificate, as the chain of the API does.
func authenticated(next http.Handler) http.Handler {
	return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if len(r.TLS.PeerCertificates) > 0 {
			s := r.TLS.PeerCertificates[0].Subject
			r = r.WithContext(request.WithUser(r.Context(), &user.DefaultInfo{Name: s.CommonName, Groups: s.Organization}))
		}
		next.ServeHTTP(rw, r)
	})
}

// agentOf is the configuration of a node's agent: its API and each of its pods, all
// of them at 10.42.0.0/24, are served by pod.
func (w *world) agentOf(node string, pod func(net.Conn)) agent.Config {
	cert := w.certs.node(w.t, node)
	connect := func(context.Context) (net.Conn, error) {
		here, there := w.pair()
		go func() {
			defer there.Close()
			pod(there)
		}()
		return here, nil
	}
	return agent.Config{
		Servers: func() []string { return []string{"server:6443"} },
		Dial: func(ctx context.Context, server string, protocols ...string) (net.Conn, error) {
			raw, err := w.net.dial(ctx)
			if err != nil {
				return nil, err
			}
			conn := tls.Client(raw, &tls.Config{RootCAs: w.certs.pool, ServerName: "server", Certificates: []tls.Certificate{cert}, NextProtos: protocols})
			return conn, conn.HandshakeContext(ctx)
		},
		NodeAPI: connect,
		Allow:   func(a netip.AddrPort) bool { return netip.MustParsePrefix("10.42.0.0/24").Contains(a.Addr()) },
		Connect: func(ctx context.Context, _, address string) (net.Conn, error) {
			if address == "10.42.0.9:80" {
				return nil, errors.New("connection refused")
			}
			return connect(ctx)
		},
		Log: slog.New(slog.NewTextHandler(w.log, nil)),
	}
}

// run runs an agent until the test ends or the returned function is called.
func (w *world) run(cfg agent.Config) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = agent.Run(ctx, cfg)
	}()
	stop = sync.OnceFunc(func() {
		cancel()
		<-done
	})
	w.t.Cleanup(stop)
	return stop
}

// dial connects to something in a node, which may yet have to connect.
func (w *world) dial(node, addr string) net.Conn {
	w.t.Helper()
	for range 2000 {
		conn, err := w.server.Dial(context.Background(), node, addr)
		if err == nil {
			w.t.Cleanup(func() { _ = conn.Close() })
			return conn
		}
		if !errors.Is(err, tunnel.ErrNoTunnel) && !errors.Is(err, wire.ErrLost) {
			w.t.Fatal(err)
		}
		time.Sleep(10 * time.Millisecond)
	}
	w.t.Fatalf("node %s does not come", node)
	return nil
}

// pair is a connection in a node and its other end, of the network's kind.
func (w *world) pair() (here, there net.Conn) {
	if _, virtual := w.net.(*pipes); virtual {
		return net.Pipe()
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		w.t.Fatal(err)
	}
	defer l.Close()
	if here, err = net.Dial("tcp", l.Addr().String()); err != nil {
		w.t.Fatal(err)
	}
	if there, err = l.Accept(); err != nil {
		w.t.Fatal(err)
	}
	return here, there
}

// echo gives back what comes, until all has come.
func echo(c net.Conn) { _, _ = io.Copy(c, c) }

// virtual runs a test in virtual time. yamux keeps timers for use by any session;
// none may come into the bubble or leave it.
func virtual(t *testing.T, f func(t *testing.T)) {
	forget := func() {
		for range 2 { // what a pool loses in the first it has back until the second
			runtime.GC()
		}
	}
	forget()
	defer forget() // also after a test that failed
	synctest.Test(t, f)
}
