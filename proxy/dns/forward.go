package dns

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/miekg/dns"
)

// upstreamTimeout bounds the wait for one server, before the next is asked.
const upstreamTimeout = 2 * time.Second

var errNoUpstream = errors.New("no upstream DNS server is configured")

// forwarder asks other servers. It keeps in mind which ones did not answer, and
// asks them last for a while.
type forwarder struct {
	now func() time.Time

	mu sync.Mutex
	// silent is when a server did not answer.
	silent map[string]time.Time
}

// silentFor is how long a server that did not answer is asked last.
const silentFor = 30 * time.Second

func newForwarder() *forwarder { return &forwarder{now: time.Now, silent: map[string]time.Time{}} }

// ask returns the first answer that is one. The servers are asked in their order,
// as resolv.conf(5) has it.
func (f *forwarder) ask(ctx context.Context, req *dns.Msg, servers []string) (*dns.Msg, error) {
	servers = f.order(servers)
	if len(servers) == 0 {
		return nil, errNoUpstream
	}
	var errs []error
	for _, server := range servers {
		resp, err := exchange(ctx, req, server)
		if err == nil && resp.Rcode != dns.RcodeServerFailure && resp.Rcode != dns.RcodeRefused {
			f.heard(server)
			return resp, nil
		}
		f.missed(server)
		if err == nil {
			err = fmt.Errorf("%s answers %s", server, dns.RcodeToString[resp.Rcode])
		}
		errs = append(errs, err)
		if ctx.Err() != nil {
			break
		}
	}
	return nil, errors.Join(errs...)
}

// order puts the servers that did not answer lately behind the others.
func (f *forwarder) order(servers []string) []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.silent) == 0 || len(servers) < 2 {
		return servers
	}
	now := f.now()
	for server, since := range f.silent {
		if age := now.Sub(since); age < 0 || age >= silentFor {
			delete(f.silent, server)
		}
	}
	servers = slices.Clone(servers)
	slices.SortStableFunc(servers, func(a, b string) int { return f.silent[a].Compare(f.silent[b]) })
	return servers
}

func (f *forwarder) heard(server string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.silent, server)
}

func (f *forwarder) missed(server string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.silent[server] = f.now()
}

// exchange asks over UDP, and over TCP if the answer did not fit.
func exchange(ctx context.Context, req *dns.Msg, server string) (*dns.Msg, error) {
	ctx, cancel := context.WithTimeout(ctx, upstreamTimeout)
	defer cancel()
	resp, _, err := (&dns.Client{Net: "udp", UDPSize: 1232}).ExchangeContext(ctx, req, server)
	if err == nil && resp.Truncated {
		resp, _, err = (&dns.Client{Net: "tcp"}).ExchangeContext(ctx, req, server)
	}
	if err != nil {
		return nil, fmt.Errorf("ask %s: %w", server, err)
	}
	return resp, nil
}

// resolvConf reads the upstream servers from a resolv.conf(5), again whenever it
// was asked after the file's servers may have changed.
type resolvConf struct {
	path string
	// own are addresses that this server itself listens on: asking them would
	// never end.
	own []netip.Addr
	now func() time.Time

	mu      sync.Mutex
	read    time.Time
	servers []string
}

// rereadAfter is how old what was read of the file may be.
const rereadAfter = 10 * time.Second

func (r *resolvConf) list() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := r.now()
	if age := now.Sub(r.read); age >= 0 && age < rereadAfter {
		return r.servers
	}
	r.read, r.servers = now, nil
	conf, err := dns.ClientConfigFromFile(r.path)
	if err != nil {
		return nil
	}
	for _, s := range conf.Servers {
		if addr, err := netip.ParseAddr(s); err != nil || slices.Contains(r.own, addr) {
			continue
		}
		r.servers = append(r.servers, net.JoinHostPort(s, conf.Port))
	}
	return r.servers
}
