package fake

import (
	"context"
	"sync"
	"time"

	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// watcher is one subscriber's unbounded queue.
type watcher struct {
	mu    sync.Mutex
	queue []*runtimeapi.ContainerEventResponse
	wake  chan struct{}
}

// Events implements cri.Runtime.
func (r *Runtime) Events(ctx context.Context, subscribed func(), handle func(*runtimeapi.ContainerEventResponse)) error {
	w := &watcher{wake: make(chan struct{}, 1)}
	r.mu.Lock()
	r.next++
	key := r.next
	r.watchers[key] = w
	r.mu.Unlock()
	defer func() {
		r.mu.Lock()
		delete(r.watchers, key)
		r.mu.Unlock()
	}()
	subscribed()
	for {
		w.mu.Lock()
		queue := w.queue
		w.queue = nil
		w.mu.Unlock()
		for _, ev := range queue {
			handle(ev)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-w.wake:
		}
	}
}

// emit tells every subscriber of an event; r.mu is held.
func (r *Runtime) emit(s *sandbox, id string, kind runtimeapi.ContainerEventType) {
	if len(r.watchers) == 0 {
		return
	}
	ev := &runtimeapi.ContainerEventResponse{ContainerId: id, ContainerEventType: kind, CreatedAt: time.Now().UnixNano()}
	if s != nil {
		ev.PodSandboxStatus = s.status()
		for _, c := range r.containers {
			if c.sandbox == s.id {
				ev.ContainersStatuses = append(ev.ContainersStatuses, c.status())
			}
		}
	}
	for _, w := range r.watchers {
		w.mu.Lock()
		w.queue = append(w.queue, ev)
		w.mu.Unlock()
		select {
		case w.wake <- struct{}{}:
		default:
		}
	}
}
