package podtopologyspread

import (
	corev1 "k8s.io/api/core/v1"

	"skiff/scheduler/framework"
)

// domains are the pods in each domain of one constraint.
type domains struct {
	// pods are the numbers of pods, by the value of the nodes' label.
	pods map[string]int
	// least is the smallest of them.
	least int
}

// count counts the pods that constraints are about, for each on its own.
func count(constraints []constraint, pod *framework.PodInfo, nodes []*framework.NodeInfo) []domains {
	list := make([]domains, len(constraints))
	for i := range list {
		list[i].pods = map[string]int{}
	}
	for _, node := range nodes {
		if !hasKeys(node.Node, constraints) {
			continue
		}
		for i := range constraints {
			if c := &constraints[i]; c.counts(pod, node.Node) {
				list[i].pods[node.Node.Labels[c.key]] += c.matching(pod.Pod, node)
			}
		}
	}
	for i := range list {
		list[i].least = least(list[i].pods)
	}
	return list
}

func least(pods map[string]int) int {
	smallest, found := 0, false
	for _, n := range pods {
		if !found || n < smallest {
			smallest, found = n, true
		}
	}
	return smallest
}

// skew is how many pods a node's domain has more than the one with the fewest.
// As long as there are too few domains that is one without pods: it is to be
// made.
func (d *domains) skew(c *constraint, node *corev1.Node) int {
	if len(d.pods) < c.minDomains {
		return d.pods[node.Labels[c.key]]
	}
	return d.pods[node.Labels[c.key]] - d.least
}
