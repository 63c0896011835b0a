package join

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// apiServerName is in the certificate of every API server, whatever address it
	// is reached at: behind a router or after a move that is another one than it
	// knows itself by.
	apiServerName = "kubernetes.default.svc"

	dialTimeout = 5 * time.Second
	// A connection that carries nothing is asked whether it still lives: a server
	// that was powered off says no goodbye.
	pingAfter, pingTimeout = 15 * time.Second, 10 * time.Second
	idleTimeout            = 90 * time.Second
)

// dialer makes a plain connection.
type dialer func(ctx context.Context, network, address string) (net.Conn, error)

// link is how a node reaches its servers: one HTTP/2 connection to whichever
// answers, with the node's present certificate. It implements http.RoundTripper.
type link struct {
	dial  dialer
	roots *x509.CertPool
	// certificate returns the node's, nil if it has none yet.
	certificate func() *tls.Certificate
	clock       *serverClock

	mu sync.Mutex
	// servers are HOST:PORT, the one that answered last first.
	servers []string
	current atomic.Pointer[http.Transport]
}

func newLink(dial dialer, roots *x509.CertPool, certificate func() *tls.Certificate, clock *serverClock, servers ...string) *link {
	l := &link{dial: dial, roots: roots, certificate: certificate, clock: clock, servers: servers}
	l.renew()
	return l
}

// renew has new requests take a new connection. What is under way, watches among
// it, goes on over the old one until it ends.
func (l *link) renew() {
	if old := l.current.Swap(l.transport()); old != nil {
		old.CloseIdleConnections()
	}
}

// close ends the connection; nothing may be under way.
func (l *link) close() { l.current.Load().CloseIdleConnections() }

func (l *link) transport() *http.Transport {
	t := &http.Transport{
		DialTLSContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return l.connect(ctx, "h2", "http/1.1")
		},
		IdleConnTimeout: idleTimeout,
		Protocols:       new(http.Protocols),
		HTTP2:           &http.HTTP2Config{SendPingTimeout: pingAfter, PingTimeout: pingTimeout},
	}
	t.Protocols.SetHTTP1(true)
	t.Protocols.SetHTTP2(true)
	return t
}

// RoundTrip implements http.RoundTripper.
func (l *link) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := l.current.Load().RoundTrip(r)
	if err == nil {
		l.clock.note(resp.Header)
	}
	return resp, err
}

// follow replaces the servers. The one that answers stays, if it still is one.
func (l *link) follow(servers []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	first := l.servers[0]
	if !slices.Contains(servers, first) {
		// It was named by the user, or has moved: it counts last.
		l.servers = append(slices.Clone(servers), first)
		return
	}
	l.servers = prefer(servers, first)
}

func prefer(servers []string, first string) []string {
	list := []string{first}
	for _, s := range servers {
		if s != first {
			list = append(list, s)
		}
	}
	return list
}

func (l *link) list() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.servers)
}

// connect returns a TLS connection to the first server that answers.
func (l *link) connect(ctx context.Context, protocols ...string) (net.Conn, error) {
	servers := l.list()
	var reasons []string
	var failures []error
	for i, server := range servers {
		conn, err := l.connectTo(ctx, server, protocols...)
		if err == nil {
			if i > 0 {
				l.mu.Lock()
				l.servers = prefer(l.servers, server)
				l.mu.Unlock()
			}
			return conn, nil
		}
		if ctx.Err() != nil {
			return nil, ctx.Err() // the caller has gone
		}
		reasons, failures = append(reasons, err.Error()), append(failures, err)
	}
	return nil, &unreachable{text: strings.Join(slices.Compact(reasons), "; "), reasons: failures}
}

// unreachable is why no server could be reached, in one line.
type unreachable struct {
	text    string
	reasons []error
}

func (u *unreachable) Error() string   { return u.text }
func (u *unreachable) Unwrap() []error { return u.reasons }

// connectTo returns a TLS connection to one server, which has proved to be one of
// the cluster.
func (l *link) connectTo(ctx context.Context, server string, protocols ...string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	raw, err := l.dial(ctx, "tcp", server)
	if err != nil {
		return nil, err
	}
	conn := tls.Client(raw, l.tls(protocols))
	if err := conn.HandshakeContext(ctx); err != nil {
		_ = raw.Close()
		return nil, fmt.Errorf("%s: %w", server, err)
	}
	return conn, nil
}

func (l *link) tls(protocols []string) *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS12, RootCAs: l.roots, ServerName: apiServerName, NextProtos: protocols,
		VerifyConnection: notANode,
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			if c := l.certificate(); c != nil {
				return c, nil
			}
			return &tls.Certificate{}, nil
		},
	}
}

var errNode = errors.New("the server shows the certificate of a node")

// notANode refuses a server that shows a node's certificate, which the same
// authority signs: a node that was given an API server's name is none.
func notANode(s tls.ConnectionState) error {
	if slices.Contains(s.PeerCertificates[0].Subject.Organization, nodesGroup) {
		return errNode
	}
	return nil
}
