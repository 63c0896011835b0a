package join

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/util/connrotation"

	"skiff/server/clusterinfo"
	"skiff/server/pki"
)

// Member is a node of a cluster. It is safe for concurrent use.
type Member struct {
	// conns are the connections to servers.
	conns     *connrotation.Dialer
	closed    atomic.Bool
	cfg       Config
	log       *slog.Logger
	kept      kept
	key       *ecdsa.PrivateKey
	authority *x509.Certificate
	// server is the address that the user named.
	server string
	link   *link
	clock  *serverClock
	// refused tells that a server did not take the node's certificate.
	refused bool
	// deleted tells that the node's object was gone when the member started.
	deleted bool
	// share is this node's part in spreading renewals.
	share float64

	client, serving atomic.Pointer[issued]
	// wake has Run look at the certificates now.
	wake chan struct{}

	mu        sync.Mutex
	info      clusterinfo.Info
	watchers  []func(clusterinfo.Info)
	addresses []netip.Addr
}

// RESTConfig is for clients of the API. Their requests go over one connection, to
// a server that answers, in the node's name; a renewed certificate and a moved
// server need no new client.
func (m *Member) RESTConfig() *rest.Config { return m.restConfig() }

// Servers are where the cluster's servers are reached, HOST:PORT, the one that
// answered last first.
func (m *Member) Servers() []string { return m.link.list() }

// Dial returns a TLS connection to one of the Servers, in the node's name, that
// speaks one of the protocols (ALPN).
func (m *Member) Dial(ctx context.Context, server string, protocols ...string) (net.Conn, error) {
	return m.link.connectTo(ctx, server, protocols...)
}

// Authority is the cluster's server authority.
func (m *Member) Authority() *x509.Certificate { return m.authority }

// AuthorityHash is the authority's as tokens give it.
func (m *Member) AuthorityHash() string { return (&pki.Authority{Cert: m.authority}).Hash() }

// Key is the node's: one for its folder's life.
func (m *Member) Key() crypto.Signer { return m.key }

// certificate is what the node shows to servers, nil if it has none yet.
func (m *Member) certificate() *tls.Certificate {
	if c := m.client.Load(); c != nil {
		return &c.tls
	}
	return nil
}

// ServingCertificate is what the node's API shows. It is for
// tls.Config.GetCertificate.
func (m *Member) ServingCertificate(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	if c := m.serving.Load(); c != nil {
		return &c.tls, nil
	}
	return nil, errors.New("the node has no serving certificate yet")
}

// ClientCAs verify the callers of the node's API.
func (m *Member) ClientCAs() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(m.Info().ClientCA)
	return pool
}

// Info is what is known of the cluster.
func (m *Member) Info() clusterinfo.Info {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.info
}

// OnInfo has f called, from Run, whenever something else is known of the cluster.
func (m *Member) OnInfo(f func(clusterinfo.Info)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.watchers = append(m.watchers, f)
}

// Reconnect closes all connections to servers: of one that is dead nobody tells
// for minutes.
func (m *Member) Reconnect() { m.conns.CloseAll() }

// Close closes the connections to servers, when nothing is under way any more.
func (m *Member) Close() {
	m.closed.Store(true)
	m.conns.CloseAll()
}

// dial makes a plain connection. net/http goes on dialling for requests that have
// ended: what comes of that after Close is closed here.
func (m *Member) dial(ctx context.Context, network, address string) (net.Conn, error) {
	conn, err := m.conns.DialContext(ctx, network, address)
	if err == nil && m.closed.Load() {
		_ = conn.Close() // nobody waits for it
		return nil, net.ErrClosed
	}
	return conn, err
}

// SetAddresses has the serving certificate be for these. Connections from other
// addresses are given up.
func (m *Member) SetAddresses(ips []netip.Addr) {
	m.mu.Lock()
	moved := len(m.addresses) > 0 && !slices.Equal(m.addresses, ips)
	m.addresses = slices.Clone(ips)
	m.mu.Unlock()
	if moved {
		m.Reconnect()
	}
	select {
	case m.wake <- struct{}{}:
	default:
	}
}

// learn takes what a server says of the cluster.
func (m *Member) learn(i clusterinfo.Info) error {
	m.mu.Lock()
	same := m.info.Equal(i)
	m.info = i
	watchers := slices.Clone(m.watchers)
	m.mu.Unlock()
	if same {
		return nil
	}
	m.link.follow(hostPorts(i.Servers))
	for _, f := range watchers {
		f(i)
	}
	return m.kept.saveInfo(i)
}
