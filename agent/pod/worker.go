package pod

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
)

// worker is the actor of one pod. Its inbox is guarded by mu; all else belongs to
// the goroutine that empties the inbox.
type worker struct {
	m   *Manager
	uid types.UID
	// seen is when the worker was made.
	seen time.Time

	mu      sync.Mutex
	inbox   []func(*worker)
	running bool
	timer   *time.Timer

	// pod is the object as last seen, with the status of the API (for a static
	// pod: of its mirror). Nil for an orphan that was found in the runtime.
	pod *corev1.Pod
	// removed tells that the object is gone from the API, or the file for a
	// static pod.
	removed bool
	// disowned tells that the API has no pod of what was found in the runtime.
	disowned bool
	// mirror is the API's object of a static pod.
	mirror    *corev1.Pod
	mirroring bool

	view  view
	stale bool

	admitted bool
	// setUp tells that the cgroup and the volumes are there; refresh that
	// volumes with config are to be looked at again.
	setUp, refresh bool
	refreshAt      time.Time
	// end, if not nil, is why the pod is to be stopped for good.
	end *ending
	// tornDown tells that all but the dead containers is gone.
	tornDown bool
	// finished tells that nothing is left and the worker can be forgotten.
	finished bool

	op    *operation
	kills map[string]*kill
	// waits are why containers do not run, by name.
	waits map[string]wait
	// retryAt is when an operation of that name may be tried again.
	retryAt map[string]time.Time
	wakeAt  time.Time

	status     corev1.PodStatus
	hasStatus  bool
	writing    bool
	writeAfter time.Time
	writeDelay time.Duration
	sandboxErr string
	messages   map[string]string

	// shown is what others may read at any time.
	shown atomic.Pointer[shown]
}

// shown is a worker's state for readers outside of it.
type shown struct {
	pod    *corev1.Pod
	status corev1.PodStatus
	// admitted pods count against the node's resources until they are done.
	admitted, done bool
	// removed tells that the object, or the file, is gone.
	removed    bool
	sandbox    string
	containers []shownContainer
}

type shownContainer struct {
	name, id, logPath string
	attempt           int
	running           bool
}

// operation is what the worker does at the moment to bring the pod up.
type operation struct {
	name, container string
	cancel          context.CancelFunc
}

// wait is why a container does not run.
type wait struct{ reason, message string }

func newWorker(m *Manager, uid types.UID) *worker {
	w := &worker{
		m: m, uid: uid, seen: time.Now(), stale: true,
		kills: map[string]*kill{}, waits: map[string]wait{}, retryAt: map[string]time.Time{}, messages: map[string]string{},
	}
	w.timer = time.AfterFunc(time.Hour, func() { w.post(nil) })
	w.timer.Stop()
	return w
}

// post puts a message into the inbox. A nil one only makes the worker look.
func (w *worker) post(fn func(*worker)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if fn == nil {
		fn = func(*worker) {}
	}
	w.inbox = append(w.inbox, fn)
	if !w.running {
		w.running = w.m.spawn(w.loop)
	}
}

// pending tells whether there are messages that no sync has seen yet.
func (w *worker) pending() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.inbox) > 0
}

// loop empties the inbox and ends.
func (w *worker) loop() {
	for {
		w.mu.Lock()
		messages := w.inbox
		w.inbox = nil
		if len(messages) == 0 {
			w.running = false
			w.mu.Unlock()
			return
		}
		w.mu.Unlock()
		if w.finished || w.m.ctx.Err() != nil {
			continue
		}
		for _, fn := range messages {
			fn(w)
		}
		w.wakeAt = time.Time{}
		w.sync(w.m.ctx)
		w.schedule()
		if w.finished {
			w.m.forget(w)
		}
	}
}

// wake makes the worker look again at a time, or earlier.
func (w *worker) wake(at time.Time) {
	if w.wakeAt.IsZero() || at.Before(w.wakeAt) {
		w.wakeAt = at
	}
}

// schedule sets the timer to the earliest wake of the sync that has just ended.
func (w *worker) schedule() {
	if w.wakeAt.IsZero() || w.finished {
		w.timer.Stop()
		return
	}
	w.timer.Reset(max(time.Until(w.wakeAt), time.Millisecond))
}

// begin starts the operation that brings the pod up further; there must be none
// yet. What fn returns is run in the worker.
func (w *worker) begin(name, containerName string, fn func(context.Context) func(*worker)) {
	ctx, cancel := context.WithCancel(w.m.ctx)
	w.op = &operation{name: name, container: containerName, cancel: cancel}
	if !w.m.spawn(func() {
		defer cancel()
		done := fn(ctx)
		w.post(func(w *worker) {
			w.op = nil
			if done != nil {
				done(w)
			}
		})
	}) {
		cancel()
	}
}

// ready tells whether an operation's time for a retry has come, and otherwise
// wakes the worker then.
func (w *worker) ready(name string) bool {
	at, ok := w.retryAt[name]
	if !ok {
		return true
	}
	if time.Until(at) <= 0 {
		delete(w.retryAt, name)
		return true
	}
	w.wake(at)
	return false
}

// retry keeps an operation from being tried for a while.
func (w *worker) retry(name string, after time.Duration) {
	w.retryAt[name] = time.Now().Add(after)
}

// setPod takes a version of the object.
func (w *worker) setPod(pod *corev1.Pod) {
	if w.pod != nil && older(pod, w.pod) {
		return
	}
	w.pod = pod
	w.removed = false
	// Labels and annotations can be in volumes.
	w.refresh = true
}

// configChanged is called when an object that the pod refers to has changed:
// what failed for the lack of it may be tried at once.
func (w *worker) configChanged() {
	w.refresh = true
	for name, wait := range w.waits {
		if wait.reason == reasonConfigError {
			delete(w.retryAt, opStart+name)
		}
	}
	delete(w.retryAt, opSetup)
}

func (w *worker) log() *slog.Logger {
	if w.pod == nil {
		return w.m.cfg.Log.With("pod", string(w.uid))
	}
	return w.m.cfg.Log.With("pod", w.pod.Namespace+"/"+w.pod.Name)
}

// event records an event about the pod.
func (w *worker) event(kind, reason, message string) {
	w.m.cfg.Events.Event(podRef(w.pod), kind, reason, message)
}
