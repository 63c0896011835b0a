package probe

import (
	"container/heap"
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	corev1 "k8s.io/api/core/v1"

	"skiff/agent/container"
)

// schedule is a heap of workers by when they are due.
type schedule []*worker

func (s schedule) Len() int           { return len(s) }
func (s schedule) Less(i, j int) bool { return s[i].due.Before(s[j].due) }
func (s schedule) Swap(i, j int) {
	s[i], s[j] = s[j], s[i]
	s[i].index, s[j].index = i, j
}

// Push implements heap.Interface.
func (s *schedule) Push(x any) {
	w := x.(*worker)
	w.index = len(*s)
	*s = append(*s, w)
}

// Pop implements heap.Interface.
func (s *schedule) Pop() any {
	last := len(*s) - 1
	w := (*s)[last]
	(*s)[last] = nil
	*s = (*s)[:last]
	w.index = -1
	return w
}

func (m *Manager) push(w *worker) { heap.Push(&m.heap, w) }

func (m *Manager) remove(w *worker) {
	if w.index >= 0 {
		heap.Remove(&m.heap, w.index)
	}
}

// poke makes Run look at the heap again.
func (m *Manager) poke() {
	select {
	case m.wake <- struct{}{}:
	default:
	}
}

// Run runs probes until ctx ends, and waits for those that run.
func (m *Manager) Run(ctx context.Context) error {
	defer m.wg.Wait()
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		wait := m.startDue(ctx)
		timer.Reset(wait)
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-timer.C:
		case <-m.wake:
		}
	}
}

// startDue starts all attempts that are due and returns how long until the next.
func (m *Manager) startDue(ctx context.Context) time.Duration {
	m.mu.Lock()
	defer m.mu.Unlock()
	for len(m.heap) > 0 {
		w := m.heap[0]
		if wait := time.Until(w.due); wait > 0 {
			return wait
		}
		heap.Pop(&m.heap)
		w.busy = true
		a := attempt{pod: w.pod, name: w.name, id: w.id, podIP: w.podIP, spec: w.spec, kind: w.kind}
		generation := w.generation
		m.wg.Go(func() { m.attempt(ctx, w, generation, a) })
	}
	return time.Hour
}

// attempt probes once and counts the result.
func (m *Manager) attempt(ctx context.Context, w *worker, generation int, a attempt) {
	ok, output := m.probe(ctx, a)
	if ctx.Err() != nil {
		return
	}
	m.mu.Lock()
	if w.generation != generation {
		m.mu.Unlock()
		return
	}
	w.busy = false
	now := time.Now()
	regular := !now.Before(w.regular) && !(w.kind == Readiness && w.eager > 0 && w.regular.Sub(w.started) < seconds(w.spec.PeriodSeconds))
	changed, report := false, false
	if ok || regular {
		changed = m.count(w, ok)
		// A container that is being stopped fails its probes as it should.
		report = !ok && w.pod.DeletionTimestamp == nil
	}
	m.next(w, now, ok)
	m.mu.Unlock()
	if report {
		m.cfg.Events.Event(container.Ref(a.pod, a.name), corev1.EventTypeWarning, "Unhealthy", fmt.Sprintf("%s probe failed: %s", a.kind, output))
	}
	if changed {
		m.cfg.Changed(a.pod.UID)
	}
	m.poke()
}

// count adds one result and reports whether what is known has changed.
func (m *Manager) count(w *worker, ok bool) bool {
	result := Failure
	threshold := max(w.spec.FailureThreshold, 1)
	if ok {
		result, threshold = Success, max(w.spec.SuccessThreshold, 1)
	}
	if result == w.last {
		w.streak++
	} else {
		w.last, w.streak = result, 1
	}
	if w.streak < threshold {
		return false
	}
	changed := w.result != result
	w.result = result
	if result == Failure && w.kind != Readiness {
		// The container is going to be restarted; probing it meanwhile tells
		// nothing.
		w.held, w.streak = true, 0
		m.failed[w.id] = w.kind
		return true
	}
	if changed && w.kind == Startup && result == Success {
		for _, other := range m.pods[w.uid] {
			if other.name == w.name && other.kind != Startup {
				other.due = time.Now()
				m.arm(other)
			}
		}
	}
	return changed
}

// next schedules the following attempt. Until a probe has succeeded for the first
// time in its container's life, there are attempts between the regular ones, of which only
// success counts: a container is ready when it is, not a period later.
func (m *Manager) next(w *worker, now time.Time, ok bool) {
	period := seconds(max(w.spec.PeriodSeconds, 1))
	if !now.Before(w.regular) {
		w.regular = w.regular.Add(period)
		if w.regular.Before(now) {
			w.regular = now.Add(period)
		}
	}
	w.due = w.regular
	if ok {
		w.eager = 0
	}
	if w.eager > 0 {
		if w.eager > period/2 {
			w.eager = 0
		} else {
			w.due = now.Add(w.eager)
			if w.due.After(w.regular) {
				w.due = w.regular
			}
			w.eager *= 2
		}
	}
	m.arm(w)
}

// eagerDelay is the first delay between attempts that do not count; 0 for probes
// that have none: liveness probes, which say nothing before they fail, and probes whose author wants
// to wait.
func eagerDelay(w *worker) time.Duration {
	switch {
	case w.kind == Liveness || w.spec.InitialDelaySeconds > 0 || w.spec.SuccessThreshold > 1:
		return 0
	case w.spec.Exec != nil:
		return 250 * time.Millisecond // a process in the container each time
	}
	return 20 * time.Millisecond
}

func seconds(n int32) time.Duration { return time.Duration(n) * time.Second }

func spread(period time.Duration) time.Duration { return rand.N(max(period, time.Second)) }
