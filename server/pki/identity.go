package pki

import (
	"net/netip"
	"slices"
	"time"
)

// DefaultLifetime is how long a leaf lives.
const DefaultLifetime = 365 * 24 * time.Hour

// Role says which authority signs an identity, and for which use.
type Role int

// The roles.
const (
	// ServerRole serves TLS; signed by PKI.Server.
	ServerRole Role = iota
	// ClientRole authenticates to the API server (and to kubelets); signed by
	// PKI.Client.
	ClientRole
	// FrontProxyRole authenticates to aggregated API servers; signed by
	// PKI.FrontProxy.
	FrontProxyRole
)

// Names are what a serving certificate is valid for.
type Names struct {
	DNS []string
	IPs []netip.Addr
}

// normal returns n sorted and without doubles, with 4-in-6 addresses unmapped.
func (n Names) normal() Names {
	out := Names{DNS: slices.Clone(n.DNS)}
	for _, ip := range n.IPs {
		out.IPs = append(out.IPs, ip.Unmap().WithZone(""))
	}
	slices.Sort(out.DNS)
	slices.SortFunc(out.IPs, netip.Addr.Compare)
	out.DNS, out.IPs = slices.Compact(out.DNS), slices.Compact(out.IPs)
	return out
}

// Identity describes a certificate.
type Identity struct {
	// Name is the file's, without ".pem".
	Name string
	Role Role
	// CommonName is the user's name, Organizations are the user's groups.
	CommonName    string
	Organizations []string
	Names         Names
	// Lifetime is DefaultLifetime if 0.
	Lifetime time.Duration
}

// ServerNames are the parts that an API server's names are made of.
type ServerNames struct {
	NodeName      string
	ClusterDomain string
	// ServiceIPs are those of the service kubernetes.default.
	ServiceIPs []netip.Addr
	// NodeIPs are the node's and the advertised addresses.
	NodeIPs []netip.Addr
	// Extra are further DNS names and addresses (--tls-san).
	Extra []string
}

// Names returns all names that clients reach the API server by.
func (s ServerNames) Names() Names {
	n := Names{
		DNS: []string{"localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc." + s.ClusterDomain},
		IPs: []netip.Addr{netip.MustParseAddr("127.0.0.1"), netip.IPv6Loopback()},
	}
	if s.NodeName != "" {
		n.DNS = append(n.DNS, s.NodeName)
	}
	n.IPs = append(append(n.IPs, s.ServiceIPs...), s.NodeIPs...)
	for _, e := range s.Extra {
		if ip, err := netip.ParseAddr(e); err == nil {
			n.IPs = append(n.IPs, ip)
		} else {
			n.DNS = append(n.DNS, e)
		}
	}
	return n
}

// APIServer is the serving certificate of the API server.
func APIServer(s ServerNames) Identity {
	return Identity{Name: "apiserver", Role: ServerRole, CommonName: "skiff-apiserver", Names: s.Names()}
}

// APIServerKubeletClient is how the API server shows itself to kubelets.
func APIServerKubeletClient() Identity {
	return Identity{Name: "apiserver-kubelet-client", Role: ClientRole, CommonName: "kube-apiserver-kubelet-client", Organizations: []string{"system:masters"}}
}

// FrontProxyClient is how the API server shows itself to aggregated API servers.
func FrontProxyClient() Identity {
	return Identity{Name: "front-proxy-client", Role: FrontProxyRole, CommonName: "front-proxy-client"}
}

// Admin is the cluster's administrator.
func Admin() Identity {
	return Identity{Name: "admin", Role: ClientRole, CommonName: "system:admin", Organizations: []string{"system:masters"}}
}

// ControllerManager, Scheduler and Proxy are the components' users. They need a
// certificate only where they run outside the API server's process.
func ControllerManager() Identity {
	return Identity{Name: "controller-manager", Role: ClientRole, CommonName: "system:kube-controller-manager"}
}

// Scheduler is the scheduler's user.
func Scheduler() Identity {
	return Identity{Name: "scheduler", Role: ClientRole, CommonName: "system:kube-scheduler"}
}

// Proxy is the service proxy's user.
func Proxy() Identity {
	return Identity{Name: "proxy", Role: ClientRole, CommonName: "system:kube-proxy"}
}

// KubeletClient is the user of a node's agent.
func KubeletClient(node string) Identity {
	return Identity{Name: "kubelet-client", Role: ClientRole, CommonName: "system:node:" + node, Organizations: []string{"system:nodes"}}
}

// KubeletServing is the certificate of a node's own HTTPS API.
func KubeletServing(node string, ips []netip.Addr) Identity {
	return Identity{
		Name: "kubelet-serving", Role: ServerRole, CommonName: "system:node:" + node, Organizations: []string{"system:nodes"},
		Names: Names{DNS: []string{node, "localhost"}, IPs: append([]netip.Addr{netip.MustParseAddr("127.0.0.1")}, ips...)},
	}
}
