package scheduler_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"

	"skiff/scheduler"
)

// cluster is a scheduler at work, in the virtual time of a bubble, on a fake API whose binding subresource sets
// the pod's node, as the real one does.
type cluster struct {
	t         *testing.T
	client    *fake.Clientset
	events    chan string
	scheduler *scheduler.Scheduler
}

func start(t *testing.T, objects ...runtime.Object) *cluster {
	t.Helper()
	c := &cluster{t: t, client: fake.NewClientset(objects...), events: make(chan string, 100)}
	c.client.PrependReactor("create", "pods", c.bind)
	factory := informers.NewSharedInformerFactory(c.client, 0)
	s, err := scheduler.New(scheduler.Config{Client: c.client, Informers: factory, Recorder: c})
	if err != nil {
		t.Fatalf("New: %v", err)
	}
	c.scheduler = s
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := s.Run(ctx); err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	factory.Core().V1().Nodes().Informer()
	factory.Core().V1().Pods().Informer()
	factory.Start(ctx.Done())
	t.Cleanup(func() { cancel(); wg.Wait(); factory.Shutdown() })
	return c
}

func (c *cluster) bind(action clienttesting.Action) (bool, runtime.Object, error) {
	if action.GetSubresource() != "binding" {
		return false, nil, nil
	}
	binding := action.(clienttesting.CreateAction).GetObject().(*corev1.Binding)
	o, err := c.client.Tracker().Get(corev1.SchemeGroupVersion.WithResource("pods"), binding.Namespace, binding.Name)
	if err != nil {
		return true, nil, err
	}
	pod := o.(*corev1.Pod).DeepCopy()
	pod.Spec.NodeName = binding.Target.Name
	return true, binding, c.client.Tracker().Update(corev1.SchemeGroupVersion.WithResource("pods"), pod, pod.Namespace)
}

// Eventf implements scheduler.Recorder.
func (c *cluster) Eventf(_ runtime.Object, _, reason, _, format string, args ...any) {
	c.events <- reason + ": " + fmt.Sprintf(format, args...)
}

// next returns the next event. It waits in virtual time: if none can come any
// more, the bubble's end of the test says so.
func (c *cluster) next() string { return <-c.events }

func (c *cluster) create(pod *corev1.Pod) {
	c.t.Helper()
	if _, err := c.client.CoreV1().Pods(pod.Namespace).Create(c.t.Context(), pod, metav1.CreateOptions{}); err != nil {
		c.t.Fatal(err)
	}
}

func (c *cluster) delete(name string) {
	c.t.Helper()
	if err := c.client.CoreV1().Pods("default").Delete(c.t.Context(), name, metav1.DeleteOptions{}); err != nil {
		c.t.Fatal(err)
	}
}

func node(name string, change ...func(*corev1.Node)) *corev1.Node {
	n := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{"kubernetes.io/hostname": name}}}
	n.Status.Allocatable = corev1.ResourceList{
		corev1.ResourceCPU: resource.MustParse("2"), corev1.ResourceMemory: resource.MustParse("1Gi"), corev1.ResourcePods: resource.MustParse("10"),
	}
	for _, f := range change {
		f(n)
	}
	return n
}

func pod(name string, change ...func(*corev1.Pod)) *corev1.Pod {
	p := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "default", UID: types.UID(name), Generation: 1},
		Spec:       corev1.PodSpec{SchedulerName: scheduler.Name, Containers: []corev1.Container{{Name: "c", Image: "example.com/app:1"}}},
	}
	for _, f := range change {
		f(p)
	}
	return p
}

func cpu(amount string) func(*corev1.Pod) {
	return func(p *corev1.Pod) {
		p.Spec.Containers[0].Resources.Requests = corev1.ResourceList{corev1.ResourceCPU: resource.MustParse(amount)}
	}
}

func on(node string) func(*corev1.Pod) { return func(p *corev1.Pod) { p.Spec.NodeName = node } }

func hostPort(port int32) func(*corev1.Pod) {
	return func(p *corev1.Pod) { p.Spec.Containers[0].Ports = []corev1.ContainerPort{{HostPort: port}} }
}

func selector(key, value string) func(*corev1.Pod) {
	return func(p *corev1.Pod) { p.Spec.NodeSelector = map[string]string{key: value} }
}

func taint(effect corev1.TaintEffect) func(*corev1.Node) {
	return func(n *corev1.Node) {
		n.Spec.Taints = append(n.Spec.Taints, corev1.Taint{Key: "example.com/t", Effect: effect})
	}
}

