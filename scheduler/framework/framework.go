package framework

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
)

// Weighted is a plugin in the list, with the weight of its score.
type Weighted struct {
	Plugin Plugin
	// Weight multiplies the plugin's score; only of use to a ScorePlugin.
	Weight int64
}

// Framework runs the plugins of one list. It keeps no state between cycles and
// is safe for concurrent use.
type Framework struct {
	list []Weighted

	enqueue    []EnqueuePlugin
	queueSort  QueueSortPlugin
	preFilter  []PreFilterPlugin
	filter     []FilterPlugin
	postFilter []PostFilterPlugin
	preScore   []PreScorePlugin
	score      []scorer
	reserve    []ReservePlugin
	permit     []PermitPlugin
	preBind    []PreBindPlugin
	bind       []BindPlugin
	postBind   []PostBindPlugin
	hints      map[string]HintPlugin
}

type scorer struct {
	ScorePlugin
	weight int64
}

// New sorts the list's plugins by their extension points, keeping its order. It
// returns an error if there is not exactly one QueueSort, or no Bind plugin.
func New(list []Weighted) (*Framework, error) {
	f := &Framework{list: list, hints: map[string]HintPlugin{}}
	for _, w := range list {
		if sort, ok := w.Plugin.(QueueSortPlugin); ok {
			if f.queueSort != nil {
				return nil, fmt.Errorf("scheduler plugins %s and %s both sort the queue", f.queueSort.Name(), sort.Name())
			}
			f.queueSort = sort
		}
		if p, ok := w.Plugin.(ScorePlugin); ok {
			f.score = append(f.score, scorer{p, w.Weight})
		}
		if p, ok := w.Plugin.(HintPlugin); ok {
			f.hints[p.Name()] = p
		}
	}
	f.enqueue = plugins[EnqueuePlugin](list)
	f.preFilter = plugins[PreFilterPlugin](list)
	f.filter = plugins[FilterPlugin](list)
	f.postFilter = plugins[PostFilterPlugin](list)
	f.preScore = plugins[PreScorePlugin](list)
	f.reserve = plugins[ReservePlugin](list)
	f.permit = plugins[PermitPlugin](list)
	f.preBind = plugins[PreBindPlugin](list)
	f.bind = plugins[BindPlugin](list)
	f.postBind = plugins[PostBindPlugin](list)
	if f.queueSort == nil || len(f.bind) == 0 {
		return nil, fmt.Errorf("scheduler plugins: one must sort the queue and one must bind")
	}
	return f, nil
}

func plugins[P Plugin](list []Weighted) (found []P) {
	for _, w := range list {
		if p, ok := w.Plugin.(P); ok {
			found = append(found, p)
		}
	}
	return found
}

// Less orders the queue.
func (f *Framework) Less(a, b *QueuedPod) bool { return f.queueSort.Less(a, b) }

// PreEnqueue returns the first rejection, nil if the pod may be scheduled.
func (f *Framework) PreEnqueue(pod *corev1.Pod) *Status {
	for _, p := range f.enqueue {
		if s := p.PreEnqueue(pod).by(p.Name()); !s.IsSuccess() {
			return s
		}
	}
	return nil
}

// Helps tells whether ev may make a pod schedulable that these plugins rejected.
func (f *Framework) Helps(pod *QueuedPod, ev Event) bool {
	if len(pod.RejectedBy) == 0 {
		return true
	}
	for name := range pod.RejectedBy {
		p, ok := f.hints[name]
		if !ok || p.Helps(pod.PodInfo, ev) {
			return true
		}
	}
	return false
}

// HasSynced tells whether the plugins' own informers have what exists.
func (f *Framework) HasSynced() bool {
	for _, p := range plugins[InformedPlugin](f.list) {
		if !p.HasSynced() {
			return false
		}
	}
	return true
}

// PreFilter runs the PreFilter plugins. The names, if not nil, are the only
// nodes that can be feasible.
func (f *Framework) PreFilter(ctx context.Context, state *State, pod *PodInfo, snapshot *Snapshot) (map[string]bool, *Status) {
	var only map[string]bool
	for _, p := range f.preFilter {
		names, s := p.PreFilter(ctx, state, pod, snapshot)
		if s.IsSkip() {
			state.skipFilter[p.Name()] = true
			continue
		}
		if !s.IsSuccess() {
			return nil, s.by(p.Name())
		}
		only = intersect(only, names)
	}
	return only, nil
}

func intersect(a, b map[string]bool) map[string]bool {
	if a == nil {
		return b
	}
	if b == nil {
		return a
	}
	both := map[string]bool{}
	for name := range a {
		if b[name] {
			both[name] = true
		}
	}
	return both
}

// Filter runs the Filter plugins for one node up to the first rejection.
func (f *Framework) Filter(ctx context.Context, state *State, pod *PodInfo, node *NodeInfo) *Status {
	for _, p := range f.filter {
		if state.skipFilter[p.Name()] {
			continue
		}
		if s := p.Filter(ctx, state, pod, node); !s.IsSuccess() {
			return s.by(p.Name())
		}
	}
	return nil
}

