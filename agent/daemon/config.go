package daemon

import (
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"path/filepath"
	"time"

	corev1 "k8s.io/api/core/v1"

	"skiff/agent"
	"skiff/agent/node"
	"skiff/datadir"
	"skiff/hostaddr"
	"skiff/proxy"
	"skiff/server/clusterinfo"
	"skiff/server/pki"
	"skiff/server/registry/podtemplate"
)

// Config is what an agent is started with.
type Config struct {
	// DataDir holds everything that must survive a restart.
	DataDir string
	// NodeName is the name of this box's Node object; "" means the one that it has,
	// at first its host name.
	NodeName string
	// NodeIPs are this box's addresses as the cluster sees them, at most one per
	// family; none means the address of the default route's interface.
	NodeIPs []netip.Addr
	// Server is where a server of the cluster is reached, https://HOST:PORT.
	Server string
	// Token is what a box joins with; a box that has joined does without.
	Token pki.Token
	// ContainerRuntimeEndpoint is the socket of a CRI runtime to use in place of
	// the embedded containerd.
	ContainerRuntimeEndpoint string
	// NodeAPIAddress is what the node's API listens on; the zero Addr is every
	// address. On loopback it is reached by the tunnel alone.
	NodeAPIAddress netip.Addr
	// MTU of the pods' links, 0 for what fits.
	MTU    int
	Labels map[string]string
	Taints []corev1.Taint
}

// Observer is told how a start goes on; a terminal shows it to the user, and a
// service manager waits for it.
type Observer interface {
	// Step tells that part of the start took so long, successfully.
	Step(what string, took time.Duration)
	// Ready tells that the node is Ready.
	Ready(Summary)
	// Stopping tells that the shutdown begins.
	Stopping()
}

// Summary is what a user needs to know of an agent that is ready.
type Summary struct {
	// Node is the node's name, Server where its server is reached.
	Node, Server string
	// Took is the time from the process's start.
	Took time.Duration
	// Away tells that the server does not answer: the node is ready with what it knows.
	Away bool
	// Healthy returns what is wrong with the process, if anything is.
	Healthy func() error
}

// dir is the agent's own folder.
func (c *Config) dir() string { return filepath.Join(c.DataDir, "agent") }

// openDataDir takes the data folder, unless another process has it, a newer
// version used it, or it is a server's or another node's. It completes the node's
// name.
func (c *Config) openDataDir() (*datadir.Dir, error) {
	dir, err := datadir.Open(c.DataDir, datadir.Agent)
	if err != nil {
		return nil, fmt.Errorf("data-dir: %w", err)
	}
	name, err := node.NameIn(c.DataDir, dir.Marker().Node, c.NodeName)
	if err == nil {
		c.NodeName = name
		err = c.noteOutside(dir)
	}
	if err != nil {
		return nil, errors.Join(err, dir.Close())
	}
	return dir, nil
}

// noteOutside makes the folders outside of the data folder that are about to be
// used, so that uninstall knows which of them were not there before.
func (c *Config) noteOutside(dir *datadir.Dir) error {
	for _, folder := range node.OutsideDirs(node.Config{RuntimeEndpoint: c.ContainerRuntimeEndpoint}) {
		if err := dir.MakeOutside(folder); err != nil {
			return fmt.Errorf("make a folder for the network plugins: %w", err)
		}
	}
	return nil
}

// mark notes whose folder it is, once that is known.
func (c *Config) mark(dir *datadir.Dir, authority string, info clusterinfo.Info) error {
	return dir.Update(func(m *datadir.Marker) {
		m.Role, m.Node, m.Authority = datadir.Agent, c.NodeName, authority
		m.ClusterDNS, m.RuntimeEndpoint = info.ClusterDNS, c.ContainerRuntimeEndpoint
	})
}

// nodeConfig is the configuration of the node, with its addresses at start.
func (c *Config) nodeConfig(ips []netip.Addr, info clusterinfo.Info) node.Config {
	return node.Config{
		DataDir:         c.DataDir,
		RuntimeEndpoint: c.ContainerRuntimeEndpoint,
		Overlay:         info.Overlay,
		MTU:             c.MTU,
		Logger:          slog.Default(),
		Agent: agent.Config{
			NodeName: c.NodeName, NodeIPs: ips, Labels: c.Labels, Taints: c.Taints,
			ClusterDNS: info.ClusterDNS, ClusterDomain: info.ClusterDomain, DataDir: c.DataDir, Port: agent.DefaultPort,
			LeaseDuration: info.NodeLease, BindAddress: c.bindAddress(),
		},
		Proxy: proxy.Config{
			NodeName: c.NodeName, NodeIPs: ips, PodCIDRs: info.ClusterCIDRs, ServiceCIDRs: info.ServiceCIDRs,
			ClusterDNS: info.ClusterDNS, ClusterDomain: info.ClusterDomain,
			DisableDNS: len(info.ClusterDNS) == 0,
		},
	}
}

// Address is the one that the node is to be known by. Before it joins, nothing is
// known of the cluster's ranges, which may be on this box from an earlier time.
func (c *Config) Address() (netip.Addr, error) {
	if len(c.NodeIPs) > 0 {
		return c.NodeIPs[0], nil
	}
	ips, err := hostaddr.Find(nil)
	if err != nil {
		return netip.Addr{}, err
	}
	return ips[0], nil
}

// bindAddress is what the node's API listens on, as the agent takes it.
func (c *Config) bindAddress() string {
	if !c.NodeAPIAddress.IsValid() {
		return ""
	}
	return c.NodeAPIAddress.String()
}

// nodeAPI is where this process reaches the node's API.
func (c *Config) nodeAPI() string {
	at := c.NodeAPIAddress
	switch {
	case !at.IsValid(), at == netip.IPv4Unspecified():
		at = hostaddr.Loopback
	case at == netip.IPv6Unspecified():
		at = netip.IPv6Loopback()
	}
	return netip.AddrPortFrom(at, agent.DefaultPort).String()
}

// defaultPod fills in a static pod's defaults, as the API server would.
func defaultPod(p *corev1.Pod) { podtemplate.DefaultSpec(&p.Spec) }
