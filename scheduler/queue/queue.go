// Package queue holds the pods that wait for a node:
//
//	active         ready to be scheduled, best first
//	backing off    failed lately, ready again after a while
//	unschedulable  fit nowhere; wait for an event that may help them
//	gated          not to be scheduled yet
package queue

import (
	"container/heap"
	"context"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"

	"skiff/scheduler/framework"
)

const (
	initialBackoff = time.Second
	maxBackoff     = 10 * time.Second
	// longestWait is after how long a pod is tried again although no event seemed
	// to help it: a plugin's hint may have been wrong.
	longestWait = 5 * time.Minute
)

// Plugins are what the queue asks of the framework.
type Plugins interface {
	Less(a, b *framework.QueuedPod) bool
	PreEnqueue(*corev1.Pod) *framework.Status
	Helps(*framework.QueuedPod, framework.Event) bool
}

type place int

const (
	active place = iota
	backingOff
	unschedulable
	gated
	// inFlight: popped, and not yet given back or forgotten.
	inFlight
)

type item struct {
	framework.QueuedPod
	place place
	// index is that in the heap of the active or backing off pods.
	index int
	// due is when a backing off pod is ready, or an unschedulable one is tried
	// anyway.
	due time.Time
	// missed are the events that came while the pod was in flight.
	missed []framework.Event
}

// Queue is safe for concurrent use.
type Queue struct {
	plugins Plugins
	clock   clock.WithTicker

	mu    sync.Mutex
	items map[types.UID]*item
	// listening are the items that an event means something to: those that are
	// unschedulable or in flight.
	listening map[*item]bool
	active    podHeap
	later     podHeap
	// wake tells Pop that active or later changed.
	wake chan struct{}
}

// New returns an empty queue.
func New(plugins Plugins, c clock.WithTicker) *Queue {
	q := &Queue{plugins: plugins, clock: c, items: map[types.UID]*item{}, listening: map[*item]bool{}, wake: make(chan struct{}, 1)}
	q.active.less = func(a, b *item) bool { return plugins.Less(&a.QueuedPod, &b.QueuedPod) }
	q.later.less = func(a, b *item) bool { return a.due.Before(b.due) }
	return q
}

// Set adds a pod that has no node yet, or takes over its change.
func (q *Queue) Set(pod *corev1.Pod) {
	q.mu.Lock()
	defer q.mu.Unlock()
	it, ok := q.items[pod.UID]
	if !ok {
		it = &item{QueuedPod: framework.QueuedPod{PodInfo: framework.NewPodInfo(pod), Since: q.clock.Now()}, place: gated}
		q.items[pod.UID] = it
		q.enqueue(it)
		return
	}
	ev := framework.Event{Action: framework.PodUpdated, Old: it.Pod, New: pod}
	changed := specChanged(it.Pod, pod)
	it.PodInfo = framework.NewPodInfo(pod)
	switch it.place {
	case gated:
		q.enqueue(it)
	case active, backingOff:
		q.fix(it)
	case inFlight:
		if changed {
			it.missed = append(it.missed, ev)
		}
	case unschedulable:
		if changed && q.plugins.Helps(&it.QueuedPod, ev) {
			q.retry(it)
		}
	}
}

// specChanged ignores the status: the scheduler writes that itself.
func specChanged(a, b *corev1.Pod) bool {
	return a.Generation != b.Generation || a.ResourceVersion != b.ResourceVersion && !equalLabels(a.Labels, b.Labels)
}

func equalLabels(a, b map[string]string) bool {
	if len(a) != len(b) {
		return false
	}
	for k, v := range a {
		if w, ok := b[k]; !ok || v != w {
			return false
		}
	}
	return true
}

// enqueue puts a new or gated item where it belongs.
func (q *Queue) enqueue(it *item) {
	if s := q.plugins.PreEnqueue(it.Pod); !s.IsSuccess() {
		q.move(it, gated)
		return
	}
	q.move(it, active)
}

// Delete forgets a pod: it was deleted, or has a node.
func (q *Queue) Delete(uid types.UID) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if it, ok := q.items[uid]; ok {
		q.leave(it)
		delete(q.items, uid)
	}
}

