package scheduler

import (
	"context"
	"fmt"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes/fake"

	"skiff/scheduler/framework"
)

var webPods = &metav1.LabelSelector{MatchLabels: map[string]string{"app": "web"}}

const (
	benchNodes   = 5000
	benchPending = 10000
)

func benchNode(i int) *corev1.Node {
	name := fmt.Sprintf("node-%04d", i)
	n := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{
		corev1.LabelHostname: name, corev1.LabelTopologyZone: fmt.Sprintf("zone-%d", i%3), corev1.LabelArchStable: "amd64",
	}}}
	n.Status.Allocatable = corev1.ResourceList{
		corev1.ResourceCPU: resource.MustParse("32"), corev1.ResourceMemory: resource.MustParse("128Gi"), corev1.ResourcePods: resource.MustParse("110"),
	}
	return n
}

func benchPod(i int, change func(*corev1.Pod)) *corev1.Pod {
	name := fmt.Sprintf("pod-%07d", i)
	p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "default", UID: types.UID(name), Generation: 1, Labels: map[string]string{"app": "web"}}}
	p.Spec.SchedulerName = Name
	p.Spec.Containers = []corev1.Container{{Name: "c", Image: "example.com/app:1", Resources: corev1.ResourceRequirements{
		Requests: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("100m"), corev1.ResourceMemory: resource.MustParse("128Mi")},
	}}}
	if change != nil {
		change(p)
	}
	return p
}

// BenchmarkSchedule is what one pod costs on 5,000 nodes while 10,000 others
// wait: from the queue to the decision, and what its binding tells the queue.
// The API and the writing of the binding are left out.
func BenchmarkSchedule(b *testing.B) {
	for _, tc := range []struct {
		name   string
		change func(*corev1.Pod)
	}{
		{"plain", nil},
		{"default-spread", func(p *corev1.Pod) { p.Labels["app"] = "served" }},
		{"zone-spread", func(p *corev1.Pod) {
			p.Spec.TopologySpreadConstraints = []corev1.TopologySpreadConstraint{{
				TopologyKey: corev1.LabelTopologyZone, MaxSkew: 1, WhenUnsatisfiable: corev1.DoNotSchedule, LabelSelector: webPods,
			}}
		}},
		{"host-anti-affinity", func(p *corev1.Pod) {
			p.Spec.Affinity = &corev1.Affinity{PodAntiAffinity: &corev1.PodAntiAffinity{
				RequiredDuringSchedulingIgnoredDuringExecution: []corev1.PodAffinityTerm{{TopologyKey: corev1.LabelHostname, LabelSelector: webPods}},
			}}
		}},
	} {
		b.Run(tc.name, func(b *testing.B) { benchSchedule(b, tc.change) })
	}
}

func benchSchedule(b *testing.B, change func(*corev1.Pod)) {
	client := fake.NewClientset(&corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Name: "served", Namespace: "default"},
		Spec:       corev1.ServiceSpec{Selector: map[string]string{"app": "served"}},
	})
	factory := informers.NewSharedInformerFactory(client, 0)
	s, err := New(Config{Client: client, Informers: factory})
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(b.Context())
	factory.StartWithContext(ctx)
	factory.WaitForCacheSync(ctx.Done())
	defer factory.Shutdown()
	defer cancel()
	for i := range benchNodes {
		s.nodeAdded(benchNode(i))
	}
	for i := range benchPending {
		s.podSet(nil, benchPod(i, change))
	}
	next := benchPending
	b.ReportAllocs()
	for b.Loop() {
		s.podSet(nil, benchPod(next, change))
		next++
		pod, err := s.queue.Pop(b.Context())
		if err != nil {
			b.Fatal(err)
		}
		node, err := s.findNode(b.Context(), framework.NewState(), pod.PodInfo)
		if err != nil {
			b.Fatal(err)
		}
		s.cache.Assume(pod.PodInfo, node)
		bound := pod.Pod.DeepCopy()
		bound.Spec.NodeName = node
		s.podSet(pod.Pod, bound)
	}
}
