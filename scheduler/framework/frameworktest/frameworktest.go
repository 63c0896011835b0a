// Package frameworktest runs one plugin over a cluster, for the plugins' tests.
package frameworktest

import (
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"skiff/scheduler/framework"
)

// Labels parses "key=value,key=value".
func Labels(text string) map[string]string {
	set := map[string]string{}
	for pair := range strings.SplitSeq(text, ",") {
		if key, value, ok := strings.Cut(pair, "="); ok {
			set[key] = value
		}
	}
	return set
}

// Selector selects the labels that Labels parses; "" is everything.
func Selector(text string) *metav1.LabelSelector {
	return &metav1.LabelSelector{MatchLabels: Labels(text)}
}

// Node is a node with labels, its host name among them.
func Node(name, labels string, change ...func(*corev1.Node)) *corev1.Node {
	n := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: Labels(labels)}}
	n.Labels[corev1.LabelHostname] = name
	for _, f := range change {
		f(n)
	}
	return n
}

// Pod is a pod in the namespace default, on a node or ("") on none.
func Pod(name, node, labels string, change ...func(*corev1.Pod)) *corev1.Pod {
	p := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "default", UID: types.UID(name), Labels: Labels(labels)},
		Spec:       corev1.PodSpec{NodeName: node, Containers: []corev1.Container{{Name: "c", Image: "example.com/app:1"}}},
	}
	for _, f := range change {
		f(p)
	}
	return p
}

// Snapshot is a cluster of nodes, in the order of their names, and the pods on
// them.
func Snapshot(nodes []*corev1.Node, pods ...*corev1.Pod) *framework.Snapshot {
	var infos []*framework.NodeInfo
	for _, n := range nodes {
		info := &framework.NodeInfo{}
		info.SetNode(n)
		for _, p := range pods {
			if p.Spec.NodeName == n.Name {
				info.AddPod(framework.NewPodInfo(p))
			}
		}
		infos = append(infos, info)
	}
	return framework.NewSnapshot(infos, map[string]int{})
}

// Filtering is a plugin that filters.
type Filtering interface {
	framework.PreFilterPlugin
	framework.FilterPlugin
}

// Filter returns what the plugin says of each node: nothing of one that is
// feasible. It returns nil if the plugin leaves itself out.
func Filter(t testing.TB, p Filtering, pod *corev1.Pod, snapshot *framework.Snapshot) map[string]string {
	t.Helper()
	state, info := framework.NewState(), framework.NewPodInfo(pod)
	_, status := p.PreFilter(t.Context(), state, info, snapshot)
	if status.IsSkip() {
		return nil
	}
	if !status.IsSuccess() {
		t.Fatalf("PreFilter: %v", status.AsError())
	}
	said := map[string]string{}
	for _, node := range snapshot.Nodes {
		said[node.Node.Name] = ""
		if s := p.Filter(t.Context(), state, info, node); !s.IsSuccess() {
			said[node.Node.Name] = strings.Join(s.Reasons, ", ")
		}
	}
	return said
}

// Scoring is a plugin that scores relative to other nodes.
type Scoring interface {
	framework.PreScorePlugin
	framework.NormalizeScorePlugin
}

// Scores returns the normalized scores of the nodes with these names, or of all
// nodes if there are none. It returns nil if the plugin leaves itself out.
func Scores(t testing.TB, p Scoring, pod *corev1.Pod, snapshot *framework.Snapshot, names ...string) map[string]int64 {
	t.Helper()
	state, info := framework.NewState(), framework.NewPodInfo(pod)
	var nodes []*framework.NodeInfo
	for _, n := range snapshot.Nodes {
		if len(names) == 0 || slices.Contains(names, n.Node.Name) {
			nodes = append(nodes, n)
		}
	}
	status := p.PreScore(t.Context(), state, info, snapshot, nodes)
	if status.IsSkip() {
		return nil
	}
	scores := make([]int64, len(nodes))
	for i, n := range nodes {
		if !status.IsSuccess() {
			t.Fatalf("scoring: %v", status.AsError())
		}
		scores[i], status = p.Score(t.Context(), state, info, n)
	}
	if s := p.NormalizeScore(t.Context(), state, info, scores); !status.IsSuccess() || !s.IsSuccess() {
		t.Fatalf("scoring: %v, %v", status.AsError(), s.AsError())
	}
	byName := map[string]int64{}
	for i, n := range nodes {
		byName[n.Node.Name] = scores[i]
	}
	return byName
}