// Happened moves the pods that ev may help back into the queue.
func (q *Queue) Happened(ev framework.Event) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for it := range q.listening {
		switch {
		case it.place == inFlight:
			it.missed = append(it.missed, ev)
		case q.plugins.Helps(&it.QueuedPod, ev):
			q.retry(it)
		}
	}
}

// Pop returns the next pod, or ctx's error. The pod is in flight until Rejected
// or Delete is called for it.
func (q *Queue) Pop(ctx context.Context) (*framework.QueuedPod, error) {
	for {
		pod, wait := q.next()
		if pod != nil {
			return pod, nil
		}
		if err := q.sleep(ctx, wait); err != nil {
			return nil, err
		}
	}
}

// next takes the best active pod, or returns how long until one is due (0: no
// end).
func (q *Queue) next() (*framework.QueuedPod, time.Duration) {
	q.mu.Lock()
	defer q.mu.Unlock()
	now := q.clock.Now()
	for q.later.Len() > 0 && !q.later.list[0].due.After(now) {
		q.move(q.later.list[0], active)
	}
	if q.active.Len() > 0 {
		it := q.active.list[0]
		it.missed = nil
		q.move(it, inFlight)
		pod := it.QueuedPod
		return &pod, 0
	}
	if q.later.Len() > 0 {
		return nil, q.later.list[0].due.Sub(now)
	}
	return nil, 0
}

func (q *Queue) sleep(ctx context.Context, wait time.Duration) error {
	var due <-chan time.Time
	if wait > 0 {
		timer := q.clock.NewTimer(wait)
		defer timer.Stop()
		due = timer.C()
	}
	select {
	case <-q.wake:
	case <-due:
	case <-ctx.Done():
		return ctx.Err()
	}
	return nil
}

// Rejected gives a popped pod back after a cycle that found no node; by names
// the plugins that rejected it, none if the cycle failed.
func (q *Queue) Rejected(uid types.UID, by map[string]bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	it, ok := q.items[uid]
	if !ok || it.place != inFlight {
		return
	}
	it.Attempts++
	it.RejectedBy = by
	missed := it.missed
	it.missed = nil
	if len(by) == 0 {
		q.retry(it)
		return
	}
	for _, ev := range missed {
		if q.plugins.Helps(&it.QueuedPod, ev) {
			q.retry(it)
			return
		}
	}
	it.due = q.clock.Now().Add(longestWait)
	q.move(it, unschedulable)
}

// retry makes an item active after its back-off.
func (q *Queue) retry(it *item) {
	it.due = q.clock.Now().Add(backoff(it.Attempts))
	q.move(it, backingOff)
}

func backoff(attempts int) time.Duration {
	d := initialBackoff
	for i := 1; i < attempts && d < maxBackoff; i++ {
		d *= 2
	}
	return min(d, maxBackoff)
}

// Len returns the number of pods that are active, backing off, unschedulable and
// gated.
func (q *Queue) Len() (activePods, backingOffPods, unschedulablePods, gatedPods int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	counts := map[place]int{}
	for _, it := range q.items {
		counts[it.place]++
	}
	return counts[active], counts[backingOff], counts[unschedulable], counts[gated]
}

func (q *Queue) move(it *item, to place) {
	q.leave(it)
	it.place = to
	if to == unschedulable || to == inFlight {
		q.listening[it] = true
	}
	if h := q.heapOf(to); h != nil {
		heap.Push(h, it)
		q.signal()
	}
}

func (q *Queue) leave(it *item) {
	delete(q.listening, it)
	if h := q.heapOf(it.place); h != nil && it.index < h.Len() && h.list[it.index] == it {
		heap.Remove(h, it.index)
	}
}

func (q *Queue) fix(it *item) { heap.Fix(q.heapOf(it.place), it.index) }

// heapOf is where a place's pods are kept in order. Unschedulable pods wait
// among those that back off, only longer.
func (q *Queue) heapOf(p place) *podHeap {
	switch p {
	case active:
		return &q.active
	case backingOff, unschedulable:
		return &q.later
	}
	return nil
}

func (q *Queue) signal() {
	select {
	case q.wake <- struct{}{}:
	default:
	}
}
