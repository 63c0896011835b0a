package framework_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"skiff/scheduler/framework"
)

// plugin is one of all extension points, which notes each call and answers what
// the test says.
type plugin struct {
	name  string
	calls *[]string

	only           map[string]bool
	preFilter      *framework.Status
	filter         map[string]*framework.Status
	preScore       *framework.Status
	scores         map[string]int64
	reserve        *framework.Status
	permit         *framework.Status
	longest        time.Duration
	release        func(func(*framework.Status))
	preBind, binds *framework.Status
}

func (p *plugin) note(what string) { *p.calls = append(*p.calls, p.name+"."+what) }

func (p *plugin) Name() string { return p.name }

func (p *plugin) PreFilter(context.Context, *framework.State, *framework.PodInfo, *framework.Snapshot) (map[string]bool, *framework.Status) {
	return p.only, p.preFilter
}

func (p *plugin) Filter(_ context.Context, _ *framework.State, _ *framework.PodInfo, n *framework.NodeInfo) *framework.Status {
	p.note("filter")
	return p.filter[n.Node.Name]
}

func (p *plugin) PreScore(context.Context, *framework.State, *framework.PodInfo, *framework.Snapshot, []*framework.NodeInfo) *framework.Status {
	return p.preScore
}

func (p *plugin) Score(_ context.Context, _ *framework.State, _ *framework.PodInfo, n *framework.NodeInfo) (int64, *framework.Status) {
	return p.scores[n.Node.Name], nil
}

func (p *plugin) Reserve(context.Context, *framework.State, *framework.PodInfo, string) *framework.Status {
	p.note("reserve")
	return p.reserve
}

func (p *plugin) Unreserve(context.Context, *framework.State, *framework.PodInfo, string) {
	p.note("unreserve")
}

func (p *plugin) Permit(_ context.Context, _ *framework.State, _ *framework.PodInfo, _ string, release func(*framework.Status)) (*framework.Status, time.Duration) {
	if p.release != nil {
		p.release(release)
	}
	return p.permit, p.longest
}

func (p *plugin) PreBind(context.Context, *framework.State, *framework.PodInfo, string) *framework.Status {
	p.note("prebind")
	return p.preBind
}

func (p *plugin) Bind(context.Context, *framework.State, *framework.PodInfo, string) *framework.Status {
	p.note("bind")
	return p.binds
}

func (p *plugin) PostBind(context.Context, *framework.State, *framework.PodInfo, string) {
	p.note("postbind")
}

// sorter is the one plugin that every list has.
type sorter struct{}

func (sorter) Name() string                                   { return "Sort" }
func (sorter) Less(a, b *framework.QueuedPod) bool            { return a.Attempts < b.Attempts }
func (sorter) Helps(*framework.PodInfo, framework.Event) bool { return false }

func build(t *testing.T, calls *[]string, plugins ...*plugin) *framework.Framework {
	t.Helper()
	list := []framework.Weighted{{Plugin: sorter{}}}
	for i, p := range plugins {
		p.calls = calls
		if p.name == "" {
			p.name = string(rune('A' + i))
		}
		list = append(list, framework.Weighted{Plugin: p, Weight: int64(i + 1)})
	}
	f, err := framework.New(list)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func nodes(names ...string) (list []*framework.NodeInfo) {
	for _, n := range names {
		list = append(list, &framework.NodeInfo{Node: &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: n}}})
	}
	return list
}

var (
	rejected = func() *framework.Status { return framework.NewStatus(framework.Unschedulable, "no room") }
	skip     = func() *framework.Status { return framework.NewStatus(framework.Skip) }
	pod      = &framework.PodInfo{Pod: &corev1.Pod{}}
)

func expectCalls(t *testing.T, got []string, want string) {
	t.Helper()
	if s := strings.Join(got, " "); s != want {
		t.Errorf("calls: %s\nwant:  %s", s, want)
	}
}

