package hollow

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"net/url"
	"path/filepath"
	"time"

	"golang.org/x/sync/errgroup"
	"k8s.io/client-go/rest"

	"skiff/agent/tunnel"
	"skiff/server/client"
	"skiff/server/pki"
)

// Config is where a fleet's server is.
type Config struct {
	// REST is a client's configuration, of which address and authority are taken.
	REST *rest.Config
	// DataDir is the server's.
	DataDir string
	// Dial reaches the server.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
}

// Fleet is a number of hollow agents.
type Fleet struct {
	cfg    Config
	pki    *pki.PKI
	ctx    context.Context
	cancel context.CancelFunc
	agents errgroup.Group
}

// New returns a fleet without agents, which lives until Stop, or until ctx ends.
func New(ctx context.Context, cfg Config) (*Fleet, error) {
	p, err := pki.Open(pki.Config{Dir: filepath.Join(cfg.DataDir, "pki")})
	if err != nil {
		return nil, err
	}
	f := &Fleet{cfg: cfg, pki: p}
	f.ctx, f.cancel = context.WithCancel(ctx)
	return f, nil
}

// Add makes an agent for the node and returns when the API has its node and its
// watches are open. It may be called concurrently.
func (f *Fleet) Add(node string) error {
	cfg, err := f.identity(node)
	if err != nil {
		return err
	}
	a, err := newAgent(node, cfg)
	if err != nil {
		return err
	}
	if err := a.register(f.ctx); err != nil {
		return fmt.Errorf("register %s: %w", node, err)
	}
	for _, w := range watches(node) {
		body, err := a.open(f.ctx, w)
		if err != nil {
			return fmt.Errorf("%s watches %s: %w", node, w.resource, err)
		}
		f.agents.Go(func() error { return f.ignoreStop(drain(body)) })
	}
	f.agents.Go(func() error { return f.ignoreStop(a.keepLease(f.ctx)) })
	f.agents.Go(func() error { return f.ignoreStop(f.keepTunnel(cfg)) })
	return nil
}

// keepTunnel keeps the way open by which the server would reach the node.
func (f *Fleet) keepTunnel(cfg *rest.Config) error {
	server, err := url.Parse(cfg.Host)
	if err != nil {
		return err
	}
	identity, err := rest.TLSConfigFor(cfg)
	if err != nil {
		return err
	}
	return tunnel.Run(f.ctx, tunnel.Config{
		Servers: func() []string { return []string{server.Host} },
		Dial: func(ctx context.Context, address string, protocols ...string) (net.Conn, error) {
			raw, err := f.cfg.Dial(ctx, "tcp", address)
			if err != nil {
				return nil, err
			}
			c := identity.Clone()
			c.NextProtos, c.ServerName = protocols, server.Hostname()
			conn := tls.Client(raw, c)
			return conn, conn.HandshakeContext(ctx)
		},
		NodeAPI: func(context.Context) (net.Conn, error) { return nil, errHollow },
		Allow:   func(netip.AddrPort) bool { return false },
		Log:     slog.Default(),
	})
}

var errHollow = errors.New("a hollow agent has no API")

// Stop ends the agents. It returns what one of them failed by: a fleet that lost
// some measures too little.
func (f *Fleet) Stop() error {
	f.cancel()
	return f.agents.Wait()
}

// ignoreStop lets be what came of ending.
func (f *Fleet) ignoreStop(err error) error {
	if f.ctx.Err() != nil {
		return nil
	}
	return err
}

// life is that of certificates: longer than any measurement.
const life = 24 * time.Hour

// identity is how the agent of a node reaches the server: by a connection that
// it shares with no other.
func (f *Fleet) identity(node string) (*rest.Config, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	id := pki.KubeletClient(node)
	cert, err := f.pki.Client.Sign(&x509.Certificate{
		Subject:     pkix.Name{CommonName: id.CommonName, Organization: id.Organizations},
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}, &key.PublicKey, time.Now(), life)
	if err != nil {
		return nil, err
	}
	der, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return nil, err
	}
	cfg := client.Remote(f.cfg.REST.Host, rest.TLSClientConfig{
		CAData:   f.pki.Server.PEM,
		CertData: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert}),
		KeyData:  pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der}),
	})
	cfg.Dial = f.cfg.Dial
	return cfg, nil
}