func tolerate(p *corev1.Pod) {
	p.Spec.Tolerations = []corev1.Toleration{{Key: "example.com/t", Operator: corev1.TolerationOpExists}}
}

func cordoned(n *corev1.Node) { n.Spec.Unschedulable = true }

func prefer(key, value string) func(*corev1.Pod) {
	return func(p *corev1.Pod) {
		p.Spec.Affinity = &corev1.Affinity{NodeAffinity: &corev1.NodeAffinity{
			PreferredDuringSchedulingIgnoredDuringExecution: []corev1.PreferredSchedulingTerm{{Weight: 10, Preference: corev1.NodeSelectorTerm{
				MatchExpressions: []corev1.NodeSelectorRequirement{{Key: key, Operator: corev1.NodeSelectorOpIn, Values: []string{value}}},
			}}},
		}}
	}
}

func requireName(name string) func(*corev1.Pod) {
	return func(p *corev1.Pod) {
		p.Spec.Affinity = &corev1.Affinity{NodeAffinity: &corev1.NodeAffinity{
			RequiredDuringSchedulingIgnoredDuringExecution: &corev1.NodeSelector{NodeSelectorTerms: []corev1.NodeSelectorTerm{{
				MatchFields: []corev1.NodeSelectorRequirement{{Key: "metadata.name", Operator: corev1.NodeSelectorOpIn, Values: []string{name}}},
			}}},
		}}
	}
}

func inZone(zone string) func(*corev1.Node) {
	return func(n *corev1.Node) { n.Labels[corev1.LabelTopologyZone] = zone }
}

func labeled(key, value string) func(*corev1.Pod) {
	return func(p *corev1.Pod) { p.Labels = map[string]string{key: value} }
}

func spread(key string) func(*corev1.Pod) {
	return func(p *corev1.Pod) {
		p.Spec.TopologySpreadConstraints = []corev1.TopologySpreadConstraint{{
			TopologyKey: key, MaxSkew: 1, WhenUnsatisfiable: corev1.DoNotSchedule, LabelSelector: &metav1.LabelSelector{MatchLabels: p.Labels},
		}}
	}
}

func hostTerm(key, value string) []corev1.PodAffinityTerm {
	return []corev1.PodAffinityTerm{{TopologyKey: corev1.LabelHostname, LabelSelector: &metav1.LabelSelector{MatchLabels: map[string]string{key: value}}}}
}

func together(key, value string) func(*corev1.Pod) {
	return func(p *corev1.Pod) {
		p.Spec.Affinity = &corev1.Affinity{PodAffinity: &corev1.PodAffinity{RequiredDuringSchedulingIgnoredDuringExecution: hostTerm(key, value)}}
	}
}

func apart(key, value string) func(*corev1.Pod) {
	return func(p *corev1.Pod) {
		p.Spec.Affinity = &corev1.Affinity{PodAntiAffinity: &corev1.PodAntiAffinity{RequiredDuringSchedulingIgnoredDuringExecution: hostTerm(key, value)}}
	}
}

func image(name string, size int64) func(*corev1.Node) {
	return func(n *corev1.Node) {
		n.Status.Images = append(n.Status.Images, corev1.ContainerImage{Names: []string{name}, SizeBytes: size})
	}
}

