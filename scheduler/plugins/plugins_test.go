package plugins_test

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes/fake"

	"skiff/scheduler/framework"
	"skiff/scheduler/plugins"
)

// find returns the plugin of a name in the list that the scheduler uses.
func find[P framework.Plugin](t *testing.T, name string) P {
	t.Helper()
	for _, w := range plugins.Default(nil, informers.NewSharedInformerFactory(fake.NewClientset(), 0)) {
		if p, ok := w.Plugin.(P); ok && p.Name() == name {
			return p
		}
	}
	t.Fatalf("there is no plugin %s of that kind", name)
	panic("unreachable")
}

func amounts(cpu, memory string) corev1.ResourceList {
	out := corev1.ResourceList{}
	if cpu != "" {
		out[corev1.ResourceCPU] = resource.MustParse(cpu)
	}
	if memory != "" {
		out[corev1.ResourceMemory] = resource.MustParse(memory)
	}
	return out
}

func pod(name, cpu, memory string, change ...func(*corev1.Pod)) *corev1.Pod {
	p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "default"}}
	p.Spec.Containers = []corev1.Container{{Name: "c", Image: "example.com/app", Resources: corev1.ResourceRequirements{Requests: amounts(cpu, memory)}}}
	for _, f := range change {
		f(p)
	}
	return p
}

func node(name string, change ...func(*corev1.Node)) *corev1.Node {
	n := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{"disk": "ssd"}}}
	n.Status.Allocatable = amounts("2", "1Gi")
	n.Status.Allocatable[corev1.ResourcePods] = resource.MustParse("10")
	for _, f := range change {
		f(n)
	}
	return n
}

func info(n *corev1.Node, pods ...*corev1.Pod) *framework.NodeInfo {
	i := &framework.NodeInfo{}
	i.SetNode(n)
	for _, p := range pods {
		i.AddPod(framework.NewPodInfo(p))
	}
	return i
}

// TestScores holds the scores of single nodes, in upstream's numbers.
func TestScores(t *testing.T) {
	for name, tc := range map[string]struct {
		plugin string
		node   *framework.NodeInfo
		pod    *corev1.Pod
		want   int64
	}{
		"half of each is left":             {"NodeResourcesFit", info(node("a")), pod("p", "1", "512Mi"), 50},
		"what runs counts":                 {"NodeResourcesFit", info(node("a"), pod("q", "1", "256Mi")), pod("p", "500m", "256Mi"), 37},
		"a pod that asks for nothing":      {"NodeResourcesFit", info(node("a")), pod("p", "", ""), 87},
		"more than there is":               {"NodeResourcesFit", info(node("a")), pod("p", "4", "4Gi"), 0},
		"balance stays":                    {"NodeResourcesBalancedAllocation", info(node("a")), pod("p", "1", "512Mi"), 75},
		"balance gets worse":               {"NodeResourcesBalancedAllocation", info(node("a")), pod("p", "1", ""), 62},
		"balance gets better":              {"NodeResourcesBalancedAllocation", info(node("a"), pod("q", "1", "")), pod("p", "", "512Mi"), 87},
		"preferences are summed up":        {"NodeAffinity", info(node("a")), pod("p", "", "", preferring(30, "disk", "ssd"), preferring(7, "disk", "ssd"), preferring(50, "disk", "hdd")), 37},
		"taints to be avoided are counted": {"TaintToleration", info(node("a", tainted(corev1.TaintEffectPreferNoSchedule), tainted(corev1.TaintEffectNoSchedule))), pod("p", "", ""), 1},
		"a large image":                    {"ImageLocality", info(node("a", with("example.com/app:latest", 500<<20))), pod("p", "", ""), 48},
		"a small image is nothing":         {"ImageLocality", info(node("a", with("example.com/app:latest", 20<<20))), pod("p", "", ""), 0},
		"another image":                    {"ImageLocality", info(node("a", with("example.com/other:latest", 500<<20))), pod("p", "", ""), 0},
	} {
		t.Run(name, func(t *testing.T) {
			p, state := find[framework.ScorePlugin](t, tc.plugin), framework.NewState()
			podInfo, snapshot := framework.NewPodInfo(tc.pod), &framework.Snapshot{Nodes: []*framework.NodeInfo{tc.node}, ImageNodes: map[string]int{}}
			for image := range tc.node.Images {
				snapshot.ImageNodes[image]++
			}
			if pre, ok := p.(framework.PreScorePlugin); ok {
				if s := pre.PreScore(t.Context(), state, podInfo, snapshot, snapshot.Nodes); !s.IsSuccess() {
					t.Fatal(s)
				}
			}
			got, s := p.Score(t.Context(), state, podInfo, tc.node)
			if !s.IsSuccess() || got != tc.want {
				t.Errorf("got %d, %v, want %d", got, s, tc.want)
			}
		})
	}
}