// PostFilter runs the PostFilter plugins up to the first that makes room.
func (f *Framework) PostFilter(ctx context.Context, state *State, pod *PodInfo, snapshot *Snapshot, failed map[string]*Status) (string, *Status) {
	last := NewStatus(Unschedulable)
	for _, p := range f.postFilter {
		node, s := p.PostFilter(ctx, state, pod, snapshot, failed)
		if s.IsSuccess() || s.Code == Error {
			return node, s.by(p.Name())
		}
		last = s.by(p.Name())
	}
	return "", last
}

// Score runs PreScore, Score and NormalizeScore for the feasible nodes and
// returns the weighted sum for each.
func (f *Framework) Score(ctx context.Context, state *State, pod *PodInfo, snapshot *Snapshot, nodes []*NodeInfo) ([]int64, *Status) {
	for _, p := range f.preScore {
		s := p.PreScore(ctx, state, pod, snapshot, nodes)
		if s.IsSkip() {
			state.skipScore[p.Name()] = true
		} else if !s.IsSuccess() {
			return nil, s.by(p.Name())
		}
	}
	totals := make([]int64, len(nodes))
	scores := make([]int64, len(nodes))
	for _, p := range f.score {
		if state.skipScore[p.Name()] {
			continue
		}
		if s := scoreNodes(ctx, p.ScorePlugin, state, pod, nodes, scores); !s.IsSuccess() {
			return nil, s.by(p.Name())
		}
		for i, score := range scores {
			totals[i] += score * p.weight
		}
	}
	return totals, nil
}

func scoreNodes(ctx context.Context, p ScorePlugin, state *State, pod *PodInfo, nodes []*NodeInfo, scores []int64) *Status {
	for i, node := range nodes {
		score, s := p.Score(ctx, state, pod, node)
		if !s.IsSuccess() {
			return s
		}
		scores[i] = score
	}
	if n, ok := p.(NormalizeScorePlugin); ok {
		return n.NormalizeScore(ctx, state, pod, scores)
	}
	return nil
}

// Reserve runs the Reserve plugins; if one fails all are undone.
func (f *Framework) Reserve(ctx context.Context, state *State, pod *PodInfo, node string) *Status {
	for _, p := range f.reserve {
		if s := p.Reserve(ctx, state, pod, node); !s.IsSuccess() {
			f.Unreserve(ctx, state, pod, node)
			return s.by(p.Name())
		}
	}
	return nil
}

// Unreserve undoes Reserve, last plugin first.
func (f *Framework) Unreserve(ctx context.Context, state *State, pod *PodInfo, node string) {
	for i := len(f.reserve) - 1; i >= 0; i-- {
		f.reserve[i].Unreserve(ctx, state, pod, node)
	}
}

// Permit runs the Permit plugins. wait, if not nil, must be called before the
// binding: it blocks until every plugin that asked for it released the pod.
func (f *Framework) Permit(ctx context.Context, state *State, pod *PodInfo, node string) (wait func(context.Context) *Status, status *Status) {
	var waits []func(context.Context) *Status
	for _, p := range f.permit {
		released := make(chan *Status, 1)
		s, longest := p.Permit(ctx, state, pod, node, func(s *Status) { released <- s.by(p.Name()) })
		switch {
		case s.IsSuccess():
		case s.Code == Wait:
			waits = append(waits, waitFor(p.Name(), released, longest))
		default:
			return nil, s.by(p.Name())
		}
	}
	if len(waits) == 0 {
		return nil, nil
	}
	return func(ctx context.Context) *Status {
		for _, w := range waits {
			if s := w(ctx); !s.IsSuccess() {
				return s
			}
		}
		return nil
	}, nil
}

func waitFor(plugin string, released <-chan *Status, longest time.Duration) func(context.Context) *Status {
	deadline := time.Now().Add(longest)
	return func(ctx context.Context) *Status {
		timer := time.NewTimer(time.Until(deadline))
		defer timer.Stop()
		select {
		case s := <-released:
			return s
		case <-timer.C:
			return NewStatus(Unschedulable, "timeout waiting on permit").by(plugin)
		case <-ctx.Done():
			return AsStatus(ctx.Err()).by(plugin)
		}
	}
}

// Bind runs PreBind, Bind and PostBind.
func (f *Framework) Bind(ctx context.Context, state *State, pod *PodInfo, node string) *Status {
	for _, p := range f.preBind {
		if s := p.PreBind(ctx, state, pod, node); !s.IsSuccess() {
			return s.by(p.Name())
		}
	}
	for _, p := range f.bind {
		s := p.Bind(ctx, state, pod, node)
		if s.IsSkip() {
			continue
		}
		if !s.IsSuccess() {
			return s.by(p.Name())
		}
		break
	}
	for _, p := range f.postBind {
		p.PostBind(ctx, state, pod, node)
	}
	return nil
}
