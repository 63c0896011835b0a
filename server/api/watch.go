package api

import (
	"context"
	"errors"
	"math/rand/v2"
	"net/http"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"

	"skiff/server/registry"
)

// watchTimeout is the least time that a watch lasts whose client names none; the
// most is twice as long.
const watchTimeout = 30 * time.Minute

// watch begins to answer GET of a stream of events. What follows is done by the
// stream, when the call has ended.
func (c *call) watch() error {
	o, err := c.negotiate(c.endpoint.serves)
	if err != nil {
		return err
	}
	if o.media == mediaYAML {
		return notAcceptable("only the following media types are accepted: application/json;stream=watch, application/vnd.kubernetes.protobuf;stream=watch")
	}
	opts, err := c.listOptions(true)
	if err != nil {
		return err
	}
	s := &stream{s: c.s, ep: c.endpoint, o: o, w: c.rec.ResponseWriter, ctx: c.r.Context()}
	if o.shape == table {
		if s.table, err = c.tableOptions(); err != nil {
			return err
		}
	}
	s.until = time.Now().Add(watchTime(opts))
	ctx, cancel := context.WithDeadline(c.ctx, s.until)
	defer cancel()
	s.events, err = c.endpoint.store.Watch(ctx, registry.WatchOptions{
		Namespace: c.info.Namespace, Selector: opts.selector, ResourceVersion: opts.ResourceVersion,
		SendInitialEvents: opts.SendInitialEvents != nil && *opts.SendInitialEvents, Bookmarks: opts.AllowWatchBookmarks,
	})
	if err != nil {
		return c.refuse(ctx, s, err)
	}
	// Counted before the client knows, and until the stream's end.
	s.key, s.start, s.audited = c.key(), c.start, c.audited
	c.s.metrics.requests.stay(s.key, 1)
	c.stream = s
	return nil
}

func watchTime(opts listOptions) time.Duration {
	if t := opts.TimeoutSeconds; t != nil && *t > 0 {
		return time.Duration(*t) * time.Second
	}
	return watchTimeout + rand.N(watchTimeout)
}

// endsStream tells whether an error comes as an event: clients look for these
// there.
func endsStream(err error) bool {
	return apierrors.IsResourceExpired(err) || apierrors.IsGone(err) || apierrors.IsTimeout(err)
}

// refuse answers a watch that cannot begin. One whose time is over, while it
// waited for the state that its client has seen, ends like any other.
func (c *call) refuse(ctx context.Context, s *stream, err error) error {
	over := ctx.Err() != nil
	if !over && !endsStream(err) {
		return err
	}
	c.rec.code = http.StatusOK
	s.begin()
	if !over {
		s.end(err)
	}
	return nil
}

// stream is a response of watch events. A server has thousands that wait, seven
// for each node: nothing of the request is kept for one, and its goroutine waits
// in run, with a shallow stack.
type stream struct {
	s      *Server
	ep     *endpoint
	o      output
	w      http.ResponseWriter
	ctx    context.Context // the request's
	events *registry.Watch
	until  time.Time // when it ends by itself
	table  tableOptions
	headed bool // a Table's column definitions are sent

	// What is told of it at its end.
	key     seriesKey
	start   time.Time
	audited func(code int)
}

func (s *stream) begin() {
	typ := string(s.o.media)
	if s.o.media == mediaProtobuf {
		typ += ";stream=watch"
	}
	s.w.Header().Set("Content-Type", typ)
	s.w.WriteHeader(http.StatusOK)
	s.flush()
}

func (s *stream) flush() {
	if f, ok := s.w.(http.Flusher); ok {
		f.Flush()
	}
}

// run writes events until the client, the time or the server ends it. A watch lasts
// for an hour, and what asked for it is needed no more once the answer has begun.
func (s *stream) run(r *http.Request) {
	defer s.finish()
	s.begin()
	r.Header, r.URL, r.RequestURI = nil, nil, ""
	timer := time.NewTimer(s.sleep())
	defer timer.Stop()
	rang := false
	for wake := s.step(); wake != nil; wake = s.step() {
		if rang {
			rang = false
			timer.Reset(s.sleep())
		}
		select {
		case <-wake:
		case <-timer.C:
			rang = true
		case <-s.ctx.Done():
		case <-s.s.ended:
		}
	}
}

// sleep is how long there is nothing to do unless something happens. It is never
// nothing at all: a clock that was set back must not keep a processor busy.
func (s *stream) sleep() time.Duration {
	next := s.until
	if due := s.events.Due(); !due.IsZero() && due.Before(next) {
		next = due
	}
	return max(time.Until(next), time.Millisecond)
}

// buffers of events that are about to be written. A watch that waits has none.
var eventBuffers = sync.Pool{New: func() any { return new([]registry.WatchEvent) }}

// step writes what there is. It returns a channel that is closed when there may be
// more, nil if the stream is over.
func (s *stream) step() <-chan struct{} {
	buffer := eventBuffers.Get().(*[]registry.WatchEvent)
	defer eventBuffers.Put(buffer)
	for !s.over() {
		events, wake, err := s.events.Poll((*buffer)[:0])
		if err != nil {
			s.end(err)
			return nil
		}
		if len(events) == 0 {
			return wake
		}
		err = s.write(events)
		clear(events)
		*buffer = events
		if err != nil {
			return nil // the client is gone, or knows
		}
	}
	return nil
}

func (s *stream) over() bool {
	select {
	case <-s.s.ended:
		return true
	default:
		return s.ctx.Err() != nil || !time.Now().Before(s.until)
	}
}

func (s *stream) write(events []registry.WatchEvent) error {
	for i := range events {
		frame, err := s.frame(&events[i])
		if err != nil {
			s.end(apierrors.NewInternalError(err))
			return err
		}
		if _, err := s.w.Write(frame); err != nil {
			return err
		}
	}
	s.flush()
	return nil
}

// end says in the stream why it ends.
func (s *stream) end(err error) {
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return
	}
	status := s.s.statusOf(err, "verb", "watch", "resource", s.ep.gvr.GroupResource())
	status.TypeMeta = metav1.TypeMeta{APIVersion: "v1", Kind: "Status"}
	obj, err := appendAny(nil, output{media: s.o.media}, status)
	if err == nil {
		_, _ = s.w.Write(appendFrame(nil, s.o.media, watch.Error, obj))
		s.flush()
	}
}

// finish ends every stream, panicking ones too.
func (s *stream) finish() {
	if p := recover(); p != nil {
		s.s.survive(p, "verb", "watch", "resource", s.ep.gvr.GroupResource())
	}
	s.events.Close()
	if s.audited != nil {
		s.audited(http.StatusOK)
	}
	s.s.metrics.streamed(s)
}
