package cache

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"skiff/scheduler/framework"
)

func node(name string, images ...string) *corev1.Node {
	n := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name}}
	n.Status.Allocatable = corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("4"), corev1.ResourcePods: resource.MustParse("10")}
	for _, image := range images {
		n.Status.Images = append(n.Status.Images, corev1.ContainerImage{Names: []string{image}, SizeBytes: 1 << 20})
	}
	return n
}

func pod(name, node string) *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: name, UID: types.UID(name)},
		Spec: corev1.PodSpec{NodeName: node, Containers: []corev1.Container{{
			Resources: corev1.ResourceRequirements{Requests: corev1.ResourceList{
				corev1.ResourceCPU: resource.MustParse("100m"), "example.com/device": resource.MustParse("1"),
			}},
			Ports: []corev1.ContainerPort{{HostPort: 80}},
		}}},
	}
}

func TestSnapshotDoesNotChange(t *testing.T) {
	c := New()
	c.SetNode(node("n1"))
	c.SetPod(pod("a", "n1"))
	before := c.Snapshot()
	c.SetPod(pod("b", "n1"))
	c.RemovePod(pod("a", "n1"))
	n := before.Node("n1")
	if len(n.Pods) != 1 || n.Pods[0].Pod.Name != "a" || n.Requested.MilliCPU != 100 || n.Requested.Scalar["example.com/device"] != 1 || len(n.Ports) != 1 {
		t.Errorf("the snapshot changed: %+v", n)
	}
	if after := c.Snapshot().Node("n1"); after.Pods[0].Pod.Name != "b" {
		t.Errorf("the next snapshot has pod %s, want b", after.Pods[0].Pod.Name)
	}
}

func TestSnapshotSharesWhatDidNotChange(t *testing.T) {
	c := New()
	c.SetNode(node("n1"))
	c.SetNode(node("n2"))
	before := c.Snapshot()
	c.SetPod(pod("a", "n2"))
	after := c.Snapshot()
	if before.Node("n1") != after.Node("n1") {
		t.Error("an unchanged node was copied")
	}
	if before.Node("n2") == after.Node("n2") {
		t.Error("a changed node was not copied")
	}
}

func TestForgetFreesAnAssumedPodOnly(t *testing.T) {
	c := New()
	c.SetNode(node("n1"))
	c.Assume(framework.NewPodInfo(pod("a", "")), "n1")
	c.Forget(pod("a", ""))
	if c.Has("a") {
		t.Error("an assumed pod was not forgotten")
	}
	c.Assume(framework.NewPodInfo(pod("b", "")), "n1")
	c.SetPod(pod("b", "n1"))
	c.Forget(pod("b", "n1"))
	if !c.Has("b") {
		t.Error("a pod that the API shows on the node was forgotten")
	}
}

func TestNodeThatComesBackKeepsItsPods(t *testing.T) {
	c := New()
	c.SetPod(pod("early", "n1"))
	if n := len(c.Snapshot().Nodes); n != 0 {
		t.Fatalf("%d nodes although none is known", n)
	}
	c.SetNode(node("n1"))
	c.RemoveNode("n1")
	c.SetNode(node("n1"))
	if got := c.Snapshot().Node("n1"); len(got.Pods) != 1 {
		t.Errorf("%d pods on the node, want 1", len(got.Pods))
	}
}

// TestIncrementalEqualsFresh makes random changes and compares the cache that
// saw them all with one that is filled at once with what is left.
func TestIncrementalEqualsFresh(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	c := New()
	nodes := map[string]*corev1.Node{}
	pods := map[string]*corev1.Pod{}
	for step := range 2000 {
		nodeName, podName := fmt.Sprintf("n%d", random.IntN(5)), fmt.Sprintf("p%d", random.IntN(20))
		switch random.IntN(6) {
		case 0:
			nodes[nodeName] = node(nodeName, fmt.Sprintf("image%d", random.IntN(3)))
			c.SetNode(nodes[nodeName])
		case 1:
			if nodes[nodeName] != nil {
				delete(nodes, nodeName)
				c.RemoveNode(nodeName)
			}
		case 2, 3, 4:
			pods[podName] = pod(podName, nodeName)
			pods[podName].Spec.Affinity = affinities[random.IntN(len(affinities))]
			c.SetPod(pods[podName])
		case 5:
			c.RemovePod(pod(podName, ""))
			delete(pods, podName)
		}
		fresh := New()
		for _, n := range nodes {
			fresh.SetNode(n)
		}
		for _, p := range pods {
			fresh.SetPod(p)
		}
		if got, want := summary(c.Snapshot()), summary(fresh.Snapshot()); !reflect.DeepEqual(got, want) {
			t.Fatalf("step %d: the cache has\n%v\nwant\n%v", step, got, want)
		}
	}
}

var affinities = []*corev1.Affinity{
	nil, nil,
	{PodAffinity: &corev1.PodAffinity{RequiredDuringSchedulingIgnoredDuringExecution: []corev1.PodAffinityTerm{{TopologyKey: "zone"}}}},
	{PodAntiAffinity: &corev1.PodAntiAffinity{RequiredDuringSchedulingIgnoredDuringExecution: []corev1.PodAffinityTerm{{TopologyKey: "zone"}}}},
}

func names(nodes []*framework.NodeInfo) string {
	var list []string
	for _, n := range nodes {
		list = append(list, n.Node.Name)
	}
	return strings.Join(list, " ")
}

func summary(s *framework.Snapshot) map[string]string {
	m := map[string]string{
		"images": fmt.Sprint(s.ImageNodes), "with affinity": names(s.WithAffinity), "with anti-affinity": names(s.WithAntiAffinity),
	}
	for _, n := range s.Nodes {
		m[n.Node.Name] = fmt.Sprint(len(n.Pods), len(n.WithAffinity), len(n.WithAntiAffinity), n.Requested.MilliCPU, n.Requested.Scalar["example.com/device"], len(n.Ports), n.Allocatable.MilliCPU, n.Images)
	}
	return m
}
