package interpodaffinity

import (
	"context"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"

	"skiff/scheduler/framework"
)

const scoreKey = name + "/score"

// requiredWeight is what it counts that a pod which requires others has the pod
// in its domain, upstream's default hardPodAffinityWeight.
const requiredWeight = 1

// preferences are the sums of weights by topology key and value.
type preferences map[string]map[string]int64

func (p preferences) add(terms []framework.AffinityTerm, pod *corev1.Pod, namespace labels.Set, node *corev1.Node, factor int64) {
	for i := range terms {
		if term := &terms[i]; term.Matches(pod, namespace) {
			p.count(node, term.TopologyKey, term.Weight*factor)
		}
	}
}

func (p preferences) count(node *corev1.Node, key string, weight int64) {
	value, ok := node.Labels[key]
	if !ok {
		return
	}
	if p[key] == nil {
		p[key] = map[string]int64{}
	}
	p[key][value] += weight
}

// PreScore adds up what the pod prefers of others, and others of it. It leaves
// the plugin out if nobody prefers anything.
func (p Plugin) PreScore(_ context.Context, state *framework.State, pod *framework.PodInfo, snapshot *framework.Snapshot, _ []*framework.NodeInfo) *framework.Status {
	prefers := len(pod.Terms.PreferredAffinity) > 0 || len(pod.Terms.PreferredAntiAffinity) > 0
	if !prefers && len(snapshot.WithAffinity) == 0 {
		return framework.NewStatus(framework.Skip)
	}
	sums := preferences{}
	namespace := p.labels(pod.Pod.Namespace)
	for _, node := range snapshot.WithAffinity {
		for _, other := range node.WithAffinity {
			sums.ofOther(pod.Pod, other.Terms, namespace, node.Node)
		}
	}
	if prefers {
		if err := p.addOwn(sums, pod, snapshot); err != nil {
			return framework.AsStatus(err)
		}
	}
	if len(sums) == 0 {
		return framework.NewStatus(framework.Skip)
	}
	state.Put(scoreKey, sums)
	return nil
}

// ofOther adds what a pod that runs already has to say of the new one.
func (p preferences) ofOther(pod *corev1.Pod, other *framework.PodTerms, namespace labels.Set, node *corev1.Node) {
	for i := range other.Affinity {
		if term := &other.Affinity[i]; term.Matches(pod, namespace) {
			p.count(node, term.TopologyKey, requiredWeight)
		}
	}
	p.add(other.PreferredAffinity, pod, namespace, node, 1)
	p.add(other.PreferredAntiAffinity, pod, namespace, node, -1)
}

// addOwn adds what the pod has to say of those that run already.
func (p Plugin) addOwn(sums preferences, pod *framework.PodInfo, snapshot *framework.Snapshot) error {
	affinity, err := p.resolve(pod.Terms.PreferredAffinity)
	if err != nil {
		return err
	}
	antiAffinity, err := p.resolve(pod.Terms.PreferredAntiAffinity)
	if err != nil {
		return err
	}
	for _, node := range snapshot.Nodes {
		for _, other := range node.Pods {
			sums.add(affinity, other.Pod, nil, node.Node, 1)
			sums.add(antiAffinity, other.Pod, nil, node.Node, -1)
		}
	}
	return nil
}

// Score is what is preferred in the node's domains; less than 0 if it is rather
// not.
func (Plugin) Score(_ context.Context, state *framework.State, _ *framework.PodInfo, node *framework.NodeInfo) (score int64, _ *framework.Status) {
	for key, sums := range framework.Get[preferences](state, scoreKey) {
		if value, ok := node.Node.Labels[key]; ok {
			score += sums[value]
		}
	}
	return score, nil
}

// NormalizeScore implements framework.NormalizeScorePlugin: the worst node gets
// nothing, and all of them if they are alike.
func (Plugin) NormalizeScore(_ context.Context, _ *framework.State, _ *framework.PodInfo, scores []int64) *framework.Status {
	if len(scores) == 0 {
		return nil
	}
	least, most := slices.Min(scores), slices.Max(scores)
	for i, score := range scores {
		if scores[i] = 0; most > least {
			scores[i] = int64(float64(framework.MaxScore) * (float64(score-least) / float64(most-least)))
		}
	}
	return nil
}
