package scheduler_test

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
)

// TestRetry: what kept a pod waiting changes, and the pod is tried again at once
// (not after the queue's five minutes, which the back-off of 1 s tells apart).
func TestRetry(t *testing.T) {
	web := labeled("app", "web")
	for name, tc := range map[string]struct {
		objects []runtime.Object
		pod     *corev1.Pod
		change  func(*cluster)
	}{
		"the pod that it was to be apart from goes": {
			objects: []runtime.Object{node("a"), pod("q", web, on("a"))},
			pod:     pod("p", apart("app", "web")),
			change:  func(c *cluster) { c.delete("q") },
		},
		"the pod that was to be apart from it goes": {
			objects: []runtime.Object{node("a"), pod("q", apart("app", "web"), on("a"))},
			pod:     pod("p", web),
			change:  func(c *cluster) { c.delete("q") },
		},
		"the pod that it was to be apart from is another one now": {
			objects: []runtime.Object{node("a"), pod("q", web, on("a"))},
			pod:     pod("p", apart("app", "web")),
			change: func(c *cluster) {
				patch := []byte(`{"metadata":{"labels":{"app":"db"}}}`)
				if _, err := c.client.CoreV1().Pods("default").Patch(c.t.Context(), "q", types.MergePatchType, patch, metav1.PatchOptions{}); err != nil {
					c.t.Fatal(err)
				}
			},
		},
		"the pod that it wants comes": {
			objects: []runtime.Object{node("a")},
			pod:     pod("p", together("app", "web")),
			change:  func(c *cluster) { c.create(pod("q", web, on("a"))) },
		},
		"a node goes that had no pod": {
			objects: []runtime.Object{node("a"), node("b", cordoned), pod("q", web, on("a"))},
			pod:     pod("p", web, spread(corev1.LabelHostname)),
			change: func(c *cluster) {
				if err := c.client.CoreV1().Nodes().Delete(c.t.Context(), "b", metav1.DeleteOptions{}); err != nil {
					c.t.Fatal(err)
				}
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := start(t, tc.objects...)
				c.create(tc.pod)
				if got := c.next(); !strings.HasPrefix(got, "FailedScheduling") {
					t.Fatalf("got %s, want a failure", got)
				}
				begin := time.Now()
				tc.change(c)
				if got := c.next(); got != "Scheduled: Successfully assigned default/p to a" || time.Since(begin) > time.Minute {
					t.Errorf("%s after %v", got, time.Since(begin))
				}
			})
		})
	}
}

// TestRolloutEndsOnBothNodes updates three replicas of a service one by one, as
// a deployment does: a new pod, then an old one goes. Wherever the old ones were,
// the new ones are on both nodes, although one of them has more to do.
func TestRolloutEndsOnBothNodes(t *testing.T) {
	for _, old := range []string{"aaa", "aab", "abb", "bbb"} {
		t.Run(old, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { testRollout(t, old) })
		})
	}
}

func testRollout(t *testing.T, old string) {
	objects := []runtime.Object{node("a"), node("b"), pod("busy", cpu("600m"), on("b")), replicaSet("1"), replicaSet("2"), &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Name: "web", Namespace: "default"},
		Spec:       corev1.ServiceSpec{Selector: map[string]string{"app": "web"}},
	}}
	for i, node := range old {
		objects = append(objects, pod(fmt.Sprintf("old-%d", i), of("1"), on(string(node))))
	}
	c := start(t, objects...)
	count := map[string]int{}
	for i := range old {
		c.create(pod(fmt.Sprintf("new-%d", i), of("2")))
		got := c.next()
		count[got[len(got)-1:]]++
		c.delete(fmt.Sprintf("old-%d", i))
	}
	if count["a"] == 0 || count["b"] == 0 || count["a"]+count["b"] != len(old) {
		t.Errorf("pods on nodes: %v", count)
	}
}

func replicaSet(revision string) *appsv1.ReplicaSet {
	return &appsv1.ReplicaSet{
		ObjectMeta: metav1.ObjectMeta{Name: "web-" + revision, Namespace: "default"},
		Spec:       appsv1.ReplicaSetSpec{Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": "web", "hash": revision}}},
	}
}

// of makes a pod one of a replica set.
func of(revision string) func(*corev1.Pod) {
	controller := true
	return func(p *corev1.Pod) {
		p.Labels = map[string]string{"app": "web", "hash": revision}
		p.OwnerReferences = []metav1.OwnerReference{{APIVersion: "apps/v1", Kind: "ReplicaSet", Name: "web-" + revision, Controller: &controller}}
		cpu("100m")(p)
	}
}
