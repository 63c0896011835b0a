// Package events records core/v1 events as upstream's controllers do: the same
// aggregation of similar events, counting of equal ones and spam filter per
// object, without a broadcaster's goroutines. A Recorder owns a goroutine only
// while it has events to send.
package events

import (
	"context"
	"fmt"
	"log/slog"
	"sync"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/tools/record"
	"k8s.io/client-go/tools/reference"
	"k8s.io/utils/clock"
)

// limit bounds the events that wait to be sent; more are dropped, as they are
// by-products that must never hold up or outgrow the work.
const limit = 1000

// Sink sends the events of any number of recorders.
type Sink struct {
	client     kubernetes.Interface
	clock      clock.PassiveClock
	log        *slog.Logger
	correlator *record.EventCorrelator

	mu      sync.Mutex
	pending []*corev1.Event
	sending bool
	closed  bool
	wg      sync.WaitGroup
	ctx     context.Context
	cancel  context.CancelFunc
}

// NewSink returns a sink that writes with client.
func NewSink(client kubernetes.Interface, c clock.PassiveClock, log *slog.Logger) *Sink {
	ctx, cancel := context.WithCancel(context.Background())
	return &Sink{
		client: client, clock: c, log: log, ctx: ctx, cancel: cancel,
		correlator: record.NewEventCorrelatorWithOptions(record.CorrelatorOptions{LRUCacheSize: 512, Clock: c}),
	}
}

// Recorder returns a recorder whose events name component as their source.
func (s *Sink) Recorder(component string) record.EventRecorder {
	return &recorder{sink: s, component: component}
}

// Close drops what was not sent yet and waits for what is being sent.
func (s *Sink) Close() {
	s.mu.Lock()
	s.closed = true
	s.pending = nil
	s.mu.Unlock()
	s.cancel()
	s.wg.Wait()
}

type recorder struct {
	sink      *Sink
	component string
}

// Event implements record.EventRecorder.
func (r *recorder) Event(object runtime.Object, eventtype, reason, message string) {
	r.record(object, nil, eventtype, reason, message)
}

// Eventf implements record.EventRecorder.
func (r *recorder) Eventf(object runtime.Object, eventtype, reason, format string, args ...any) {
	r.record(object, nil, eventtype, reason, fmt.Sprintf(format, args...))
}

// AnnotatedEventf implements record.EventRecorder.
func (r *recorder) AnnotatedEventf(object runtime.Object, annotations map[string]string, eventtype, reason, format string, args ...any) {
	r.record(object, annotations, eventtype, reason, fmt.Sprintf(format, args...))
}

func (r *recorder) record(object runtime.Object, annotations map[string]string, eventtype, reason, message string) {
	ref, err := reference.GetReference(scheme.Scheme, object)
	if err != nil {
		r.sink.log.Error("event dropped: no reference to its object", "reason", reason, "err", err)
		return
	}
	now := metav1.NewTime(r.sink.clock.Now())
	ns := ref.Namespace
	if ns == "" {
		ns = metav1.NamespaceDefault
	}
	r.sink.add(&corev1.Event{
		ObjectMeta: metav1.ObjectMeta{
			Name: fmt.Sprintf("%v.%x", ref.Name, now.UnixNano()), Namespace: ns, Annotations: annotations,
		},
		InvolvedObject: *ref, Reason: reason, Message: message, Type: eventtype,
		FirstTimestamp: now, LastTimestamp: now, Count: 1,
		Source:              corev1.EventSource{Component: r.component},
		ReportingController: r.component,
	})
}

func (s *Sink) add(e *corev1.Event) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || len(s.pending) >= limit {
		return
	}
	s.pending = append(s.pending, e)
	if !s.sending {
		s.sending = true
		s.wg.Go(s.send)
	}
}

func (s *Sink) send() {
	for {
		s.mu.Lock()
		if len(s.pending) == 0 {
			s.pending, s.sending = nil, false
			s.mu.Unlock()
			return
		}
		e := s.pending[0]
		s.pending = s.pending[1:]
		s.mu.Unlock()
		s.write(e)
	}
}

// write creates the event, or counts it up in the one that it repeats. An event
// that is refused is dropped.
func (s *Sink) write(e *corev1.Event) {
	res, err := s.correlator.EventCorrelate(e)
	if err != nil || res.Skip {
		return
	}
	e = res.Event
	events := s.client.CoreV1().Events(e.Namespace)
	var out *corev1.Event
	if e.Count > 1 {
		out, err = events.Patch(s.ctx, e.Name, types.StrategicMergePatchType, res.Patch, metav1.PatchOptions{})
	}
	if e.Count <= 1 || apierrors.IsNotFound(err) {
		e.ResourceVersion = ""
		out, err = events.Create(s.ctx, e, metav1.CreateOptions{})
	}
	switch {
	case err == nil:
		s.correlator.UpdateState(out)
	case apierrors.IsAlreadyExists(err), apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause), apierrors.IsNotFound(err):
	default:
		s.log.Debug("event dropped", "reason", e.Reason, "object", e.InvolvedObject.Name, "err", err)
	}
}
