package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"sync"

	"skiff/hostaddr"
	"skiff/server/pki"
)

// addresses are what this box is known by. Those that the user left open change
// while the server runs, as the box's do. They are safe for concurrent use.
type addresses struct {
	// fixed tells that the user named the node's addresses.
	fixed bool
	// named is the user's address for others to reach the server at.
	named netip.Addr

	mu      sync.Mutex
	nodeIPs []netip.Addr
	// changed get a value when the addresses have.
	changed []chan struct{}
}

// findAddresses returns what the user named, and what the box has where nothing
// was.
func (c *Config) findAddresses() (*addresses, error) {
	a := &addresses{fixed: len(c.NodeIPs) > 0, named: c.AdvertiseAddress, nodeIPs: c.NodeIPs}
	if a.fixed {
		return a, nil
	}
	var err error
	a.nodeIPs, err = hostaddr.FindOrLoopback(c.inCluster)
	return a, err
}

// ofNode returns the node's addresses.
func (a *addresses) ofNode() []netip.Addr {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.nodeIPs
}

// ofServer returns where others reach the server.
func (a *addresses) ofServer() netip.Addr {
	if a.named.IsValid() {
		return a.named
	}
	return a.ofNode()[0]
}

// published returns what others are told: nothing while there is loopback alone,
// which to them is themselves.
func (a *addresses) published() []netip.Addr {
	if addr := a.ofServer(); !addr.IsLoopback() {
		return []netip.Addr{addr}
	}
	return nil
}

// changes returns a channel that gets a value whenever the addresses have changed.
func (a *addresses) changes() <-chan struct{} {
	a.mu.Lock()
	defer a.mu.Unlock()
	c := make(chan struct{}, 1)
	a.changed = append(a.changed, c)
	return c
}

// set tells whether the node's addresses are other ones from now on.
func (a *addresses) set(ips []netip.Addr) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if slices.Equal(a.nodeIPs, ips) {
		return false
	}
	a.nodeIPs = ips
	for _, c := range a.changed {
		select {
		case c <- struct{}{}:
		default: // it will look anyway
		}
	}
	return true
}

// inCluster tells whether an address is of the cluster's own ranges: a bridge of
// an earlier run does not name the node.
func (c *Config) inCluster(a netip.Addr) bool {
	for _, list := range [][]netip.Prefix{c.ClusterCIDRs, c.ServiceCIDRs} {
		for _, p := range list {
			if p.Contains(a) {
				return true
			}
		}
	}
	return false
}

// Address is what the box is known by with this configuration.
func (c Config) Address() (netip.Addr, error) {
	switch {
	case c.AdvertiseAddress.IsValid():
		return c.AdvertiseAddress, nil
	case len(c.NodeIPs) > 0:
		return c.NodeIPs[0], nil
	}
	ips, err := hostaddr.Find(c.inCluster)
	if err != nil {
		return netip.Addr{}, err
	}
	return ips[0], nil
}

// external is where others reach this server, host:port.
func (cp *controlPlane) external() string {
	return net.JoinHostPort(cp.addrs.ofServer().String(), fmt.Sprint(cp.cfg.HTTPSPort))
}

// url is where others reach this server.
func (cp *controlPlane) url() string { return "https://" + cp.external() }

// servingNames are what the server's certificate is valid for.
func (cp *controlPlane) servingNames() pki.ServerNames {
	return pki.ServerNames{
		NodeName: cp.cfg.NodeName, ClusterDomain: cp.cfg.ClusterDomain, ServiceIPs: cp.serviceIPs(),
		NodeIPs: append([]netip.Addr{cp.addrs.ofServer()}, cp.addrs.ofNode()...), Extra: cp.cfg.TLSSANs,
	}
}

// followAddress has all that names this box follow its address, until ctx ends.
// What users fixed stays.
func (cp *controlPlane) followAddress(ctx context.Context) error {
	if cp.addrs.fixed {
		return nil
	}
	return hostaddr.Watch(ctx, cp.cfg.inCluster, func(ips []netip.Addr) {
		before := cp.addrs.ofNode()
		if !cp.addrs.set(ips) {
			return
		}
		slog.Info("this box's address changed, following it", "from", before, "to", ips)
		if err := cp.moved(ips); err != nil {
			slog.Error("not all of this server follows its new address; a restart makes it", "err", err)
		}
	})
}

// moved tells those of the changed address that do not ask by themselves.
func (cp *controlPlane) moved(ips []netip.Addr) error {
	errs := []error{cp.serving.SetNames(cp.servingNames().Names())}
	if cp.node != nil {
		errs = append(errs,
			cp.kubelet.SetNames(pki.KubeletServing(cp.cfg.NodeName, ips).Names),
			cp.node.SetNodeIPs(ips))
	}
	if cp.kubeconfig != nil {
		errs = append(errs, cp.kubeconfig.Write())
	}
	return errors.Join(errs...)
}
