package pods_test

import (
	"slices"
	"sync/atomic"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"skiff/server/controller/pods"
)

var now = time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)

// pod returns a pod that is bound, running, and ready since a while.
func pod(name string, change ...func(*corev1.Pod)) *corev1.Pod {
	p := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: name, UID: types.UID(name), CreationTimestamp: metav1.NewTime(now.Add(-time.Hour))},
		Spec:       corev1.PodSpec{NodeName: "n"},
		Status: corev1.PodStatus{Phase: corev1.PodRunning, Conditions: []corev1.PodCondition{{
			Type: corev1.PodReady, Status: corev1.ConditionTrue, LastTransitionTime: metav1.NewTime(now.Add(-time.Hour)),
		}}},
	}
	for _, c := range change {
		c(p)
	}
	return p
}

func readySince(d time.Duration) func(*corev1.Pod) {
	return func(p *corev1.Pod) { p.Status.Conditions[0].LastTransitionTime = metav1.NewTime(now.Add(-d)) }
}

// TestSortForDeletion lists pods in the order in which upstream deletes them, and
// sorts them from every rotation of it.
func TestSortForDeletion(t *testing.T) {
	want := []*corev1.Pod{
		pod("unbound", func(p *corev1.Pod) { p.Spec.NodeName = "" }),
		pod("pending", func(p *corev1.Pod) { p.Status.Phase = corev1.PodPending }),
		pod("unknown", func(p *corev1.Pod) { p.Status.Phase = corev1.PodUnknown }),
		pod("unready", func(p *corev1.Pod) { p.Status.Conditions[0].Status = corev1.ConditionFalse }),
		pod("cheap", func(p *corev1.Pod) { p.Annotations = map[string]string{corev1.PodDeletionCost: "-1"} }),
		pod("doubled", func(p *corev1.Pod) { p.Spec.NodeName = "crowded" }),
		pod("young", readySince(time.Minute)),
		pod("restarted", func(p *corev1.Pod) { p.Status.ContainerStatuses = []corev1.ContainerStatus{{RestartCount: 2}} }),
		pod("created late", func(p *corev1.Pod) { p.CreationTimestamp = metav1.NewTime(now.Add(-time.Minute)) }),
		pod("plain"),
		pod("old", readySince(1000*time.Hour)),
		pod("dear", func(p *corev1.Pod) { p.Annotations = map[string]string{corev1.PodDeletionCost: "1"} }),
	}
	rank := func(p *corev1.Pod) int { return map[string]int{"crowded": 2, "n": 1}[p.Spec.NodeName] }
	for i := range want {
		got := slices.Concat(want[i:], want[:i])
		pods.SortForDeletion(got, rank, now)
		for j := range want {
			if got[j] != want[j] {
				t.Fatalf("from rotation %d: place %d has %q, want %q", i, j, got[j].Name, want[j].Name)
			}
		}
	}
}

func TestAvailability(t *testing.T) {
	young, old := pod("young", readySince(5*time.Second)), pod("old", readySince(time.Hour))
	if !pods.IsAvailable(young, 0, now) || pods.IsAvailable(young, 10, now) || !pods.IsAvailable(old, 10, now) {
		t.Error("availability is wrong")
	}
	if d := pods.UntilAvailable([]*corev1.Pod{old, young}, 10, now); d != 5*time.Second {
		t.Errorf("next in %v, want 5s", d)
	}
	if d := pods.UntilAvailable([]*corev1.Pod{old}, 10, now); d != 0 {
		t.Errorf("next in %v although all are available", d)
	}
}

func TestSlowStartStopsAtFailures(t *testing.T) {
	var calls atomic.Int32
	done, err := pods.SlowStart(100, func(i int) error {
		if calls.Add(1); i >= 3 {
			return errTest
		}
		return nil
	})
	// Batches of 1, 2 and 4: the last one fails.
	if done != 3 || err != errTest || calls.Load() > 7 {
		t.Errorf("%d done, %v, %d calls", done, err, calls.Load())
	}
}

// TestHash holds the hash of a template: it names replica sets that exist.
func TestHash(t *testing.T) {
	tmpl := &corev1.PodTemplateSpec{Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "c", Image: "one"}}}}
	first, n := pods.Hash(tmpl, nil), int32(1)
	if first != pods.Hash(tmpl.DeepCopy(), nil) {
		t.Error("equal templates differ")
	}
	if first == pods.Hash(tmpl, &n) {
		t.Error("the collision count changes nothing")
	}
}

type testError string

func (e testError) Error() string { return string(e) }

const errTest = testError("refused")
