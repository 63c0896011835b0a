// Package proxy makes the cluster's services work on one node: it follows the
// services and their endpoints in the process's shared informers, keeps the
// kernel's rules equal to them, and answers DNS.
package proxy

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/tools/cache"

	"skiff/latch"
	"skiff/proxy/dns"
	"skiff/proxy/healthcheck"
	"skiff/proxy/local"
	"skiff/proxy/nft"
	"skiff/proxy/service"
)

// Config says what node a Proxy works for, and in what cluster.
type Config struct {
	NodeName string
	// NodeIPs are the node's addresses, one per family. SetNodeIPs changes them.
	NodeIPs       []netip.Addr
	PodCIDRs      []netip.Prefix
	ServiceCIDRs  []netip.Prefix
	ClusterDNS    []netip.Addr
	ClusterDomain string
	// DNSConfig is an informer of the ConfigMap by which users configure DNS, and of
	// no other. Whoever passes it runs it; nil leaves DNS without.
	DNSConfig cache.SharedIndexInformer
	// DisableServices leaves the rules for services to another program,
	// DisableDNS the cluster's DNS.
	DisableServices, DisableDNS bool
}

// Dataplane carries out service rules.
type Dataplane interface {
	// Reset replaces all rules.
	Reset(service.Rules) error
	// Apply changes rules. After an error the state is unknown until Reset.
	Apply([]service.Change) error
}

// Proxy is one node's service proxy and DNS.
type Proxy struct {
	cfg      Config
	services *rules
	kernel   *kernel
	healthz  *healthcheck.Proxy
	dns      *dns.Server

	mu      sync.Mutex
	nodeIPs []netip.Addr
	// running tells that addresses and routes are there, and follow nodeIPs.
	running bool
}

// New returns a Proxy over the factory's informers. It must be called before they
// and cfg.DNSConfig are started.
func New(cfg Config, factory informers.SharedInformerFactory) (*Proxy, error) {
	p := &Proxy{cfg: cfg, nodeIPs: cfg.NodeIPs}
	if !cfg.DisableDNS {
		source, _, err := dns.NewSource(factory)
		if err != nil {
			return nil, err
		}
		p.dns, err = dns.New(dns.Config{Domain: cfg.ClusterDomain, Listen: cfg.ClusterDNS, Source: source, ConfigMap: cfg.DNSConfig})
		if err != nil {
			return nil, err
		}
	}
	if cfg.DisableServices {
		return p, nil
	}
	var err error
	if p.kernel, err = newKernel(cfg); err != nil {
		return nil, err
	}
	node := service.Node{Name: cfg.NodeName, Local: p.ownAddresses(), IPs: cfg.NodeIPs}
	if p.services, err = newRules(node, factory, p.kernel, newMetrics(p.kernel.families())); err != nil {
		return nil, err
	}
	p.healthz = healthcheck.NewProxy(p.services.health, p.kernel.families())
	return p, nil
}

// ownAddresses are the service addresses that this node answers itself.
func (p *Proxy) ownAddresses() []netip.Addr {
	if p.cfg.DisableDNS {
		return nil
	}
	return p.cfg.ClusterDNS
}

// Run works until ctx ends. It leaves the kernel's rules as they are, so that
// services go on working while Skiff restarts. ready is called once services and
// DNS are there.
func (p *Proxy) Run(ctx context.Context, ready func()) error {
	if p.kernel != nil {
		defer p.kernel.close()
	}
	if err := p.ensureLocal(func() { p.running = true }); err != nil {
		return err
	}
	group, ctx := errgroup.WithContext(ctx)
	up := latch.New(2) // services, DNS
	start := func(enabled bool, run func(ctx context.Context, ready func()) error) {
		if !enabled {
			up.Done()
			return
		}
		group.Go(func() error { return run(ctx, up.Done) })
	}
	if p.services != nil {
		group.Go(func() error { return p.healthz.Run(ctx, fmt.Sprintf(":%d", healthcheck.Port)) })
		group.Go(func() error { return p.services.checks.Run(ctx) })
	}
	start(p.services != nil, p.services.run)
	start(p.dns != nil, p.dns.Run)
	group.Go(func() error {
		if up.Wait(ctx) == nil {
			ready()
		}
		return nil
	})
	return group.Wait()
}

// SetNodeIPs tells that the node's addresses are other ones from now on.
func (p *Proxy) SetNodeIPs(ips []netip.Addr) error {
	if p.services != nil {
		p.services.setNodeIPs(ips)
	}
	return p.ensureLocal(func() { p.nodeIPs = ips })
}

// ensureLocal makes the node's own addresses and routes what they must be after
// change, once they are needed.
func (p *Proxy) ensureLocal(change func()) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	change()
	if !p.running {
		return nil
	}
	return local.Ensure(local.Config{Addresses: p.ownAddresses(), ServiceCIDRs: p.cfg.ServiceCIDRs, Sources: p.nodeIPs})
}

// Collectors returns the metrics of the parts that run.
func (p *Proxy) Collectors() (list []prometheus.Collector) {
	if p.dns != nil {
		list = append(list, p.dns)
	}
	if p.services != nil {
		list = append(list, p.services.metrics.collectors()...)
		list = append(list, p.kernel.collectors()...)
		list = append(list, p.healthz.Collectors()...)
	}
	return list
}

// Remove removes from this box what a Proxy made: rules, addresses, routes.
func Remove(clusterDNS []netip.Addr) error {
	return errors.Join(nft.Delete(), local.Remove(clusterDNS))
}

// retryAfter is how long a failed change waits before all rules are made anew.
const retryAfter = time.Second
