package objects

import (
	"context"
	"log/slog"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes"
)

// Watched follows each object that is referred to with a watch of its own. An
// object that says it is immutable is read once.
type Watched struct {
	index
	client  kubernetes.Interface
	memory  Memory
	log     *slog.Logger
	ctx     context.Context
	cancel  context.CancelFunc
	wg      sync.WaitGroup
	entries map[ref]*entry
}

// entry is one followed object.
type entry struct {
	cancel context.CancelFunc
	// known is closed once the object has been read, or found missing.
	known chan struct{}
	mu    sync.Mutex
	obj   runtime.Object
}

// NewWatched returns a source that reads with client. A memory, if not nil, keeps what
// is read and answers while the server does not.
func NewWatched(client kubernetes.Interface, memory Memory, log *slog.Logger) *Watched {
	if memory == nil {
		memory = forgetful{}
	}
	ctx, cancel := context.WithCancel(context.Background())
	return &Watched{index: newIndex(), client: client, memory: memory, log: log, ctx: ctx, cancel: cancel, entries: map[ref]*entry{}}
}

// Track implements Source.
func (w *Watched) Track(pod *corev1.Pod) {
	added := w.track(pod)
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, r := range added {
		if w.entries[r] != nil || len(w.byRef[r]) == 0 {
			continue
		}
		ctx, cancel := context.WithCancel(w.ctx)
		e := &entry{cancel: cancel, known: make(chan struct{})}
		w.entries[r] = e
		w.wg.Go(func() { w.follow(ctx, r, e) })
	}
}

// Untrack implements Source.
func (w *Watched) Untrack(uid types.UID) {
	removed := w.untrack(uid)
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, r := range removed {
		if e := w.entries[r]; e != nil && len(w.byRef[r]) == 0 {
			e.cancel()
			delete(w.entries, r)
			w.memory.Drop(r.secret, r.namespace, r.name)
		}
	}
}

// OnChange implements Source.
func (w *Watched) OnChange(notify func([]types.UID)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.notify = notify
}

// Close implements Source.
func (w *Watched) Close() {
	w.cancel()
	w.wg.Wait()
}

// ConfigMap implements Source.
func (w *Watched) ConfigMap(ctx context.Context, namespace, name string) (*corev1.ConfigMap, error) {
	obj, err := w.get(ctx, ref{false, namespace, name})
	if err != nil {
		return nil, err
	}
	return obj.(*corev1.ConfigMap), nil
}

// Secret implements Source.
func (w *Watched) Secret(ctx context.Context, namespace, name string) (*corev1.Secret, error) {
	obj, err := w.get(ctx, ref{true, namespace, name})
	if err != nil {
		return nil, err
	}
	return obj.(*corev1.Secret), nil
}

func (w *Watched) get(ctx context.Context, r ref) (runtime.Object, error) {
	w.mu.Lock()
	e := w.entries[r]
	w.mu.Unlock()
	if e == nil {
		return w.read(ctx, r)
	}
	select {
	case <-e.known:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	e.mu.Lock()
	obj := e.obj
	e.mu.Unlock()
	if obj == nil {
		// Not there when last seen: ask, because it may have been made a moment ago.
		return w.read(ctx, r)
	}
	return obj, nil
}

// read asks the API server, or the memory while that does not answer.
func (w *Watched) read(ctx context.Context, r ref) (runtime.Object, error) {
	obj, err := w.memory.Ask(ctx, r.secret, r.namespace, r.name, func(ctx context.Context) (runtime.Object, error) { return w.ask(ctx, r) })
	if obj == nil && err == nil {
		return nil, notFound(r)
	}
	return obj, err
}

// ask asks the API server.
func (w *Watched) ask(ctx context.Context, r ref) (runtime.Object, error) {
	var obj runtime.Object
	var err error
	if r.secret {
		obj, err = wrap(w.client.CoreV1().Secrets(r.namespace).Get(ctx, r.name, metav1.GetOptions{}))
	} else {
		obj, err = wrap(w.client.CoreV1().ConfigMaps(r.namespace).Get(ctx, r.name, metav1.GetOptions{}))
	}
	if apierrors.IsNotFound(err) {
		err = notFound(r)
	}
	return obj, err
}

// wrap keeps a nil pointer from becoming a non-nil interface.
func wrap[T runtime.Object](obj T, err error) (runtime.Object, error) {
	if err != nil {
		return nil, err
	}
	return obj, nil
}

// follow keeps e up to date until ctx ends.
func (w *Watched) follow(ctx context.Context, r ref, e *entry) {
	for delay := time.Second; ctx.Err() == nil; delay = min(2*delay, 30*time.Second) {
		began := time.Now()
		done, err := w.followOnce(ctx, r, e)
		if done {
			return
		}
		if w.memory.Wait(ctx, err) {
			delay = time.Second
			continue // the server answers again
		}
		if err == nil && time.Since(began) > 10*time.Second {
			delay = time.Second // a watch that ended normally
		}
		select {
		case <-ctx.Done():
		case <-time.After(delay):
		}
	}
}

// followOnce reads the object and watches it for as long as the server lets it.
// done tells that the object never changes again.
func (w *Watched) followOnce(ctx context.Context, r ref, e *entry) (done bool, err error) {
	obj, err := w.read(ctx, r)
	if err != nil && !apierrors.IsNotFound(err) {
		return false, err
	}
	w.set(r, e, obj)
	if immutable(obj) {
		return true, nil
	}
	opts := metav1.ListOptions{FieldSelector: fields.OneTermEqualSelector(metav1.ObjectNameField, r.name).String(), AllowWatchBookmarks: true}
	var events watch.Interface
	if r.secret {
		events, err = w.client.CoreV1().Secrets(r.namespace).Watch(ctx, opts)
	} else {
		events, err = w.client.CoreV1().ConfigMaps(r.namespace).Watch(ctx, opts)
	}
	if err != nil {
		return false, err
	}
	defer events.Stop()
	for {
		select {
		case <-ctx.Done():
			return true, nil
		case ev, ok := <-events.ResultChan():
			if !ok {
				return false, nil
			}
			if done, err := w.handle(r, e, ev); done || err != nil {
				return done, err
			}
		}
	}
}

// handle takes in one event.
func (w *Watched) handle(r ref, e *entry, ev watch.Event) (done bool, err error) {
	switch ev.Type {
	case watch.Added, watch.Modified:
		w.set(r, e, ev.Object)
		return immutable(ev.Object), nil
	case watch.Deleted:
		w.set(r, e, nil)
	case watch.Error:
		return false, apierrors.FromObject(ev.Object)
	}
	return false, nil
}

// set stores a state of the object and tells the pods if it is a new one.
func (w *Watched) set(r ref, e *entry, obj runtime.Object) {
	e.mu.Lock()
	same := version(e.obj) == version(obj)
	e.obj = obj
	e.mu.Unlock()
	w.mu.Lock()
	if w.entries[r] == e { // else nobody refers to it any more
		w.memory.Keep(r.secret, r.namespace, r.name, obj)
	}
	w.mu.Unlock()
	select {
	case <-e.known:
		if !same {
			w.changed(r)
		}
	default:
		close(e.known)
	}
}

func version(obj runtime.Object) string {
	if m, ok := obj.(metav1.Object); ok && m != nil {
		return string(m.GetUID()) + "/" + m.GetResourceVersion()
	}
	return ""
}

func immutable(obj runtime.Object) bool {
	switch o := obj.(type) {
	case *corev1.ConfigMap:
		return o.Immutable != nil && *o.Immutable
	case *corev1.Secret:
		return o.Immutable != nil && *o.Immutable
	}
	return false
}
