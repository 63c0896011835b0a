package server

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"

	"skiff/agent/node"
	"skiff/datadir"
	"skiff/server/pki"
	"skiff/store/cluster"
)

const (
	// kubeletPort is that of the node's own API.
	kubeletPort = 10250
	// idleNodeConnection is how long a connection to a node is kept unused.
	idleNodeConnection = 90 * time.Second
	// readyTimeout bounds the wait for this box's node before the start counts as
	// failed for those who watch it; the server itself goes on.
	readyTimeout = 2 * time.Minute
)

// started is when the process began.
var started = time.Now()

// Run runs a server until ctx ends, or a part of it cannot go on. It returns
// after everything that it started has stopped; containers run on.
//
//	state: disk ─┬─ identities ─┬─ API server ─┬─ controllers, scheduler
//	             ├─ store ──────┘              ├─ node: proxy, DNS
//	             └─ runtime ───────────────────┴─ node: agent
//
// It stops in the reverse order, so that what is above can still say goodbye to
// what is below.
func Run(ctx context.Context, cfg Config, observer Observer) error {
	return cfg.adviseOnDisk(run(ctx, cfg, observer))
}

func run(ctx context.Context, cfg Config, observer Observer) error {
	if err := node.CheckHost(string(cfg.Overlay), cfg.ClusterCIDRs, cfg.ServiceCIDRs); err != nil {
		return err
	}
	addrs, err := cfg.findAddresses()
	if err != nil {
		return err
	}
	listener, err := listen(ctx, cfg)
	if err != nil {
		return err
	}
	defer listener.Close()
	dir, err := cfg.openDataDir()
	if err != nil {
		return err
	}
	defer dir.Close()
	base, err := openState(cfg, dir, observer)
	if err != nil {
		return err
	}
	defer base.close()
	cp, err := newControlPlane(cfg, addrs, base)
	if err != nil {
		return err
	}
	return cp.run(ctx, listener, observer)
}

// listen takes the port first: a second server on the box must not touch the
// first one's state.
func listen(ctx context.Context, cfg Config) (net.Listener, error) {
	at := net.JoinHostPort(cfg.BindAddress.String(), strconv.Itoa(cfg.HTTPSPort))
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", at)
	if errors.Is(err, syscall.EADDRINUSE) {
		if owner, _ := datadir.OwnerOf(cfg.DataDir); owner != nil {
			return nil, fmt.Errorf("data-dir: %w", &datadir.InUseError{Dir: cfg.DataDir, Owner: owner})
		}
	}
	if err != nil {
		return nil, fmt.Errorf("https-port: cannot listen on %s, stop what does (ss -tlnp) or choose another port: %w", at, err)
	}
	return l, nil
}

// state is what a server stands on.
type state struct {
	pki   *pki.PKI
	store *cluster.Store
	token pki.Token
	// runtime waits for the container runtime, which at the first start takes
	// longer than all the rest; nil without an agent.
	runtime func() (*node.Runtime, error)
}

// openState opens everything that needs nothing else, at once: each part waits
// for the disk.
func openState(cfg Config, dir *datadir.Dir, observer Observer) (*state, error) {
	s := &state{}
	if !cfg.DisableAgent {
		s.runtime = node.StartRuntime(cfg.nodeConfig(nil), func(took time.Duration) { observer.Step("container runtime", took) })
	}
	var g errgroup.Group
	timed := func(what string, f func() error) {
		g.Go(func() error {
			begin := time.Now()
			if err := f(); err != nil {
				return err
			}
			observer.Step(what, time.Since(begin))
			return nil
		})
	}
	timed("identities", func() (err error) {
		if s.pki, err = pki.Open(pki.Config{Dir: cfg.pkiDir()}); err != nil {
			return err
		}
		s.token, err = cfg.keepToken(s.pki.Server)
		return err
	})
	timed("store", func() (err error) {
		s.store, err = cluster.Open(cluster.Config{Dir: cfg.storeDir(), NodeID: cfg.NodeName, Logger: slog.Default()})
		return err
	})
	err := g.Wait()
	if err == nil {
		err = cfg.mark(dir, s)
	}
	if err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

// close lets go in the reverse order of use.
func (s *state) close() {
	var errs []error
	if s.runtime != nil {
		if rt, err := s.runtime(); err == nil { // of an error its user has told
			errs = append(errs, rt.Close())
		}
	}
	if s.store != nil {
		errs = append(errs, s.store.Close())
	}
	if err := errors.Join(errs...); err != nil {
		slog.Error("stopping was not clean", "err", err)
	}
}

// tlsConfig is that of the one port.
func tlsConfig(cert *pki.Certificate) *tls.Config {
	return &tls.Config{
		MinVersion:     tls.VersionTLS12,
		ClientAuth:     tls.RequestClientCert,
		GetCertificate: cert.GetCertificate,
		NextProtos:     []string{"h2", "http/1.1"},
	}
}

// firstAddress is the first usable address of a range: the API server's own in
// the service range.
func firstAddress(p netip.Prefix) netip.Addr { return p.Masked().Addr().Next() }
