package nodelifecycle

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"
)

// evictions tells whether pods are evicted from nodes that are not ready. If many
// nodes seem to be gone, it is rather the network or this server that is: then
// pods stay where they are.
type evictions int

const (
	evict evictions = iota
	// evictNoMore: what is marked stays so, further nodes are not.
	evictNoMore
	// evictNone: no node of the cluster is ready; there is nowhere to go.
	evictNone
)

// Upstream's defaults: of a zone of at most smallZone nodes, no more are given up
// once three or more, and this share of them, are not ready
// (--large-cluster-size-threshold, --unhealthy-zone-threshold). In larger zones
// upstream goes on slowly; here it goes on.
const (
	smallZone      = 50
	unhealthyNodes = 3
	unhealthyShare = 0.55
)

// evictions decides for n, which is newer than the cache.
func (r *reconciler) evictions(n *corev1.Node) (evictions, error) {
	all, err := r.nodes.List(labels.Everything())
	if err != nil {
		return evict, err
	}
	anywhere, here, unready := 0, 0, 0
	for _, o := range all {
		if o.Name == n.Name {
			o = n
		}
		ok := isReady(o)
		if ok {
			anywhere++
		}
		switch {
		case zone(o) != zone(n):
		case ok:
			here++
		default:
			unready++
		}
	}
	switch {
	case anywhere == 0:
		return evictNone, nil
	case here > 0 && unready >= unhealthyNodes && here+unready <= smallZone &&
		float64(unready) >= unhealthyShare*float64(here+unready):
		return evictNoMore, nil
	}
	return evict, nil
}

func isReady(n *corev1.Node) bool {
	c := condition(n, corev1.NodeReady)
	return c != nil && c.Status == corev1.ConditionTrue
}

// zone is the node's region and zone together.
func zone(n *corev1.Node) [2]string {
	return [2]string{n.Labels[corev1.LabelTopologyRegion], n.Labels[corev1.LabelTopologyZone]}
}

// wakeUnready looks at all nodes that are not ready: whether they are given up
// depends on how many there are.
func (r *reconciler) wakeUnready(enqueue func(string)) {
	all, err := r.nodes.List(labels.Everything())
	if err != nil {
		return
	}
	for _, n := range all {
		if !isReady(n) {
			enqueue(n.Name)
		}
	}
}