func TestListNeedsOneSorterAndABinder(t *testing.T) {
	for name, list := range map[string][]framework.Weighted{
		"no sorter":   {{Plugin: &plugin{name: "A"}}},
		"two sorters": {{Plugin: sorter{}}, {Plugin: sorter{}}, {Plugin: &plugin{name: "A"}}},
		"no binder":   {{Plugin: sorter{}}},
	} {
		if _, err := framework.New(list); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func TestPreFilterNarrowsNodesAndLeavesFiltersOut(t *testing.T) {
	var calls []string
	f := build(t, &calls,
		&plugin{only: map[string]bool{"a": true, "b": true}},
		&plugin{preFilter: skip()},
		&plugin{only: map[string]bool{"b": true, "c": true}})
	state := framework.NewState()
	only, status := f.PreFilter(t.Context(), state, pod, &framework.Snapshot{})
	if !status.IsSuccess() || !maps.Equal(only, map[string]bool{"b": true}) {
		t.Errorf("%v, %v", only, status)
	}
	if s := f.Filter(t.Context(), state, pod, nodes("b")[0]); !s.IsSuccess() {
		t.Error(s)
	}
	expectCalls(t, calls, "A.filter C.filter")
}

func TestRejectionNamesItsPluginAndEndsTheWay(t *testing.T) {
	var calls []string
	f := build(t, &calls, &plugin{}, &plugin{filter: map[string]*framework.Status{"a": rejected()}}, &plugin{})
	s := f.Filter(t.Context(), framework.NewState(), pod, nodes("a")[0])
	if !s.IsRejected() || s.Plugin != "B" {
		t.Errorf("%+v", s)
	}
	expectCalls(t, calls, "A.filter B.filter")

	f = build(t, &calls, &plugin{preFilter: rejected()})
	if _, s := f.PreFilter(t.Context(), framework.NewState(), pod, &framework.Snapshot{}); s.Plugin != "A" {
		t.Errorf("%+v", s)
	}
}

func TestScoresAreWeightedAndSkipped(t *testing.T) {
	var calls []string
	f := build(t, &calls,
		&plugin{scores: map[string]int64{"a": 10, "b": 20}},
		&plugin{scores: map[string]int64{"a": 5, "b": 1}},
		&plugin{scores: map[string]int64{"a": 100}, preScore: skip()})
	totals, status := f.Score(t.Context(), framework.NewState(), pod, &framework.Snapshot{}, nodes("a", "b"))
	if !status.IsSuccess() || !slices.Equal(totals, []int64{10 + 2*5, 20 + 2*1}) {
		t.Errorf("%v, %v", totals, status)
	}
}

func TestFailedReserveIsUndoneLastFirst(t *testing.T) {
	var calls []string
	f := build(t, &calls, &plugin{}, &plugin{reserve: framework.AsStatus(errors.New("gone"))}, &plugin{})
	if s := f.Reserve(t.Context(), framework.NewState(), pod, "a"); s.IsSuccess() || s.Plugin != "B" {
		t.Errorf("%+v", s)
	}
	expectCalls(t, calls, "A.reserve B.reserve C.unreserve B.unreserve A.unreserve")
}

func TestPermit(t *testing.T) {
	hold := func() *framework.Status { return framework.NewStatus(framework.Wait) }
	after := func(d time.Duration, s *framework.Status) func(func(*framework.Status)) {
		return func(release func(*framework.Status)) { time.AfterFunc(d, func() { release(s) }) }
	}
	for name, tc := range map[string]struct {
		plugins []*plugin
		refused bool
		waits   time.Duration
		end     string
	}{
		"at once":  {plugins: []*plugin{{}, {}}, end: "<nil>"},
		"refused":  {plugins: []*plugin{{permit: hold(), longest: time.Hour}, {permit: rejected()}}, refused: true, end: "B: no room"},
		"released": {plugins: []*plugin{{permit: hold(), longest: time.Hour, release: after(time.Minute, nil)}}, waits: time.Minute, end: "<nil>"},
		"by all": {plugins: []*plugin{
			{permit: hold(), longest: time.Hour, release: after(time.Minute, nil)},
			{permit: hold(), longest: time.Hour, release: after(2*time.Minute, nil)},
		}, waits: 2 * time.Minute, end: "<nil>"},
		"refused later": {plugins: []*plugin{{permit: hold(), longest: time.Hour, release: after(time.Minute, rejected())}}, waits: time.Minute, end: "A: no room"},
		"in vain":       {plugins: []*plugin{{permit: hold(), longest: time.Minute}}, waits: time.Minute, end: "A: timeout waiting on permit"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var calls []string
				begin := time.Now()
				wait, status := build(t, &calls, tc.plugins...).Permit(t.Context(), framework.NewState(), pod, "a")
				if wait != nil {
					status = wait(t.Context())
				}
				end := "<nil>"
				if !status.IsSuccess() {
					end = fmt.Sprintf("%s: %v", status.Plugin, status.AsError())
				}
				if waited := time.Since(begin); waited != tc.waits || end != tc.end || tc.refused != (wait == nil && status != nil) {
					t.Errorf("%s after %v, want %s after %v", end, waited, tc.end, tc.waits)
				}
			})
		})
	}
}

func TestBindingEndsWithTheFirstThatBinds(t *testing.T) {
	var calls []string
	f := build(t, &calls, &plugin{binds: skip()}, &plugin{}, &plugin{})
	if s := f.Bind(t.Context(), framework.NewState(), pod, "a"); !s.IsSuccess() {
		t.Error(s)
	}
	expectCalls(t, calls, "A.prebind B.prebind C.prebind A.bind B.bind A.postbind B.postbind C.postbind")

	calls = nil
	f = build(t, &calls, &plugin{}, &plugin{preBind: rejected()})
	if s := f.Bind(t.Context(), framework.NewState(), pod, "a"); s.Plugin != "B" {
		t.Errorf("%+v", s)
	}
	expectCalls(t, calls, "A.prebind B.prebind")
}

func TestOnlyPluginsWithoutHintsAreHelpedByAnything(t *testing.T) {
	var calls []string
	f := build(t, &calls, &plugin{})
	for by, want := range map[string]bool{"Sort": false, "A": true} {
		if got := f.Helps(&framework.QueuedPod{PodInfo: pod, RejectedBy: map[string]bool{by: true}}, framework.Event{}); got != want {
			t.Errorf("rejected by %s: %v", by, got)
		}
	}
	if !f.Helps(&framework.QueuedPod{PodInfo: pod}, framework.Event{}) {
		t.Error("a pod that nobody rejected is not helped")
	}
}