func TestDecision(t *testing.T) {
	for name, tc := range map[string]struct {
		objects []runtime.Object
		pod     *corev1.Pod
		want    string
	}{
		"no nodes": {
			pod:  pod("p"),
			want: "FailedScheduling: no nodes available to schedule pods",
		},
		"the only node": {
			objects: []runtime.Object{node("a")},
			pod:     pod("p"),
			want:    "Scheduled: Successfully assigned default/p to a",
		},
		"the least allocated node": {
			objects: []runtime.Object{node("a"), node("b"), pod("busy", cpu("1"), on("a"))},
			pod:     pod("p", cpu("100m")),
			want:    "Scheduled: Successfully assigned default/p to b",
		},
		"nothing has enough processor": {
			objects: []runtime.Object{node("a"), node("b"), pod("busy", cpu("1"), on("a"))},
			pod:     pod("p", cpu("4")),
			want:    "FailedScheduling: 0/2 nodes are available: 2 Insufficient cpu.",
		},
		"reasons are counted over nodes": {
			objects: []runtime.Object{node("a", cordoned), node("b", taint(corev1.TaintEffectNoSchedule)), node("c"), pod("busy", cpu("2"), on("c"))},
			pod:     pod("p", cpu("1")),
			want:    "FailedScheduling: 0/3 nodes are available: 1 Insufficient cpu, 1 node(s) had untolerated taint(s), 1 node(s) were unschedulable.",
		},
		"a tolerated taint": {
			objects: []runtime.Object{node("a", taint(corev1.TaintEffectNoExecute))},
			pod:     pod("p", tolerate),
			want:    "Scheduled: Successfully assigned default/p to a",
		},
		"a soft taint is avoided": {
			objects: []runtime.Object{node("a", taint(corev1.TaintEffectPreferNoSchedule)), node("b")},
			pod:     pod("p"),
			want:    "Scheduled: Successfully assigned default/p to b",
		},
		"node selector": {
			objects: []runtime.Object{node("a"), node("b")},
			pod:     pod("p", selector("kubernetes.io/hostname", "b")),
			want:    "Scheduled: Successfully assigned default/p to b",
		},
		"node selector that nothing matches": {
			objects: []runtime.Object{node("a")},
			pod:     pod("p", selector("disk", "ssd")),
			want:    "FailedScheduling: 0/1 nodes are available: 1 node(s) didn't match Pod's node affinity/selector.",
		},
		"affinity to a name": {
			objects: []runtime.Object{node("a"), node("b"), node("c")},
			pod:     pod("p", requireName("c")),
			want:    "Scheduled: Successfully assigned default/p to c",
		},
		"affinity to the name of a full node": {
			objects: []runtime.Object{node("a"), node("b"), pod("busy", cpu("2"), on("b"))},
			pod:     pod("p", requireName("b"), cpu("1")),
			want:    "FailedScheduling: 0/2 nodes are available: 1 Insufficient cpu, 1 node(s) didn't satisfy plugin(s) [NodeAffinity].",
		},
		"a preferred node": {
			objects: []runtime.Object{node("a"), node("b"), pod("busy", cpu("200m"), on("b"))},
			pod:     pod("p", prefer("kubernetes.io/hostname", "b")),
			want:    "Scheduled: Successfully assigned default/p to b",
		},
		"a taken port": {
			objects: []runtime.Object{node("a"), pod("busy", hostPort(80), on("a"))},
			pod:     pod("p", hostPort(80)),
			want:    "FailedScheduling: 0/1 nodes are available: 1 node(s) didn't have free ports for the requested pod ports.",
		},
		"the image is there": {
			objects: []runtime.Object{node("a"), node("b", image("example.com/app:1", 900<<20))},
			pod:     pod("p"),
			want:    "Scheduled: Successfully assigned default/p to b",
		},
		"away from the only zone that is free": {
			objects: []runtime.Object{node("a", inZone("1")), node("b", inZone("2"), cordoned), node("c"), pod("busy", labeled("app", "web"), on("a"))},
			pod:     pod("p", labeled("app", "web"), spread(corev1.LabelTopologyZone)),
			want: "FailedScheduling: 0/3 nodes are available: 1 node(s) didn't match pod topology spread constraints, " +
				"1 node(s) didn't match pod topology spread constraints (missing required label), 1 node(s) were unschedulable.",
		},
		"the emptier zone": {
			objects: []runtime.Object{node("a", inZone("1")), node("b", inZone("2")), pod("busy", labeled("app", "web"), on("a"))},
			pod:     pod("p", labeled("app", "web"), spread(corev1.LabelTopologyZone)),
			want:    "Scheduled: Successfully assigned default/p to b",
		},
		"a pod that is nowhere": {
			objects: []runtime.Object{node("a"), node("b")},
			pod:     pod("p", together("app", "db")),
			want:    "FailedScheduling: 0/2 nodes are available: 2 node(s) didn't match pod affinity rules.",
		},
		"both ways of being apart": {
			objects: []runtime.Object{node("a"), node("b"), pod("1", labeled("app", "web"), on("a")), pod("2", apart("app", "web"), on("b"))},
			pod:     pod("p", labeled("app", "web"), apart("app", "web")),
			want: "FailedScheduling: 0/2 nodes are available: 1 node(s) didn't match pod anti-affinity rules, " +
				"1 node(s) didn't satisfy existing pods anti-affinity rules.",
		},
		"too many pods": {
			objects: []runtime.Object{node("a", func(n *corev1.Node) { n.Status.Allocatable[corev1.ResourcePods] = resource.MustParse("1") }), pod("busy", on("a"))},
			pod:     pod("p"),
			want:    "FailedScheduling: 0/1 nodes are available: 1 Too many pods.",
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := start(t, tc.objects...)
				c.create(tc.pod)
				if got := c.next(); got != tc.want {
					t.Errorf("got  %s\nwant %s", got, tc.want)
				}
			})
		})
	}
}

