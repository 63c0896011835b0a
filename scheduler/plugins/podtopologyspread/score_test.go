package podtopologyspread

import (
	"context"
	"maps"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes/fake"

	test "skiff/scheduler/framework/frameworktest"
)

// knowing returns the plugin with informers that have these objects.
func knowing(t *testing.T, objects ...runtime.Object) Plugin {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	factory := informers.NewSharedInformerFactory(fake.NewClientset(objects...), 0)
	p := New(factory)
	factory.StartWithContext(ctx)
	factory.WaitForCacheSync(ctx.Done())
	t.Cleanup(func() { cancel(); factory.Shutdown() })
	if !p.HasSynced() {
		t.Fatal("the plugin's informers have not synced")
	}
	return p
}

func named(name string) metav1.ObjectMeta { return metav1.ObjectMeta{Name: name, Namespace: "default"} }

func service(name string, selector map[string]string) *corev1.Service {
	return &corev1.Service{ObjectMeta: named(name), Spec: corev1.ServiceSpec{Selector: selector}}
}

func owned(apiVersion, kind, name string) func(*corev1.Pod) {
	controller := true
	return func(p *corev1.Pod) {
		p.OwnerReferences = []metav1.OwnerReference{{APIVersion: apiVersion, Kind: kind, Name: name, Controller: &controller}}
	}
}

func TestDefaultSelector(t *testing.T) {
	p := knowing(t,
		service("web", test.Labels("app=web")), service("front", test.Labels("tier=front")),
		service("other", test.Labels("app=db")), service("manual", nil),
		&appsv1.ReplicaSet{ObjectMeta: named("web-1"), Spec: appsv1.ReplicaSetSpec{Selector: test.Selector("hash=1")}},
		&appsv1.StatefulSet{ObjectMeta: named("db"), Spec: appsv1.StatefulSetSpec{Selector: test.Selector("set=db")}},
		&corev1.ReplicationController{ObjectMeta: named("old"), Spec: corev1.ReplicationControllerSpec{Selector: test.Labels("rc=old")}},
	)
	for name, tc := range map[string]struct {
		pod  *corev1.Pod
		want string
	}{
		"nobody's pod":             {test.Pod("p", "", "app=none"), ""},
		"a service":                {test.Pod("p", "", "app=web"), "app=web"},
		"two services":             {test.Pod("p", "", "app=web,tier=front"), "app=web,tier=front"},
		"another namespace":        {test.Pod("p", "", "app=web", in("other")), ""},
		"a replica set":            {test.Pod("p", "", "hash=1", owned("apps/v1", "ReplicaSet", "web-1")), "hash=1"},
		"a stateful set":           {test.Pod("p", "", "set=db", owned("apps/v1", "StatefulSet", "db")), "set=db"},
		"a replication controller": {test.Pod("p", "", "rc=old", owned("v1", "ReplicationController", "old")), "rc=old"},
		"a service and an owner":   {test.Pod("p", "", "app=web,hash=1", owned("apps/v1", "ReplicaSet", "web-1")), "app=web,hash=1"},
		"an owner that is gone":    {test.Pod("p", "", "app=web", owned("apps/v1", "ReplicaSet", "gone")), "app=web"},
		"an owner of another kind": {test.Pod("p", "", "", owned("batch/v1", "Job", "web-1")), ""},
	} {
		t.Run(name, func(t *testing.T) {
			if got := p.owners.selector(tc.pod); got.String() != tc.want || got.Empty() != (tc.want == "") {
				t.Errorf("got %q, want %q", got, tc.want)
			}
		})
	}
}

// TestScores has upstream's numbers: the sum over constraints of pods times
// log(domains + 2), plus maxSkew - 1, turned round.
func TestScores(t *testing.T) {
	const soft = corev1.ScheduleAnyway
	web := func(name, node string, change ...func(*corev1.Pod)) *corev1.Pod {
		return test.Pod(name, node, "app=web", change...)
	}
	flat := []*corev1.Node{test.Node("a", ""), test.Node("b", "")}
	for name, tc := range map[string]struct {
		nodes []*corev1.Node
		pods  []*corev1.Pod
		pod   *corev1.Pod
		among []string
		want  map[string]int64
	}{
		"nobody's pod is not spread": {
			nodes: flat, pod: test.Pod("p", "", "app=none"),
			want: nil,
		},
		"a service's pods over nodes without zones": { // a: 1.39+2, b: 2
			nodes: flat, pods: []*corev1.Pod{web("1", "a")}, pod: web("p", ""),
			want: map[string]int64{"a": 66, "b": 100},
		},
		"over nodes and zones": { // a1: 1.79+2+1.39+4, a2: 2+1.39+4, b: 2+4
			nodes: zones(), pods: []*corev1.Pod{web("1", "a1")}, pod: web("p", ""),
			want: map[string]int64{"a1": 66, "a2": 88, "b1": 100, "b2": 100},
		},
		"hard constraints instead of the defaults": {
			nodes: flat, pods: []*corev1.Pod{web("1", "a")}, pod: web("p", "", spreading(host, 1, corev1.DoNotSchedule)),
			want: nil,
		},
		"own constraint, nothing there yet": {
			nodes: flat, pod: web("p", "", spreading(host, 1, soft)),
			want: map[string]int64{"a": 100, "b": 100},
		},
		"pods on nodes that are not feasible count for their zone": { // a: 3*log(4), b: log(4)
			nodes: zones(), pods: []*corev1.Pod{web("1", "a1"), web("2", "a1"), web("3", "a1"), web("4", "b1")},
			pod: web("p", "", spreading(zone, 1, soft)), among: []string{"a2", "b2"},
			want: map[string]int64{"a2": 25, "b2": 100},
		},
		"a node without the label of an own constraint is the last": {
			nodes: append(zones(), test.Node("c1", "")), pods: []*corev1.Pod{web("1", "a1")}, pod: web("p", "", spreading(zone, 1, soft)),
			want: map[string]int64{"a1": 0, "a2": 0, "b1": 100, "b2": 100, "c1": 0},
		},
		"nodes that the node selector leaves out do not count": {
			nodes: []*corev1.Node{test.Node("a1", zone+"=a,disk=ssd"), test.Node("a2", zone+"=a"), test.Node("b1", zone+"=b,disk=ssd")},
			pods:  []*corev1.Pod{web("1", "a2"), web("2", "b1")},
			pod:   web("p", "", selecting("disk=ssd"), spreading(zone, 1, soft)), among: []string{"a1", "b1"},
			want: map[string]int64{"a1": 100, "b1": 0},
		},
	} {
		t.Run(name, func(t *testing.T) {
			got := test.Scores(t, knowing(t, service("web", test.Labels("app=web"))), tc.pod, test.Snapshot(tc.nodes, tc.pods...), tc.among...)
			if !maps.Equal(got, tc.want) || (got == nil) != (tc.want == nil) {
				t.Errorf("got %v, want %v", got, tc.want)
			}
		})
	}
}
