package interpodaffinity

import (
	"context"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"

	"skiff/scheduler/framework"
)

// What the events say, in upstream's words.
const (
	reasonAffinity     = "node(s) didn't match pod affinity rules"
	reasonAntiAffinity = "node(s) didn't match pod anti-affinity rules"
	reasonExisting     = "node(s) didn't satisfy existing pods anti-affinity rules"
)

const filterKey = name + "/filter"

// domain is all nodes that have this label.
type domain struct{ key, value string }

// domains are those where there is a pod of some kind.
type domains map[domain]bool

func (d domains) add(node *corev1.Node, key string) {
	if value, ok := node.Labels[key]; ok {
		d[domain{key, value}] = true
	}
}

// neighbours is where the pods are that matter to a pod.
type neighbours struct {
	affinity, antiAffinity []framework.AffinityTerm
	// namespace are the labels of the pod's namespace.
	namespace labels.Set
	// wanted has pods that all of the affinity is about, unwanted such that the
	// anti-affinity is about, unwanting such whose anti-affinity is about the pod.
	wanted, unwanted, unwanting domains
}

// PreFilter looks where such pods are. It leaves the plugin out for a pod that
// requires nothing of others, and of which no other one requires anything.
func (p Plugin) PreFilter(_ context.Context, state *framework.State, pod *framework.PodInfo, snapshot *framework.Snapshot) (map[string]bool, *framework.Status) {
	if err := pod.Terms.Err; err != nil {
		return nil, framework.NewStatus(framework.UnschedulableAndUnresolvable, err.Error())
	}
	indifferent := len(pod.Terms.Affinity) == 0 && len(pod.Terms.AntiAffinity) == 0
	if indifferent && len(snapshot.WithAntiAffinity) == 0 {
		return nil, framework.NewStatus(framework.Skip)
	}
	n, err := p.neighbours(pod)
	if err != nil {
		return nil, framework.AsStatus(err)
	}
	for _, node := range snapshot.WithAntiAffinity {
		for _, other := range node.WithAntiAffinity {
			n.addUnwanting(pod, other, node.Node)
		}
	}
	if indifferent && len(n.unwanting) == 0 {
		return nil, framework.NewStatus(framework.Skip)
	}
	if !indifferent {
		for _, node := range snapshot.Nodes {
			for _, other := range node.Pods {
				n.addOwn(other.Pod, node.Node)
			}
		}
	}
	state.Put(filterKey, n)
	return nil, nil
}

func (p Plugin) neighbours(pod *framework.PodInfo) (*neighbours, error) {
	affinity, err := p.resolve(pod.Terms.Affinity)
	if err != nil {
		return nil, err
	}
	antiAffinity, err := p.resolve(pod.Terms.AntiAffinity)
	if err != nil {
		return nil, err
	}
	return &neighbours{
		affinity: affinity, antiAffinity: antiAffinity, namespace: p.labels(pod.Pod.Namespace),
		wanted: domains{}, unwanted: domains{}, unwanting: domains{},
	}, nil
}

func (n *neighbours) addUnwanting(pod, other *framework.PodInfo, node *corev1.Node) {
	for i := range other.Terms.AntiAffinity {
		if term := &other.Terms.AntiAffinity[i]; term.Matches(pod.Pod, n.namespace) {
			n.unwanting.add(node, term.TopologyKey)
		}
	}
}

func (n *neighbours) addOwn(other *corev1.Pod, node *corev1.Node) {
	if matchesAll(n.affinity, other) {
		for i := range n.affinity {
			n.wanted.add(node, n.affinity[i].TopologyKey)
		}
	}
	for i := range n.antiAffinity {
		if term := &n.antiAffinity[i]; term.Matches(other, nil) {
			n.unwanted.add(node, term.TopologyKey)
		}
	}
}

// Filter implements framework.FilterPlugin.
func (Plugin) Filter(_ context.Context, state *framework.State, pod *framework.PodInfo, node *framework.NodeInfo) *framework.Status {
	n := framework.Get[*neighbours](state, filterKey)
	switch {
	case !n.hasWanted(pod.Pod, node.Node):
		return framework.NewStatus(framework.UnschedulableAndUnresolvable, reasonAffinity)
	case n.hasUnwanted(node.Node):
		return framework.NewStatus(framework.Unschedulable, reasonAntiAffinity)
	case n.hasUnwanting(node.Node):
		return framework.NewStatus(framework.Unschedulable, reasonExisting)
	}
	return nil
}

// hasWanted tells whether the node is together with pods that are wanted. If
// there are none anywhere, the first pod of a group that wants itself may go to
// any node that is in a domain of each term.
func (n *neighbours) hasWanted(pod *corev1.Pod, node *corev1.Node) bool {
	all := true
	for i := range n.affinity {
		key := n.affinity[i].TopologyKey
		value, ok := node.Labels[key]
		if !ok {
			return false
		}
		all = all && n.wanted[domain{key, value}]
	}
	return all || len(n.wanted) == 0 && matchesAll(n.affinity, pod)
}

func (n *neighbours) hasUnwanted(node *corev1.Node) bool {
	for i := range n.antiAffinity {
		key := n.antiAffinity[i].TopologyKey
		if value, ok := node.Labels[key]; ok && n.unwanted[domain{key, value}] {
			return true
		}
	}
	return false
}

func (n *neighbours) hasUnwanting(node *corev1.Node) bool {
	if len(n.unwanting) == 0 {
		return false
	}
	for key, value := range node.Labels {
		if n.unwanting[domain{key, value}] {
			return true
		}
	}
	return false
}
