package agent

import (
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
)

// adoptCIDRs tells the network the node's address blocks.
func (a *Agent) adoptCIDRs() {
	n, err := a.Node()
	if err != nil || a.deps.OnPodCIDRs == nil {
		return
	}
	cidrs := podCIDRs(n)
	a.mu.Lock()
	same := slices.Equal(cidrs, a.cidrs) && a.cidrErr == nil
	a.mu.Unlock()
	if same || len(cidrs) == 0 {
		return
	}
	if err = a.deps.OnPodCIDRs(cidrs); err != nil {
		err = fmt.Errorf("pod network %v could not be set up: %w", cidrs, err)
	}
	a.mu.Lock()
	a.cidrs, a.cidrErr = cidrs, err
	a.mu.Unlock()
}

func podCIDRs(n *corev1.Node) []string {
	if len(n.Spec.PodCIDRs) > 0 {
		return n.Spec.PodCIDRs
	}
	if n.Spec.PodCIDR != "" {
		return []string{n.Spec.PodCIDR}
	}
	return nil
}
