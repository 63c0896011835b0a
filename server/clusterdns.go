package server

import (
	"fmt"
	"net/netip"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"skiff/server/controllers/kubedns"
)

// DefaultClusterDNS is the address of the cluster's DNS where none is named: the
// tenth one of the first service range, as users expect it from other
// distributions.
func DefaultClusterDNS(serviceCIDRs []netip.Prefix) (netip.Addr, error) {
	if len(serviceCIDRs) == 0 {
		return netip.Addr{}, fmt.Errorf("cluster-dns: there is no service range to take the address from")
	}
	cidr := serviceCIDRs[0].Masked()
	a := cidr.Addr()
	for range 10 {
		a = a.Next()
	}
	if !cidr.Contains(a) {
		return netip.Addr{}, fmt.Errorf("cluster-dns: %s has no tenth address to be the DNS's, name another one of it", cidr)
	}
	return a, nil
}

// completeClusterDNS fills in the DNS's address, or checks those that were named.
func (c *Config) completeClusterDNS() (errs []error) {
	if len(c.ClusterDNS) == 0 {
		a, err := DefaultClusterDNS(c.ServiceCIDRs)
		if err != nil {
			return []error{err}
		}
		c.ClusterDNS = []netip.Addr{a}
		return nil
	}
	for _, a := range c.ClusterDNS {
		if err := c.checkClusterDNS(a); err != nil {
			errs = append(errs, err)
		}
	}
	return errs
}

func (c *Config) checkClusterDNS(a netip.Addr) error {
	for _, p := range c.ServiceCIDRs {
		switch {
		case !p.Contains(a):
		case a == p.Masked().Addr():
			return fmt.Errorf("cluster-dns: %s is the address of the range %s itself, choose another one of it", a, p)
		case a == firstAddress(p):
			return fmt.Errorf("cluster-dns: %s is the API server's service address, choose another one of %s", a, p)
		default:
			return nil
		}
	}
	return fmt.Errorf("cluster-dns: %s is not in the service range %s", a, joinPrefixes(c.ServiceCIDRs))
}

// dnsAddresses are those of the service kube-dns, which can have one of each
// family; none if the cluster's DNS is another program.
func (c *Config) dnsAddresses() (list []netip.Addr) {
	if c.Disabled("dns") {
		return nil
	}
	for _, a := range c.ClusterDNS {
		if !slices.ContainsFunc(list, func(b netip.Addr) bool { return a.Is4() == b.Is4() }) {
			list = append(list, a)
		}
	}
	return list
}

// serviceOwners keeps the addresses of the server's own services from other
// services, which could be faster while the cluster is new.
func (c *Config) serviceOwners() map[netip.Addr]types.NamespacedName {
	owners := map[netip.Addr]types.NamespacedName{}
	for _, p := range c.ServiceCIDRs {
		owners[firstAddress(p)] = types.NamespacedName{Namespace: metav1.NamespaceDefault, Name: "kubernetes"}
	}
	if !c.Disabled("dns") {
		for _, a := range c.ClusterDNS {
			owners[a] = types.NamespacedName{Namespace: kubedns.Namespace, Name: kubedns.Name}
		}
	}
	return owners
}
