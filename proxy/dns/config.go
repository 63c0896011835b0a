package dns

import (
	"cmp"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"

	"github.com/miekg/dns"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation"
)

// The keys of the ConfigMap clusterinfo.DNSName, by which users tell all nodes' DNS
// more than the cluster and the boxes know. Each holds lines; what follows # is a
// comment:
//
//	upstream: |                  # asked in place of those in the box's resolv.conf
//	  192.0.2.53
//	stub-domains: |              # asked for one domain and all below
//	  corp.example 10.1.0.53 10.1.0.54:5353
//	hosts: |                     # as in /etc/hosts
//	  192.168.1.5 nas.home printer.home
const (
	keyUpstream = "upstream"
	keyStubs    = "stub-domains"
	keyHosts    = "hosts"
)

// settings are what the ConfigMap says.
type settings struct {
	// upstream are the servers for all other names, host:port; none means those of
	// the box.
	upstream []string
	// stubs are the domains that have servers of their own, the most specific
	// first.
	stubs []stub
	// hosts are the addresses of names, in lower case and with a dot at the end;
	// names are the names of addresses.
	hosts map[string][]netip.Addr
	names map[netip.Addr][]string
}

type stub struct {
	domain  string
	servers []string
}

// parseSettings reads the ConfigMap, nil for none. What is wrong is left out, and
// told; own are the DNS's own addresses, which it would ask forever.
func parseSettings(cm *corev1.ConfigMap, own []netip.Addr) (s settings, errs []error) {
	s = settings{hosts: map[string][]netip.Addr{}, names: map[netip.Addr][]string{}}
	if cm == nil {
		return s, nil
	}
	for key := range cm.Data {
		if key != keyUpstream && key != keyStubs && key != keyHosts {
			errs = append(errs, fmt.Errorf("there is no key %q, only %s, %s and %s", key, keyUpstream, keyStubs, keyHosts))
		}
	}
	each := func(key string, take func(fields []string) []error) {
		n := 0
		for line := range strings.Lines(cm.Data[key]) {
			n++
			text, _, _ := strings.Cut(line, "#")
			if fields := strings.Fields(text); len(fields) > 0 {
				for _, err := range take(fields) {
					errs = append(errs, fmt.Errorf("%s: line %d: %w", key, n, err))
				}
			}
		}
	}
	each(keyUpstream, func(fields []string) []error {
		servers, errs := parseServers(fields, own)
		s.upstream = append(s.upstream, servers...)
		return errs
	})
	each(keyStubs, func(fields []string) []error { return s.addStub(fields, own) })
	each(keyHosts, s.addHost)
	// The order of a map is no order.
	slices.SortFunc(errs, func(a, b error) int { return cmp.Compare(a.Error(), b.Error()) })
	slices.SortStableFunc(s.stubs, func(a, b stub) int { return cmp.Compare(dns.CountLabel(b.domain), dns.CountLabel(a.domain)) })
	return s, errs
}

// addStub takes DOMAIN SERVER...
func (s *settings) addStub(fields []string, own []netip.Addr) []error {
	domain, err := parseName(fields[0])
	if err == nil && len(fields) == 1 {
		err = fmt.Errorf("%s has no server, write DOMAIN SERVER", fields[0])
	}
	if err != nil {
		return []error{err}
	}
	servers, errs := parseServers(fields[1:], own)
	if len(servers) > 0 {
		s.stubs = append(s.stubs, stub{domain, servers})
	}
	return errs
}

// addHost takes ADDRESS NAME...
func (s *settings) addHost(fields []string) (errs []error) {
	addr, err := netip.ParseAddr(fields[0])
	switch {
	case err != nil:
		return []error{fmt.Errorf("%q is not an IP address, write ADDRESS NAME", fields[0])}
	case len(fields) == 1:
		return []error{fmt.Errorf("%s has no name, write ADDRESS NAME", fields[0])}
	}
	for _, f := range fields[1:] {
		name, err := parseName(f)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		s.hosts[name] = append(s.hosts[name], addr)
		s.names[addr] = append(s.names[addr], name)
	}
	return errs
}

func parseName(text string) (string, error) {
	name := strings.ToLower(strings.TrimSuffix(text, "."))
	if len(validation.IsDNS1123Subdomain(name)) > 0 {
		return "", fmt.Errorf("%q is not a domain name", text)
	}
	return dns.Fqdn(name), nil
}

// parseServers reads addresses with or without a port; those that are right are
// returned beside what is wrong with the others.
func parseServers(fields []string, own []netip.Addr) (servers []string, errs []error) {
	for _, f := range fields {
		at, err := netip.ParseAddrPort(f)
		if err != nil {
			addr, err := netip.ParseAddr(f)
			if err != nil {
				errs = append(errs, fmt.Errorf("%q is not the IP address of a server", f))
				continue
			}
			at = netip.AddrPortFrom(addr, 53)
		}
		if slices.Contains(own, at.Addr()) {
			errs = append(errs, fmt.Errorf("%s is this DNS itself", f))
			continue
		}
		servers = append(servers, net.JoinHostPort(at.Addr().String(), fmt.Sprint(at.Port())))
	}
	return servers, errs
}

// stubFor returns the servers of the most specific stub domain that a name is in.
func (s *settings) stubFor(name string) (servers []string, ok bool) {
	for _, stub := range s.stubs {
		if dns.IsSubDomain(stub.domain, name) {
			return stub.servers, true
		}
	}
	return nil, false
}
