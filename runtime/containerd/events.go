package containerd

import (
	"context"
	"sync"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// eventBacklog is how many events a subscriber may be behind. One that falls
// further back is cut off, and has to list again.
const eventBacklog = 1024

var (
	errHubClosed = status.Error(codes.Unavailable, "container runtime is stopping")
	errTooSlow   = status.Error(codes.ResourceExhausted, "container events: subscriber is too slow")
)

// eventHub holds the one subscription to CRI's events and hands them to any
// number of callers. CRI itself replays old events to a new subscriber, and may
// lose some to one that has just left.
type eventHub struct {
	mu     sync.Mutex
	subs   map[*eventSub]struct{}
	closed chan struct{}
	once   sync.Once
}

type eventSub struct {
	c   chan *runtimeapi.ContainerEventResponse
	cut chan struct{}
}

func newEventHub(cri criService) *eventHub {
	h := &eventHub{subs: map[*eventSub]struct{}{}, closed: make(chan struct{})}
	// CRI has no way to end this call but a failing Send, so it lives until the
	// first event after close, or with the process.
	go cri.GetContainerEvents(&runtimeapi.GetEventsRequest{}, &eventStream{hub: h})
	return h
}

func (h *eventHub) close() {
	h.once.Do(func() { close(h.closed) })
}

func (h *eventHub) publish(e *runtimeapi.ContainerEventResponse) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for s := range h.subs {
		select {
		case s.c <- e:
		default:
			delete(h.subs, s)
			close(s.cut)
		}
	}
}

// subscribe calls handle for each event until ctx ends or the hub closes.
func (h *eventHub) subscribe(ctx context.Context, subscribed func(), handle func(*runtimeapi.ContainerEventResponse)) error {
	s := &eventSub{c: make(chan *runtimeapi.ContainerEventResponse, eventBacklog), cut: make(chan struct{})}
	h.mu.Lock()
	h.subs[s] = struct{}{}
	h.mu.Unlock()
	defer func() {
		h.mu.Lock()
		delete(h.subs, s)
		h.mu.Unlock()
	}()
	if subscribed != nil {
		subscribed()
	}
	for {
		select {
		case e := <-s.c:
			handle(e)
		case <-s.cut:
			return errTooSlow
		case <-ctx.Done():
			return ctx.Err()
		case <-h.closed:
			return errHubClosed
		}
	}
}

// eventStream is the server side of GetContainerEvents without a network.
type eventStream struct {
	grpc.ServerStream
	hub *eventHub
}

func (s *eventStream) Send(e *runtimeapi.ContainerEventResponse) error {
	select {
	case <-s.hub.closed:
		return errHubClosed
	default:
		s.hub.publish(e)
		return nil
	}
}

func (s *eventStream) Context() context.Context { return context.Background() }
