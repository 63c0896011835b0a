package server

import (
	"skiff/server/clusterinfo"
)

// clusterInfo is what the nodes must know of the cluster.
func (cp *controlPlane) clusterInfo() clusterinfo.Info {
	cfg := &cp.cfg
	return clusterinfo.Info{
		ClusterCIDRs: cfg.ClusterCIDRs, ServiceCIDRs: cfg.ServiceCIDRs,
		ClusterDNS: cfg.dnsAddresses(), ClusterDomain: cfg.ClusterDomain,
		Overlay:   string(cfg.Overlay),
		NodeLease: cfg.NodeLoss.MonitorGrace,
		Servers:   []string{cp.url()},
		ClientCA:  cp.state.pki.Client.PEM,
	}
}
