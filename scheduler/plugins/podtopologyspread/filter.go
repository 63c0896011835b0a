package podtopologyspread

import (
	"context"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"

	"skiff/scheduler/framework"
)

// What the events say, in upstream's words.
const (
	reasonSkew  = "node(s) didn't match pod topology spread constraints"
	reasonLabel = reasonSkew + " (missing required label)"
)

const filterKey = name + "/filter"

// spread is how the pods that hard constraints are about are spread now.
type spread struct {
	constraints []constraint
	// domains are those of each constraint.
	domains []domains
}

// PreFilter counts the pods in each domain; it leaves the plugin out for a pod
// without hard constraints.
func (p Plugin) PreFilter(_ context.Context, state *framework.State, pod *framework.PodInfo, snapshot *framework.Snapshot) (map[string]bool, *framework.Status) {
	constraints, _, err := p.constraints(pod, corev1.DoNotSchedule)
	if err != nil {
		return nil, framework.AsStatus(err)
	}
	if len(constraints) == 0 {
		return nil, framework.NewStatus(framework.Skip)
	}
	state.Put(filterKey, &spread{constraints, count(constraints, pod, snapshot.Nodes)})
	return nil, nil
}

// Filter implements framework.FilterPlugin: the skew that there would be with the
// pod is maxSkew at most.
func (Plugin) Filter(_ context.Context, state *framework.State, pod *framework.PodInfo, node *framework.NodeInfo) *framework.Status {
	s := framework.Get[*spread](state, filterKey)
	for i := range s.constraints {
		c := &s.constraints[i]
		if _, ok := node.Node.Labels[c.key]; !ok {
			return framework.NewStatus(framework.UnschedulableAndUnresolvable, reasonLabel)
		}
		skew := s.domains[i].skew(c, node.Node)
		if c.selector.Matches(labels.Set(pod.Pod.Labels)) {
			skew++
		}
		if skew > c.maxSkew {
			return framework.NewStatus(framework.Unschedulable, reasonSkew)
		}
	}
	return nil
}
