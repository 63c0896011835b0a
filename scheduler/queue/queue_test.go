package queue

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"

	"skiff/scheduler/framework"
)

// plugins orders by name, gates pods with gates, and is helped by NodeAdded.
type plugins struct{}

func (plugins) Less(a, b *framework.QueuedPod) bool { return a.Pod.Name < b.Pod.Name }

func (plugins) PreEnqueue(pod *corev1.Pod) *framework.Status {
	if len(pod.Spec.SchedulingGates) > 0 {
		return framework.NewStatus(framework.UnschedulableAndUnresolvable, "gated")
	}
	return nil
}

func (plugins) Helps(_ *framework.QueuedPod, ev framework.Event) bool {
	return ev.Action == framework.NodeAdded
}

func pod(name string) *corev1.Pod {
	return &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "default", UID: types.UID(name)}}
}

var rejection = map[string]bool{"NodeResourcesFit": true}

func newQueue() *Queue { return New(plugins{}, clock.RealClock{}) }

func pop(t *testing.T, q *Queue) string {
	t.Helper()
	p, err := q.Pop(t.Context())
	if err != nil {
		t.Fatalf("Pop: %v", err)
	}
	return p.Pod.Name
}

func TestPopInOrder(t *testing.T) {
	q := newQueue()
	for _, name := range []string{"c", "a", "b"} {
		q.Set(pod(name))
	}
	for _, want := range []string{"a", "b", "c"} {
		if got := pop(t, q); got != want {
			t.Errorf("popped %s, want %s", got, want)
		}
	}
}

func TestPopEndsWithContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := newQueue().Pop(ctx); err != context.Canceled {
		t.Errorf("Pop returned %v, want %v", err, context.Canceled)
	}
}

func TestRejectedPodWaitsForAnEventThatHelps(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQueue()
		q.Set(pod("a"))
		pop(t, q)
		q.Rejected("a", rejection)
		q.Happened(framework.Event{Action: framework.NodeLabelsChanged})
		if _, _, unschedulable, _ := q.Len(); unschedulable != 1 {
			t.Fatalf("%d pods are unschedulable after an event that does not help, want 1", unschedulable)
		}
		begin := time.Now()
		q.Happened(framework.Event{Action: framework.NodeAdded})
		pop(t, q)
		if waited := time.Since(begin); waited != initialBackoff {
			t.Errorf("came back after %v, want its back-off of %v", waited, initialBackoff)
		}
	})
}

func TestEventDuringTheCycleIsNotMissed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQueue()
		q.Set(pod("a"))
		pop(t, q)
		q.Happened(framework.Event{Action: framework.NodeAdded})
		q.Rejected("a", rejection)
		if _, backingOff, _, _ := q.Len(); backingOff != 1 {
			t.Errorf("%d pods back off, want 1", backingOff)
		}
	})
}

func TestBackoffDoublesUpToTheLimit(t *testing.T) {
	for attempts, want := range []time.Duration{time.Second, time.Second, 2 * time.Second, 4 * time.Second, 8 * time.Second, 10 * time.Second, 10 * time.Second} {
		if got := backoff(attempts); got != want {
			t.Errorf("after %d attempts: %v, want %v", attempts, got, want)
		}
	}
}

func TestFailedCycleIsRetriedWithoutAnEvent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQueue()
		q.Set(pod("a"))
		pop(t, q)
		q.Rejected("a", nil)
		if got := pop(t, q); got != "a" {
			t.Errorf("popped %s, want a", got)
		}
	})
}

func TestUnschedulablePodIsTriedAgainAfterALongTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQueue()
		q.Set(pod("a"))
		pop(t, q)
		q.Rejected("a", rejection)
		begin := time.Now()
		pop(t, q)
		if waited := time.Since(begin); waited != longestWait {
			t.Errorf("came back after %v, want %v", waited, longestWait)
		}
	})
}

func TestGatedPodEntersWhenItsGatesAreGone(t *testing.T) {
	q := newQueue()
	p := pod("a")
	p.Spec.SchedulingGates = []corev1.PodSchedulingGate{{Name: "example.com/wait"}}
	q.Set(p)
	if _, _, _, gated := q.Len(); gated != 1 {
		t.Fatalf("%d pods are gated, want 1", gated)
	}
	q.Set(pod("a"))
	if got := pop(t, q); got != "a" {
		t.Errorf("popped %s, want a", got)
	}
}

func TestDeletedPodIsNeverPopped(t *testing.T) {
	q := newQueue()
	for _, name := range []string{"a", "b", "c"} {
		q.Set(pod(name))
	}
	q.Delete("b")
	q.Delete("unknown")
	if got := pop(t, q) + pop(t, q); got != "ac" {
		t.Errorf("popped %s, want a and c", got)
	}
}
