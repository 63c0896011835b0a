package agent

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
)

// lose takes note that the node's object is gone. Whoever deleted it wants the node
// out of the cluster, so that the agent does not register again until it is started
// again, as upstream's; somebody else may make the object, though.
func (a *Agent) lose(uid types.UID) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.node == nil || a.node.UID != uid {
		return
	}
	a.node = nil
	if !a.registered || a.deleted {
		return
	}
	a.deleted, a.lost = true, uid
	a.log.Error("this node was deleted from the cluster: it takes no pods any more; start skiff again to have it join again, or remove it from this box with `skiff uninstall`",
		"node", a.cfg.NodeName)
}

// gone tells whether the node's object was deleted while the agent runs.
func (a *Agent) gone() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.deleted
}

// found takes note of a node's object, unless it is what was known of the one that
// is gone. The caller holds mu.
func (a *Agent) found(n *corev1.Node) bool {
	if !a.deleted {
		return true
	}
	if n.UID != "" && n.UID == a.lost {
		return false
	}
	a.deleted = false
	a.log.Info("this node's object is there again, somebody has made it", "node", a.cfg.NodeName)
	return true
}
