package server

import "skiff/server/controllers/nodeapproval"

// nodeApproval says what a node may not be called: a certificate for one of the
// API server's names or addresses would let it pass for the API server.
func (cp *controlPlane) nodeApproval() nodeapproval.Config {
	return nodeapproval.Config{
		ServerNames:  cp.serving.Names,
		ServiceCIDRs: cp.cfg.ServiceCIDRs, ClusterCIDRs: cp.cfg.ClusterCIDRs,
	}
}
