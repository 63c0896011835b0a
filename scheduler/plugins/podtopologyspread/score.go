package podtopologyspread

import (
	"context"
	"math"

	corev1 "k8s.io/api/core/v1"

	"skiff/scheduler/framework"
)

const scoreKey = name + "/score"

// ignored is the score of a node that is in no domain of some constraint. Others
// have none below 0.
const ignored = -1

// scoring is what soft constraints need to know of all nodes.
type scoring struct {
	constraints []constraint
	// own tells that the constraints are the pod's, which want each key. With the
	// defaults a cluster without zones still spreads over nodes.
	own bool
	// pods are counted in each constraint's domains, by the value of the label;
	// those of a host are counted where the host is scored.
	pods []map[string]int
	// weights make constraints with few domains count as much as those with many.
	weights []float64
}

// PreScore counts the pods in the domains of the feasible nodes. It leaves the
// plugin out for a pod without soft constraints.
func (p Plugin) PreScore(_ context.Context, state *framework.State, pod *framework.PodInfo, snapshot *framework.Snapshot, nodes []*framework.NodeInfo) *framework.Status {
	constraints, own, err := p.constraints(pod, corev1.ScheduleAnyway)
	if err != nil {
		return framework.AsStatus(err)
	}
	if len(constraints) == 0 {
		return framework.NewStatus(framework.Skip)
	}
	s := &scoring{constraints: constraints, own: own}
	if own {
		nodes = withKeys(nodes, constraints)
	}
	for i := range constraints {
		c := &constraints[i]
		pods, size := map[string]int{}, len(nodes)
		if c.key != corev1.LabelHostname {
			pods = domainsOf(nodes, c.key)
			size = len(pods)
			s.addPods(c, pods, pod, snapshot)
		}
		s.pods = append(s.pods, pods)
		s.weights = append(s.weights, math.Log(float64(size+2)))
	}
	state.Put(scoreKey, s)
	return nil
}

func withKeys(nodes []*framework.NodeInfo, constraints []constraint) (list []*framework.NodeInfo) {
	for _, node := range nodes {
		if hasKeys(node.Node, constraints) {
			list = append(list, node)
		}
	}
	return list
}

// domainsOf returns the domains of nodes, without pods. Nodes without the label
// are one domain among them.
func domainsOf(nodes []*framework.NodeInfo, key string) map[string]int {
	pods := map[string]int{}
	for _, node := range nodes {
		pods[node.Node.Labels[key]] = 0
	}
	return pods
}

// addPods adds up the pods of all nodes in the domains that there are.
func (s *scoring) addPods(c *constraint, pods map[string]int, pod *framework.PodInfo, snapshot *framework.Snapshot) {
	for _, node := range snapshot.Nodes {
		domain, ok := node.Node.Labels[c.key]
		if _, counted := pods[domain]; !ok || !counted || len(node.Pods) == 0 {
			continue
		}
		if s.own && !hasKeys(node.Node, s.constraints) || !c.counts(pod, node.Node) {
			continue
		}
		pods[domain] += c.matching(pod.Pod, node)
	}
}

// Score is higher the more pods are where the node is; NormalizeScore turns it
// round.
func (Plugin) Score(_ context.Context, state *framework.State, pod *framework.PodInfo, node *framework.NodeInfo) (int64, *framework.Status) {
	s := framework.Get[*scoring](state, scoreKey)
	if s.own && !hasKeys(node.Node, s.constraints) {
		return ignored, nil
	}
	var score float64
	for i := range s.constraints {
		c := &s.constraints[i]
		domain, ok := node.Node.Labels[c.key]
		if !ok {
			continue
		}
		pods := s.pods[i][domain]
		if c.key == corev1.LabelHostname {
			pods = c.matching(pod.Pod, node)
		}
		// A larger maxSkew makes differences smaller beside the sum.
		score += float64(pods)*s.weights[i] + float64(c.maxSkew-1)
	}
	return int64(math.Round(score)), nil
}

// NormalizeScore implements framework.NormalizeScorePlugin: the emptiest domains
// get the most.
func (Plugin) NormalizeScore(_ context.Context, _ *framework.State, _ *framework.PodInfo, scores []int64) *framework.Status {
	least, most := int64(math.MaxInt64), int64(0)
	for _, score := range scores {
		if score != ignored {
			least, most = min(least, score), max(most, score)
		}
	}
	for i, score := range scores {
		switch {
		case score == ignored:
			scores[i] = 0
		case most == 0:
			scores[i] = framework.MaxScore
		default:
			scores[i] = framework.MaxScore * (most + least - score) / most
		}
	}
	return nil
}
