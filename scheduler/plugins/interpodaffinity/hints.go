package interpodaffinity

import (
	"slices"

	corev1 "k8s.io/api/core/v1"

	"skiff/scheduler/framework"
)

// Helps implements framework.HintPlugin.
func (p Plugin) Helps(pod *framework.PodInfo, ev framework.Event) bool {
	if ev.Action&framework.PodUpdated != 0 {
		return true // its own labels may be what others did not want
	}
	n, err := p.neighbours(pod)
	if err != nil {
		return true
	}
	if old, now, ok := ev.Nodes(); ok {
		return ev.Action&(framework.NodeAdded|framework.NodeLabelsChanged) != 0 && n.nodeHelps(old, now)
	}
	old, now, _ := ev.Pods()
	switch {
	case ev.Action&framework.PodAssigned != 0:
		return matchesAll(n.affinity, now)
	case ev.Action&framework.PodDeleted != 0:
		return matchesAny(n.antiAffinity, old, nil) || matchesAny(framework.NewPodTerms(old).AntiAffinity, pod.Pod, n.namespace)
	case ev.Action&framework.PodLabelsChanged != 0:
		return !matchesAll(n.affinity, old) && matchesAll(n.affinity, now) ||
			matchesAny(n.antiAffinity, old, nil) && !matchesAny(n.antiAffinity, now, nil)
	}
	return false
}

// nodeHelps tells whether a node, whose old state is nil if it is new, is
// somewhere else now. A node without the label suits anti-affinity and not
// affinity.
func (n *neighbours) nodeHelps(old, now *corev1.Node) bool {
	if old == nil {
		return len(n.antiAffinity) > 0 || slices.ContainsFunc(n.affinity, func(t framework.AffinityTerm) bool {
			_, ok := now.Labels[t.TopologyKey]
			return ok
		})
	}
	moved := func(t framework.AffinityTerm, from, to *corev1.Node) bool {
		value, ok := to.Labels[t.TopologyKey]
		was, had := from.Labels[t.TopologyKey]
		return ok && (!had || was != value)
	}
	return slices.ContainsFunc(n.affinity, func(t framework.AffinityTerm) bool { return moved(t, old, now) }) ||
		slices.ContainsFunc(n.antiAffinity, func(t framework.AffinityTerm) bool { return moved(t, now, old) })
}
