package registry

import (
	"context"
	"errors"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/watch"

	"skiff/store"
)

// bookmarkInterval is how often a watcher learns of the progress of a resource
// of which it sees no events.
const bookmarkInterval = time.Minute

// WatchOptions say what to watch.
type WatchOptions struct {
	Namespace       string
	Selector        Selector
	ResourceVersion string
	// SendInitialEvents begins with the present objects (KEP-3157).
	SendInitialEvents bool
	// Bookmarks asks for bookmark events.
	Bookmarks bool
}

// WatchEvent is one event of a watch. View is nil for bookmarks.
type WatchEvent struct {
	Type watch.EventType
	View *View
	// Revision is the resourceVersion of a bookmark.
	Revision int64
	// InitialEnd marks the bookmark behind the initial events.
	InitialEnd bool
}

// Watch is a cursor over the events of a resource. It has no goroutine, no timer
// and no buffer: whoever reads it drives it. Not safe for concurrent use.
type Watch struct {
	s         *Store
	sel       match
	cursor    store.Watcher
	initial   []store.Item
	start     int64 // the revision of the initial list
	listing   bool
	bookmarks bool
	told      int64 // the last revision that the client knows of
	due       time.Time
}

// Watch begins a watch. Errors that a client meets as an event of the stream
// (expired versions) are returned as well.
func (s *Store) Watch(ctx context.Context, opts WatchOptions) (*Watch, error) {
	version, err := parseVersion(opts.ResourceVersion)
	if err != nil {
		return nil, err
	}
	namespace := opts.Namespace
	w := &Watch{s: s, sel: opts.Selector.narrow(s, &namespace), bookmarks: opts.Bookmarks, listing: opts.SendInitialEvents}
	if w.listing {
		list, err := s.List(ctx, ListOptions{Namespace: opts.Namespace, Selector: opts.Selector, ResourceVersion: opts.ResourceVersion, Match: "NotOlderThan"})
		if err != nil {
			return nil, err
		}
		w.initial, version = list.Items, list.Revision
	} else if version == 0 {
		version = s.reg.backend.Revision()
	}
	prefix := s.prefix
	if namespace != "" && s.res.Namespaced {
		prefix += namespace + "/"
	}
	if w.sel.name != "" && (namespace != "" || !s.res.Namespaced) {
		prefix += w.sel.name
	}
	err = s.fresh(ctx, version, func(ctx context.Context) error {
		if version > s.reg.backend.Revision() {
			// Wait for the state that the client has seen on another server.
			if _, _, err := s.reg.backend.Get(ctx, prefix, store.ReadOptions{MinRevision: version, Stale: true}); err != nil && !isNotFound(err) {
				return err
			}
		}
		w.cursor, err = s.reg.backend.Watch(prefix, version)
		return err
	})
	if errors.Is(err, store.ErrCompacted) {
		return nil, apierrors.NewResourceExpired("The resourceVersion for the provided watch is too old.")
	}
	if err != nil {
		return nil, s.apiError(err, "")
	}
	w.start, w.told, w.due = version, version, s.reg.now().Add(bookmarkInterval)
	return w, nil
}

// Close ends the watch.
func (w *Watch) Close() { w.cursor.Close() }

// Due is when Poll has to be called even if nothing happens; zero means never.
func (w *Watch) Due() time.Time {
	if !w.bookmarks {
		return time.Time{}
	}
	return w.due
}

// Poll appends the next events to dst. If there are none it returns dst, and a
// channel that is closed when there may be some.
func (w *Watch) Poll(dst []WatchEvent) ([]WatchEvent, <-chan struct{}, error) {
	n := len(dst)
	if w.listing {
		dst = w.list(dst)
	}
	for len(dst) == n {
		batch, wake, err := w.cursor.Poll()
		if err != nil {
			return dst, nil, watchError(err)
		}
		for _, e := range batch.Events {
			if dst, err = w.add(dst, e); err != nil {
				return dst, nil, apierrors.NewInternalError(err)
			}
		}
		if len(dst) == n && w.bookmarks && !w.s.reg.now().Before(w.due) {
			dst = w.bookmark(dst)
		}
		if len(dst) == n && wake != nil {
			return dst, wake, nil
		}
	}
	return dst, nil, nil
}

// listBatch is how many initial events Poll returns at once.
const listBatch = 128

// list returns the next of the initial events, and the bookmark behind them.
func (w *Watch) list(dst []WatchEvent) []WatchEvent {
	n := min(len(w.initial), listBatch)
	for _, item := range w.initial[:n] {
		dst = append(dst, WatchEvent{Type: watch.Added, View: w.s.NewView(item)})
	}
	w.initial = w.initial[n:]
	if len(w.initial) > 0 {
		return dst
	}
	w.initial, w.listing = nil, false
	if w.bookmarks {
		dst = append(dst, WatchEvent{Type: watch.Bookmark, Revision: w.start, InitialEnd: true})
	}
	return dst
}

func watchError(err error) error {
	if errors.Is(err, store.ErrCompacted) {
		return apierrors.NewResourceExpired("The resourceVersion for the provided watch is too old.")
	}
	return err
}

// bookmark adds a bookmark if there is progress to tell of.
func (w *Watch) bookmark(dst []WatchEvent) []WatchEvent {
	w.due = w.s.reg.now().Add(bookmarkInterval)
	progress := w.cursor.Progress()
	if progress <= w.told {
		return dst
	}
	w.told = progress
	return append(dst, WatchEvent{Type: watch.Bookmark, Revision: progress})
}

// add translates a change of the store into what it is for the selector.
func (w *Watch) add(dst []WatchEvent, e *store.Event) ([]WatchEvent, error) {
	after, prior := w.s.views(e)
	now, err := w.selects(after)
	if err != nil {
		return dst, err
	}
	before := prior != nil
	if !w.sel.everything() {
		if before, err = w.selects(prior); err != nil {
			return dst, err
		}
	}
	switch {
	case now && before:
		dst = append(dst, WatchEvent{Type: watch.Modified, View: after})
	case now:
		dst = append(dst, WatchEvent{Type: watch.Added, View: after})
	case before:
		dst = append(dst, WatchEvent{Type: watch.Deleted, View: prior})
	default:
		return dst, nil
	}
	w.told = e.Revision
	return dst, nil
}

func (w *Watch) selects(v *View) (bool, error) {
	if v == nil {
		return false, nil
	}
	return w.s.matches(w.sel, v.Key, v.Value, v.Revision, v.Object)
}
