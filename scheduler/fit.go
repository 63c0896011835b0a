package scheduler

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"

	"skiff/scheduler/framework"
)

// fitError tells why a pod fits on no node.
type fitError struct {
	// nodes is the number of nodes that were asked.
	nodes int
	// preFilter is the rejection that no node had to be asked for.
	preFilter *framework.Status
	// failed are the nodes' rejections.
	failed map[string]*framework.Status
	// postFilter is what PostFilter had to say.
	postFilter string
	rejectedBy map[string]bool
}

// Error counts the reasons over the nodes, in the words that upstream uses.
func (e *fitError) Error() string {
	switch {
	case e.nodes == 0 && e.preFilter == nil:
		return "no nodes available to schedule pods"
	case e.nodes == 0: // rejected after a node was found
		return strings.Join(e.preFilter.Reasons, ", ")
	}
	var b strings.Builder
	fmt.Fprintf(&b, "0/%d nodes are available:", e.nodes)
	if e.preFilter != nil {
		fmt.Fprintf(&b, " %s.", strings.Join(e.preFilter.Reasons, ", "))
	} else if reasons := e.reasons(); len(reasons) > 0 {
		fmt.Fprintf(&b, " %s.", strings.Join(reasons, ", "))
	}
	if e.postFilter != "" {
		b.WriteString(" " + e.postFilter)
	}
	return b.String()
}

func (e *fitError) reasons() []string {
	counts := map[string]int{}
	for _, s := range e.failed {
		for _, r := range s.Reasons {
			counts[r]++
		}
	}
	var list []string
	for r, n := range counts {
		list = append(list, fmt.Sprintf("%d %s", n, r))
	}
	slices.Sort(list)
	return list
}

// errNoNodes is about a cluster without nodes: no plugin rejected the pod, so any
// event may help.
var errNoNodes = &fitError{rejectedBy: map[string]bool{"": true}}

// findNode returns the best node for the pod, or a *fitError.
func (s *Scheduler) findNode(ctx context.Context, state *framework.State, pod *framework.PodInfo) (string, error) {
	snapshot := s.cache.Snapshot()
	if len(snapshot.Nodes) == 0 {
		return "", errNoNodes
	}
	feasible, err := s.feasible(ctx, state, pod, snapshot)
	if err != nil {
		return "", err
	}
	if len(feasible) == 1 {
		return feasible[0].Node.Name, nil
	}
	scores, status := s.framework.Score(ctx, state, pod, snapshot, feasible)
	if !status.IsSuccess() {
		return "", statusError(status)
	}
	return best(feasible, scores), nil
}

// feasible returns enough of the nodes that the pod fits on, at least one.
func (s *Scheduler) feasible(ctx context.Context, state *framework.State, pod *framework.PodInfo, snapshot *framework.Snapshot) ([]*framework.NodeInfo, error) {
	only, status := s.framework.PreFilter(ctx, state, pod, snapshot)
	if status.IsRejected() {
		return nil, &fitError{nodes: len(snapshot.Nodes), preFilter: status, rejectedBy: map[string]bool{status.Plugin: true}}
	}
	if !status.IsSuccess() {
		return nil, statusError(status)
	}
	found, failed, err := s.filter(ctx, state, pod, s.candidates(snapshot, only))
	if err != nil || len(found) > 0 {
		return found, err
	}
	fit := &fitError{nodes: len(snapshot.Nodes), failed: failed, rejectedBy: map[string]bool{}}
	for _, status := range failed {
		fit.rejectedBy[status.Plugin] = true
	}
	if only != nil {
		fit.addAbsent(snapshot, only)
	}
	_, status = s.framework.PostFilter(ctx, state, pod, snapshot, failed)
	fit.postFilter = strings.Join(status.Reasons, ", ")
	return nil, fit
}

// addAbsent counts the nodes that PreFilter ruled out, so that the reasons add
// up to the number of nodes.
func (e *fitError) addAbsent(snapshot *framework.Snapshot, only map[string]bool) {
	e.failed = maps.Clone(e.failed)
	if e.failed == nil {
		e.failed = map[string]*framework.Status{}
	}
	for _, node := range snapshot.Nodes {
		if !only[node.Node.Name] {
			e.failed[node.Node.Name] = framework.NewStatus(framework.UnschedulableAndUnresolvable, "node(s) didn't satisfy plugin(s) [NodeAffinity]")
		}
	}
	e.rejectedBy["NodeAffinity"] = true
}

func (s *Scheduler) candidates(snapshot *framework.Snapshot, only map[string]bool) []*framework.NodeInfo {
	if only == nil {
		return snapshot.Nodes
	}
	var nodes []*framework.NodeInfo
	for _, name := range slices.Sorted(maps.Keys(only)) {
		if n := snapshot.Node(name); n != nil {
			nodes = append(nodes, n)
		}
	}
	return nodes
}

// filter asks node after node, from where the last search ended, until there are
// enough to choose from.
func (s *Scheduler) filter(ctx context.Context, state *framework.State, pod *framework.PodInfo, nodes []*framework.NodeInfo) (found []*framework.NodeInfo, failed map[string]*framework.Status, err error) {
	enough := enoughNodes(len(nodes))
	for i := range nodes {
		node := nodes[(s.startNode+i)%len(nodes)]
		status := s.framework.Filter(ctx, state, pod, node)
		switch {
		case status.IsSuccess():
			found = append(found, node)
		case status.IsRejected():
			if failed == nil {
				failed = map[string]*framework.Status{}
			}
			failed[node.Node.Name] = status
		default:
			return nil, nil, statusError(status)
		}
		if len(found) == enough {
			s.startNode = (s.startNode + i + 1) % len(nodes)
			break
		}
	}
	return found, failed, nil
}

const (
	leastNodes      = 100
	leastPercentage = 5
)

// enoughNodes is how many feasible nodes are looked for among all: every one in
// a small cluster, a share that falls from half to 5 % as it grows. This is what
// upstream does by default (percentageOfNodesToScore).
func enoughNodes(all int) int {
	if all < leastNodes {
		return all
	}
	percentage := max(50-all/125, leastPercentage)
	return max(all*percentage/100, leastNodes)
}

// best returns the name of a node with the highest score, any of them.
func best(nodes []*framework.NodeInfo, scores []int64) string {
	chosen, ties := 0, 1
	for i := 1; i < len(nodes); i++ {
		switch {
		case scores[i] > scores[chosen]:
			chosen, ties = i, 1
		case scores[i] == scores[chosen]:
			ties++
			if rand.IntN(ties) == 0 {
				chosen = i
			}
		}
	}
	return nodes[chosen].Node.Name
}
