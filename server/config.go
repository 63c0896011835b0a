package server

import (
	"errors"
	"fmt"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation"

	"skiff/agent/node"
	"skiff/proxy/overlay"
	"skiff/server/pki"
)

// Config is what a server is started with. The command line, the configuration
// file and the environment fill it; Validate completes and checks it.
type Config struct {
	// DataDir holds everything that must survive a restart.
	DataDir string
	// NodeName is the name of this box's Node object; "" means the one that it
	// has, at first its host name.
	NodeName string
	// NodeIPs are this box's addresses as the cluster sees them, at most one per
	// family; none means the address of the default route's interface, also when
	// that changes.
	NodeIPs []netip.Addr
	// BindAddress is what the HTTPS port listens on.
	BindAddress netip.Addr
	HTTPSPort   int
	// AdvertiseAddress is where others reach this server; invalid means the
	// node's.
	AdvertiseAddress netip.Addr
	// TLSSANs are further host names and addresses for the serving certificate.
	TLSSANs []string
	// Token, or what TokenFile holds, is what agents join with: a join token, or
	// its secret. Without both, one is made on first start, and kept.
	Token     string
	TokenFile string
	join      pki.Token // read from them by Validate

	ClusterCIDRs []netip.Prefix
	ServiceCIDRs []netip.Prefix
	// ClusterDNS are the service addresses of the cluster's DNS; none means
	// DefaultClusterDNS.
	ClusterDNS    []netip.Addr
	ClusterDomain string
	// Overlay is how pods of different nodes reach each other.
	Overlay overlay.Mode

	// DisableAgent runs the control plane only.
	DisableAgent bool
	// Disable names the Parts that are not started.
	Disable []string

	Node NodeConfig

	// NodeLoss says when nodes count as lost.
	NodeLoss NodeLoss

	// WriteKubeconfig is the file that the administrator's credentials go to; ""
	// writes none.
	WriteKubeconfig string
}

// NodeConfig is what a node is started with, whether it runs in the server's
// process or in an agent's.
type NodeConfig struct {
	// ContainerRuntimeEndpoint is the socket of a CRI runtime to use in place of
	// the embedded containerd.
	ContainerRuntimeEndpoint string
	// MTU of the pods' links, 0 for what fits.
	MTU    int
	Labels map[string]string
	Taints []corev1.Taint
}

// Parts are what Disable can name. Manifests are applied beside the controllers,
// and not without them.
var Parts = []string{"dns", "proxy", "scheduler", "controllers", "manifests"}

// Validate fills what was left open and returns every mistake, one line each.
func (c *Config) Validate() error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }

	if c.DataDir == "" {
		bad("data-dir: must not be empty")
	}
	for _, path := range []*string{&c.DataDir, &c.WriteKubeconfig} {
		if abs, err := filepath.Abs(*path); err == nil && *path != "" {
			*path = abs
		}
	}
	if c.HTTPSPort < 1 || c.HTTPSPort > 65535 {
		bad("https-port: %d is not a port, use 1 to 65535", c.HTTPSPort)
	}
	if !c.BindAddress.IsValid() {
		c.BindAddress = netip.IPv4Unspecified()
	}
	errs = append(errs, node.Validate(c.NodeName, c.NodeIPs)...)
	errs = append(errs, c.validateNetwork()...)
	errs = append(errs, c.NodeLoss.validate()...)
	for _, part := range c.Disable {
		if !slices.Contains(Parts, part) {
			bad("disable: there is no part %q, only %s", part, strings.Join(Parts, ", "))
		}
	}
	for _, san := range c.TLSSANs {
		if _, err := netip.ParseAddr(san); err == nil {
			continue
		}
		if msgs := validation.IsDNS1123Subdomain(strings.TrimPrefix(san, "*.")); len(msgs) > 0 {
			bad("tls-san: %q is neither an address nor a host name", san)
		}
	}
	if err := c.readToken(); err != nil {
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

func (c *Config) validateNetwork() (errs []error) {
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	for i, p := range c.ClusterCIDRs {
		c.ClusterCIDRs[i] = p.Masked()
		if p.Addr().Is4() && p.Bits() > 24 {
			bad("cluster-cidr: %s is too small for a node's block of addresses, use /24 or larger", p)
		}
	}
	for i, p := range c.ServiceCIDRs {
		c.ServiceCIDRs[i] = p.Masked()
		if p.Addr().BitLen()-p.Bits() < 3 || p.Addr().BitLen()-p.Bits() > 20 {
			bad("service-cidr: %s must have between 8 and 1048576 addresses", p)
		}
	}
	mode, err := overlay.ParseMode(string(c.Overlay))
	if err != nil {
		bad("overlay: %w", err)
	}
	c.Overlay = mode
	for _, p := range c.ClusterCIDRs {
		for _, s := range c.ServiceCIDRs {
			if p.Overlaps(s) {
				bad("cluster-cidr %s and service-cidr %s overlap, choose ranges that do not", p, s)
			}
		}
	}
	errs = append(errs, c.completeClusterDNS()...)
	if msgs := validation.IsDNS1123Subdomain(c.ClusterDomain); len(msgs) > 0 {
		bad("cluster-domain: %q is not a domain: %s", c.ClusterDomain, msgs[0])
	}
	return errs
}

// Disabled tells whether a part was switched off.
func (c *Config) Disabled(part string) bool { return slices.Contains(c.Disable, part) }

func joinPrefixes(ps []netip.Prefix) string {
	s := make([]string, len(ps))
	for i, p := range ps {
		s[i] = p.String()
	}
	return strings.Join(s, ",")
}
