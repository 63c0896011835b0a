// Package dns is the cluster's DNS on one node: it answers for services and
// endpoints from the process's shared informers, and for all other names from a
// cache in front of the box's own resolvers.
package dns

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"strconv"
	"time"

	"github.com/miekg/dns"
	"golang.org/x/sync/errgroup"
	"k8s.io/client-go/tools/cache"
)

// Config says what a Server answers, and where.
type Config struct {
	// Domain is the cluster's domain without a dot at its end: "cluster.local".
	Domain string
	// Listen are the addresses to answer on; they must be this box's already.
	Listen []netip.Addr
	// Port is 53 but in tests.
	Port uint16
	// ResolvConf names the servers for all other names; "" means
	// /etc/resolv.conf.
	ResolvConf string
	Source     Source
	// ConfigMap is an informer of the ConfigMap skiff-dns alone. Whoever passes it
	// runs it; nil is that there is none.
	ConfigMap cache.SharedIndexInformer
}

// Server answers DNS questions.
type Server struct {
	cfg     Config
	handler *handler
}

// New returns a Server that does not listen yet. It must be called before the
// ConfigMap's informer runs.
func New(cfg Config) (*Server, error) {
	if cfg.Port == 0 {
		cfg.Port = 53
	}
	if cfg.ResolvConf == "" {
		cfg.ResolvConf = "/etc/resolv.conf"
	}
	upstream := &resolvConf{path: cfg.ResolvConf, own: cfg.Listen, now: time.Now}
	s := &Server{cfg: cfg, handler: &handler{
		zone:    &zone{origin: dns.CanonicalName(cfg.Domain), source: cfg.Source, servers: cfg.Listen},
		cache:   newResponseCache(time.Now),
		forward: newForwarder(),
		box:     upstream.list,
		metrics: newMetrics(),
		turn:    rand.IntN,
	}}
	s.configure(nil)
	return s, s.followConfig()
}

// Run answers until ctx ends. ready is called when all addresses are listened
// on.
func (s *Server) Run(ctx context.Context, ready func()) error {
	servers, err := s.listen(ctx)
	if err != nil {
		return err
	}
	var group errgroup.Group
	for _, srv := range servers {
		group.Go(srv.ActivateAndServe)
	}
	// A server that has not begun cannot be shut down, but ends with its socket.
	stop := context.AfterFunc(ctx, func() {
		for _, srv := range servers {
			_ = srv.Shutdown()
		}
		closeAll(servers)
	})
	defer stop()
	ready()
	if err := group.Wait(); err != nil && ctx.Err() == nil {
		return fmt.Errorf("serve DNS: %w", err)
	}
	return nil
}

func (s *Server) listen(ctx context.Context) (servers []*dns.Server, err error) {
	defer func() {
		if err != nil {
			closeAll(servers)
		}
	}()
	var lc net.ListenConfig
	for _, addr := range s.cfg.Listen {
		at := net.JoinHostPort(addr.String(), strconv.Itoa(int(s.cfg.Port)))
		packets, err := lc.ListenPacket(ctx, "udp", at)
		if err != nil {
			return servers, fmt.Errorf("listen for DNS on %s/udp: %w", at, err)
		}
		servers = append(servers, &dns.Server{PacketConn: packets, Handler: s.handler, UDPSize: 1232})
		stream, err := lc.Listen(ctx, "tcp", at)
		if err != nil {
			return servers, fmt.Errorf("listen for DNS on %s/tcp: %w", at, err)
		}
		servers = append(servers, &dns.Server{Listener: stream, Handler: s.handler})
	}
	return servers, nil
}

func closeAll(servers []*dns.Server) {
	for _, srv := range servers {
		if srv.PacketConn != nil {
			srv.PacketConn.Close()
		}
		if srv.Listener != nil {
			srv.Listener.Close()
		}
	}
}
