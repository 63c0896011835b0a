package offline

import (
	"context"
	"net/http"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/util/watchlist"
)

// firstLimit is how long a server may take to answer as long as nothing else is
// known and the disk has something. Where packets vanish it would be half a minute.
const firstLimit = 5 * time.Second

// listWatch lists and watches for one informer. Until the informer has its objects,
// a server that does not answer is replaced by the disk; from then on lists and
// watches wait for it, so that the informer's own growing delays, and its errors in
// the log, do not begin.
type listWatch struct {
	kind *kind
	real cache.ListerWatcherWithContext
	// plain tells that the client cannot stream lists.
	plain bool
	store *Store
	// synced tells whether the informer has its objects.
	synced func() bool

	// fromDisk tells that what the informer has is the disk's. Only the reflector's
	// goroutine uses it.
	fromDisk bool
}

func newListWatch(s *Store, k *kind, lw *cache.ListWatch, client any) *listWatch {
	return &listWatch{kind: k, real: lw, plain: watchlist.DoesClientNotSupportWatchListSemantics(client), store: s}
}

// IsWatchListSemanticsUnSupported tells the reflector how to list.
func (w *listWatch) IsWatchListSemanticsUnSupported() bool { return w.plain }

// List implements cache.Lister.
func (w *listWatch) List(o metav1.ListOptions) (runtime.Object, error) {
	return w.ListWithContext(context.Background(), o)
}

// Watch implements cache.Watcher.
func (w *listWatch) Watch(o metav1.ListOptions) (watch.Interface, error) {
	return w.WatchWithContext(context.Background(), o)
}

// ListWithContext implements cache.ListerWithContext.
func (w *listWatch) ListWithContext(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
	for {
		limited, cancel := context.WithCancel(ctx)
		stop := w.limit(cancel)
		list, err := w.real.ListWithContext(limited, o)
		stop()
		cancel()
		if ctx.Err() != nil || answered(err) {
			w.fromDisk = w.fromDisk && err != nil
			return list, err
		}
		lost := w.store.link.lost()
		if objects, ok := w.disk(); ok {
			w.fromDisk = true
			return w.listOf(objects)
		}
		if err := wait(ctx, lost); err != nil {
			return nil, err
		}
	}
}

// WatchWithContext implements cache.WatcherWithContext.
func (w *listWatch) WatchWithContext(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) {
	initial := o.SendInitialEvents != nil && *o.SendInitialEvents
	if w.fromDisk && !initial {
		return w.offline(ctx, nil), nil
	}
	for {
		limited, cancel := context.WithCancel(ctx)
		stop := w.limit(cancel)
		events, err := w.real.WatchWithContext(limited, o)
		stop()
		if ctx.Err() != nil || answered(err) {
			if err != nil {
				cancel()
				return nil, err
			}
			w.fromDisk = false
			return &owned{events, cancel}, nil
		}
		cancel()
		lost := w.store.link.lost()
		if objects, ok := w.disk(); ok && initial {
			w.fromDisk = true
			return w.offline(ctx, append(asEvents(objects), w.endOfList())), nil
		}
		if err := wait(ctx, lost); err != nil {
			return nil, err
		}
	}
}

// limit cancels a request that takes too long while the disk may have an answer.
func (w *listWatch) limit(cancel func()) (stop func()) {
	if w.synced() || !w.store.complete(w.kind) {
		return func() {}
	}
	if w.store.link.away() {
		// Another informer has found out already.
		cancel()
		return func() {}
	}
	t := time.AfterFunc(firstLimit, cancel)
	return func() { t.Stop() }
}

func wait(ctx context.Context, lost <-chan struct{}) error {
	select {
	case <-lost:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// disk are the objects that the disk has, if it has all and the informer none.
func (w *listWatch) disk() ([]object, bool) {
	if w.synced() {
		return nil, false
	}
	return w.store.load(w.kind)
}

func (w *listWatch) listOf(objects []object) (runtime.Object, error) {
	list := w.kind.list()
	items := make([]runtime.Object, len(objects))
	for i, o := range objects {
		items[i] = o
	}
	return list, meta.SetList(list, items)
}

func asEvents(objects []object) []watch.Event {
	events := make([]watch.Event, 0, len(objects)+1)
	for _, o := range objects {
		events = append(events, watch.Event{Type: watch.Added, Object: o})
	}
	return events
}

// endOfList ends the initial events of a streamed list. Without a version: the next
// list is to be the newest.
func (w *listWatch) endOfList() watch.Event {
	mark := w.kind.object()
	mark.SetAnnotations(map[string]string{metav1.InitialEventsAnnotationKey: "true"})
	return watch.Event{Type: watch.Bookmark, Object: mark}
}

// offline is a watch of what the disk had: it has no events but those given, and ends
// when the server answers, so that all is listed again.
func (w *listWatch) offline(ctx context.Context, events []watch.Event) watch.Interface {
	ctx, cancel := context.WithCancel(ctx)
	out := make(chan watch.Event)
	// Should the server have come back since the disk was read, it is asked once more.
	lost := w.store.link.lost()
	w.store.wg.Go(func() {
		defer close(out)
		for _, e := range events {
			select {
			case out <- e:
			case <-ctx.Done():
				return
			}
		}
		select {
		case <-lost:
		case <-ctx.Done():
			return
		}
		// The one error that the reflector answers by listing, without a word.
		select {
		case out <- watch.Event{Type: watch.Error, Object: &metav1.Status{
			Status: metav1.StatusFailure, Code: http.StatusGone, Reason: metav1.StatusReasonExpired, Message: "the API server answers again",
		}}:
		case <-ctx.Done():
		}
	})
	return &diskWatch{out, cancel}
}

// diskWatch is a watch without a server.
type diskWatch struct {
	events chan watch.Event
	cancel context.CancelFunc
}

// ResultChan implements watch.Interface.
func (d *diskWatch) ResultChan() <-chan watch.Event { return d.events }

// Stop implements watch.Interface.
func (d *diskWatch) Stop() { d.cancel() }

// owned is a watch whose context ends with it.
type owned struct {
	watch.Interface
	cancel context.CancelFunc
}

// Stop implements watch.Interface.
func (o *owned) Stop() {
	o.Interface.Stop()
	o.cancel()
}