func TestPodOfAnotherSchedulerIsLeftAlone(t *testing.T) {
	synctest.Test(t, testPodOfAnotherSchedulerIsLeftAlone)
}

func testPodOfAnotherSchedulerIsLeftAlone(t *testing.T) {
	c := start(t, node("a"))
	c.create(pod("theirs", func(p *corev1.Pod) { p.Spec.SchedulerName = "other" }))
	c.create(pod("ours"))
	if got := c.next(); !strings.Contains(got, "default/ours") {
		t.Errorf("got %s, want only the pod that asks for this scheduler", got)
	}
}

func TestUnschedulablePodGetsAConditionAndIsRetried(t *testing.T) {
	synctest.Test(t, testUnschedulablePodGetsAConditionAndIsRetried)
}

func testUnschedulablePodGetsAConditionAndIsRetried(t *testing.T) {
	c := start(t, node("a"), pod("busy", cpu("2"), on("a")))
	conditions := c.watchConditions("p")
	c.create(pod("p", cpu("1")))
	if got := c.next(); !strings.HasPrefix(got, "FailedScheduling") {
		t.Fatalf("got %s, want a failure", got)
	}
	got := <-conditions
	if got.Status != corev1.ConditionFalse || got.Reason != corev1.PodReasonUnschedulable || got.Message != "0/1 nodes are available: 1 Insufficient cpu." {
		t.Errorf("condition is %+v", got)
	}
	c.delete("busy")
	if got := c.next(); got != "Scheduled: Successfully assigned default/p to a" {
		t.Errorf("after room was made: %s", got)
	}
}

func TestPodThatGoesBeforeItHasANode(t *testing.T) { synctest.Test(t, testPodThatGoesBeforeItHasANode) }

// testPodThatGoesBeforeItHasANode: a finalizer holds the pod, so that it is only
// marked when room for it is made.
func testPodThatGoesBeforeItHasANode(t *testing.T) {
	c := start(t, node("a"), pod("busy", cpu("2"), on("a")))
	going := pod("going", cpu("1"))
	c.create(going)
	if got := c.next(); !strings.HasPrefix(got, "FailedScheduling") {
		t.Fatalf("got %s, want a failure", got)
	}
	now := metav1.Now()
	going.DeletionTimestamp, going.Finalizers = &now, []string{"example.com/hold"}
	if _, err := c.client.CoreV1().Pods("default").Update(t.Context(), going, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	c.delete("busy")
	time.Sleep(time.Hour)
	select {
	case got := <-c.events:
		t.Errorf("a pod that is being deleted: %s", got)
	default:
	}
}

func (c *cluster) watchConditions(name string) <-chan corev1.PodCondition {
	found := make(chan corev1.PodCondition, 10)
	w, err := c.client.CoreV1().Pods("default").Watch(c.t.Context(), metav1.ListOptions{})
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(w.Stop)
	go func() {
		for ev := range w.ResultChan() {
			p, ok := ev.Object.(*corev1.Pod)
			if !ok || p.Name != name {
				continue
			}
			if i := slices.IndexFunc(p.Status.Conditions, func(c corev1.PodCondition) bool { return c.Type == corev1.PodScheduled }); i >= 0 {
				found <- p.Status.Conditions[i]
			}
		}
	}()
	return found
}

func TestNodeIsNeverOverfilled(t *testing.T) {
	synctest.Test(t, testNodeIsNeverOverfilled)
}

func testNodeIsNeverOverfilled(t *testing.T) {
	c := start(t, node("a"), node("b"))
	for i := range 30 {
		c.create(pod(fmt.Sprintf("p%02d", i), cpu("300m")))
	}
	scheduled := map[string]int{}
	failed := 0
	for range 30 {
		got := c.next()
		if name, ok := strings.CutPrefix(got[:len(got)-2], "Scheduled: Successfully assigned default/"); ok {
			scheduled[name]++
			continue
		}
		failed++
	}
	if len(scheduled) != 12 || failed != 18 {
		t.Errorf("%d pods were scheduled and %d not, want 12 (six of 300m on each node of 2) and 18", len(scheduled), failed)
	}
}
