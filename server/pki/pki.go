package pki

import (
	"context"
	"crypto/ecdsa"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	"k8s.io/utils/clock"
)

// Config says where the identities are kept.
type Config struct {
	// Dir is made if it is missing, with mode 0700.
	Dir string
	// Clock is the wall clock; nil means the real one.
	Clock clock.WithTicker
	// Logger gets renewals and their failures; nil means slog.Default().
	Logger *slog.Logger
}

// PKI holds a cluster's authorities and the certificates issued here.
type PKI struct {
	// Server signs what API servers and kubelets show to clients.
	Server *Authority
	// Client signs what users, nodes and components show to the API server.
	Client *Authority
	// FrontProxy signs what the API server shows to aggregated API servers
	// (request header authentication).
	FrontProxy *Authority
	// ServiceAccountKey signs service account tokens.
	ServiceAccountKey *ecdsa.PrivateKey

	dir   string
	clock clock.WithTicker
	log   *slog.Logger

	mu     sync.Mutex
	leaves map[string]*Certificate
}

// Open reads the authorities in cfg.Dir and makes those that are missing.
func Open(cfg Config) (*PKI, error) {
	if err := os.MkdirAll(cfg.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("open identities: %w", err)
	}
	if err := os.Chmod(cfg.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("open identities: %w", err)
	}
	p := &PKI{dir: cfg.Dir, clock: cfg.Clock, log: cfg.Logger, leaves: map[string]*Certificate{}}
	if p.clock == nil {
		p.clock = clock.RealClock{}
	}
	if p.log == nil {
		p.log = slog.Default()
	}
	// At once, because each waits for the disk: on a card that takes 30 ms per
	// sync, one after another would cost a start 0.4 s.
	var g errgroup.Group
	g.Go(open(&p.Server, cfg.Dir, serverCA))
	g.Go(open(&p.Client, cfg.Dir, "client-ca"))
	g.Go(open(&p.FrontProxy, cfg.Dir, "front-proxy-ca"))
	g.Go(func() (err error) {
		p.ServiceAccountKey, err = loadOrCreateKey(filepath.Join(cfg.Dir, "service-account.key"))
		return err
	})
	if err := g.Wait(); err != nil {
		return nil, fmt.Errorf("open identities: %w", err)
	}
	return p, nil
}

// serverCA names the files of the server authority.
const serverCA = "server-ca"

func open(into **Authority, dir, name string) func() error {
	return func() error {
		a, err := openAuthority(dir, name)
		*into = a
		return err
	}
}

// Certificate returns the identity's certificate from disk, renewed if it is due
// or does not fit id, or issues it. Asking again for the same id.Name returns the
// same Certificate, with id's names.
func (p *PKI) Certificate(id Identity) (*Certificate, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if c, ok := p.leaves[id.Name]; ok {
		return c, c.SetNames(id.Names)
	}
	c := &Certificate{pki: p, id: id, path: filepath.Join(p.dir, id.Name+".pem")}
	if err := c.load(); err != nil {
		return nil, err
	}
	p.leaves[id.Name] = c
	return c, nil
}

// Check renews every certificate that is due; cheap if none is.
func (p *PKI) Check() error {
	p.mu.Lock()
	leaves := make([]*Certificate, 0, len(p.leaves))
	for _, c := range p.leaves {
		leaves = append(leaves, c)
	}
	p.mu.Unlock()
	var errs []error
	for _, c := range leaves {
		errs = append(errs, c.check())
	}
	return errors.Join(errs...)
}

// checkInterval is short enough for any clock jump to be noticed in good time:
// a handshake checks by itself, this is for certificates that lie in files.
const checkInterval = time.Hour

// Run calls Check every hour until ctx ends.
func (p *PKI) Run(ctx context.Context) error {
	t := p.clock.NewTicker(checkInterval)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-t.C():
			if err := p.Check(); err != nil {
				p.log.Warn("renewing certificates failed, next try in an hour", "err", err)
			}
		}
	}
}