// TestHints: only what may help a pod wakes it.
func TestHints(t *testing.T) {
	bigger := func(n *corev1.Node) {
		n.Status.Allocatable = amounts("8", "8Gi")
		n.Status.Allocatable[corev1.ResourcePods] = resource.MustParse("10")
	}
	for name, tc := range map[string]struct {
		plugin string
		pod    *corev1.Pod
		event  framework.Event
		want   bool
	}{
		"room on a larger node":            {"NodeResourcesFit", pod("p", "4", ""), framework.Event{Action: framework.NodeAdded, New: node("a", bigger)}, true},
		"a node that is too small":         {"NodeResourcesFit", pod("p", "4", ""), framework.Event{Action: framework.NodeAdded, New: node("a")}, false},
		"a pod that went":                  {"NodeResourcesFit", pod("p", "1", ""), framework.Event{Action: framework.PodDeleted, Old: pod("q", "1", "")}, true},
		"labels and resources":             {"NodeResourcesFit", pod("p", "1", ""), framework.Event{Action: framework.NodeLabelsChanged, New: node("a")}, false},
		"a label that fits":                {"NodeAffinity", pod("p", "", "", selecting("disk", "ssd")), framework.Event{Action: framework.NodeLabelsChanged, New: node("a")}, true},
		"a label that does not":            {"NodeAffinity", pod("p", "", "", selecting("disk", "hdd")), framework.Event{Action: framework.NodeLabelsChanged, New: node("a")}, false},
		"a selector and a pod":             {"NodeAffinity", pod("p", "", "", selecting("disk", "hdd")), framework.Event{Action: framework.PodDeleted, Old: pod("q", "", "")}, false},
		"a taint that went":                {"TaintToleration", pod("p", "", ""), framework.Event{Action: framework.NodeTaintsChanged, New: node("a")}, true},
		"a taint that stays":               {"TaintToleration", pod("p", "", ""), framework.Event{Action: framework.NodeTaintsChanged, New: node("a", tainted(corev1.TaintEffectNoSchedule))}, false},
		"a node that is in use again":      {"NodeUnschedulable", pod("p", "", ""), framework.Event{Action: framework.NodeUnschedulableChanged, New: node("a")}, true},
		"a pod that tolerates it now":      {"NodeUnschedulable", pod("p", "", "", tolerating), framework.Event{Action: framework.PodUpdated}, true},
		"a pod that still does not":        {"NodeUnschedulable", pod("p", "", ""), framework.Event{Action: framework.PodUpdated}, false},
		"the pod that had the port":        {"NodePorts", pod("p", "", "", hostPort(80)), framework.Event{Action: framework.PodDeleted, Old: pod("q", "", "", hostPort(80))}, true},
		"a pod that had another port":      {"NodePorts", pod("p", "", "", hostPort(80)), framework.Event{Action: framework.PodDeleted, Old: pod("q", "", "", hostPort(81))}, false},
		"a node that may have the name":    {"NodeName", pod("p", "", ""), framework.Event{Action: framework.NodeAdded, New: node("a")}, true},
		"a name and what becomes of nodes": {"NodeName", pod("p", "", ""), framework.Event{Action: framework.NodeTaintsChanged, New: node("a")}, false},
	} {
		t.Run(name, func(t *testing.T) {
			if got := find[framework.HintPlugin](t, tc.plugin).Helps(framework.NewPodInfo(tc.pod), tc.event); got != tc.want {
				t.Errorf("got %v", got)
			}
		})
	}
}

func TestQueueOrder(t *testing.T) {
	sort := find[framework.QueueSortPlugin](t, "PrioritySort")
	queued := func(priority int32) *framework.QueuedPod {
		return &framework.QueuedPod{PodInfo: framework.NewPodInfo(pod("p", "", "", func(p *corev1.Pod) { p.Spec.Priority = &priority }))}
	}
	low, high := queued(0), queued(1000)
	low.Since = low.Since.AddDate(-1, 0, 0) // older, but priority comes first
	if sort.Less(low, high) || !sort.Less(high, low) {
		t.Error("the pod of higher priority is not first")
	}
	younger := queued(0)
	if !sort.Less(low, younger) || sort.Less(younger, low) {
		t.Error("among equals the one that waits longer is not first")
	}
}

func preferring(weight int32, key, value string) func(*corev1.Pod) {
	return func(p *corev1.Pod) {
		if p.Spec.Affinity == nil {
			p.Spec.Affinity = &corev1.Affinity{NodeAffinity: &corev1.NodeAffinity{}}
		}
		a := p.Spec.Affinity.NodeAffinity
		a.PreferredDuringSchedulingIgnoredDuringExecution = append(a.PreferredDuringSchedulingIgnoredDuringExecution, corev1.PreferredSchedulingTerm{
			Weight: weight, Preference: corev1.NodeSelectorTerm{MatchExpressions: []corev1.NodeSelectorRequirement{{
				Key: key, Operator: corev1.NodeSelectorOpIn, Values: []string{value},
			}}},
		})
	}
}

func selecting(key, value string) func(*corev1.Pod) {
	return func(p *corev1.Pod) { p.Spec.NodeSelector = map[string]string{key: value} }
}

func hostPort(n int32) func(*corev1.Pod) {
	return func(p *corev1.Pod) { p.Spec.Containers[0].Ports = []corev1.ContainerPort{{HostPort: n}} }
}

func tolerating(p *corev1.Pod) {
	p.Spec.Tolerations = []corev1.Toleration{{Operator: corev1.TolerationOpExists}}
}

func tainted(effect corev1.TaintEffect) func(*corev1.Node) {
	return func(n *corev1.Node) { n.Spec.Taints = append(n.Spec.Taints, corev1.Taint{Key: "t", Effect: effect}) }
}

func with(image string, size int64) func(*corev1.Node) {
	return func(n *corev1.Node) {
		n.Status.Images = append(n.Status.Images, corev1.ContainerImage{Names: []string{image}, SizeBytes: size})
	}
}
