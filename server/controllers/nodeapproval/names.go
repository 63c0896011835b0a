package nodeapproval

import (
	"context"
	"crypto/x509"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/validation"

	"skiff/nodeaddr"
	"skiff/server/controller/csr"
)

// serving decides about a node's own serving certificate. It is signed by the
// authority that everybody trusts the API server by, so it must not be good for
// anything but the node.
func (r *reconciler) serving(ctx context.Context, req *x509.CertificateRequest) (verdict, error) {
	if v, err := r.claim(ctx, req, true); err != nil || v != (verdict{}) {
		return v, err
	}
	name := strings.TrimPrefix(req.Subject.CommonName, csr.NodeUser)
	for _, dns := range req.DNSNames {
		if dns != name && dns != "localhost" {
			return denied(ReasonNames, "%q is not a name of node %q", dns, name), nil
		}
	}
	for _, raw := range req.IPAddresses {
		ip, _ := netip.AddrFromSlice(raw)
		why, err := r.notAnAddressOf(name, ip.Unmap())
		if err != nil {
			return verdict{}, err
		}
		if why != "" {
			return denied(ReasonNames, "node %q cannot have the address %s: %s", name, ip.Unmap(), why), nil
		}
	}
	return approved("The names and addresses are the node's."), nil
}

// reserved tells why no node that joins can have this name, "" if one can.
func (r *reconciler) reserved(name string) string {
	if msgs := validation.IsDNS1123Subdomain(name); len(msgs) > 0 || len(name) > maxNodeName {
		return fmt.Sprintf("%q cannot name a node", name)
	}
	for _, dns := range r.ServerNames().DNS {
		parent, wildcard := strings.CutPrefix(dns, "*.")
		_, domain, _ := strings.Cut(name, ".")
		if name == dns || wildcard && domain == parent {
			return fmt.Sprintf("%q is a name of the server", name)
		}
	}
	return ""
}

// notAnAddressOf tells why an address cannot be the node's, "" if it can. Whether
// it is, only the node knows: its status says so once it runs.
func (r *reconciler) notAnAddressOf(name string, ip netip.Addr) (string, error) {
	within := func(ranges []netip.Prefix) bool {
		return slices.ContainsFunc(ranges, func(p netip.Prefix) bool { return p.Contains(ip) })
	}
	switch {
	case ip.IsLoopback():
		return "", nil
	case !ip.IsGlobalUnicast():
		return "it is no host's address", nil
	case within(r.ServiceCIDRs):
		return "it is in the range of services", nil
	case within(r.ClusterCIDRs):
		return "it is in the range of pods", nil
	case slices.Contains(r.ServerNames().IPs, ip):
		return "it is the server's", nil
	}
	nodes, err := r.nodes.List(labels.Everything())
	if err != nil {
		return "", err
	}
	for _, n := range nodes {
		if n.Name != name && nodeaddr.IsNode(n, ip) {
			return fmt.Sprintf("node %q has it; one that is gone lets go of it with: kubectl delete node %s", n.Name, n.Name), nil
		}
	}
	return "", nil
}
