package mvcc

import (
	"context"
	"strings"
	"sync"

	"skiff/store"
)

// maxBatch bounds the events that one Next returns, so that a watcher that
// starts far behind does not hold the history's lock for long.
const maxBatch = 1024

// watcher is a cursor over one log of the history. It holds no events.
// Locks are taken in the order history.mu, watcher.mu.
type watcher struct {
	h      *history
	log    *eventLog
	prefix string

	mu     sync.Mutex
	closed bool
	// done is closed by Close, made by the first Next that waits.
	done chan struct{}
	// cursor is the revision up to which all matching events were returned.
	cursor int64
}

func (h *history) watch(prefix string, after int64) (store.Watcher, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		return nil, store.ErrClosed
	}
	if after > h.revision {
		return nil, store.ErrFutureRevision
	}
	l := h.log(prefix)
	if after == 0 {
		after = max(h.base, l.lost)
	} else if h.lostAfter(l, after) {
		return nil, store.ErrCompacted
	}
	l.watchers++
	return &watcher{h: h, log: l, prefix: prefix, cursor: after}, nil
}

// Next implements store.Watcher.
func (w *watcher) Next(ctx context.Context) (store.Batch, error) {
	for {
		if err := ctx.Err(); err != nil {
			return store.Batch{}, err
		}
		batch, wake, err := w.Poll()
		if err != nil || len(batch.Events) > 0 {
			return batch, err
		}
		select {
		case <-wake:
		case <-ctx.Done():
			return store.Batch{}, ctx.Err()
		case <-w.ended():
			return store.Batch{}, store.ErrClosed
		}
	}
}

// ended returns a channel that is closed once the watcher is.
func (w *watcher) ended() <-chan struct{} {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.done == nil {
		w.done = make(chan struct{})
		if w.closed {
			close(w.done)
		}
	}
	return w.done
}

// Poll implements store.Watcher.
func (w *watcher) Poll() (store.Batch, <-chan struct{}, error) {
	w.h.mu.RLock()
	batch, err := w.take()
	wake := w.log.wake
	w.h.mu.RUnlock()
	if err != nil || len(batch.Events) > 0 || wake != nil {
		return batch, wake, err
	}
	// Nobody waits yet: the channel can only be made under the full lock, and
	// something may have been added before that was had.
	w.h.mu.Lock()
	defer w.h.mu.Unlock()
	if batch, err = w.take(); err != nil || len(batch.Events) > 0 {
		return batch, nil, err
	}
	return store.Batch{}, w.log.waiter(), nil
}

// take advances the cursor over the events that it returns. It needs the
// history's lock, shared or not.
func (w *watcher) take() (store.Batch, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if err := w.check(); err != nil {
		return store.Batch{}, err
	}
	var events []*store.Event
	for _, e := range w.log.after(w.cursor) {
		if !strings.HasPrefix(e.Key, w.prefix) {
			continue
		}
		if len(events) == maxBatch {
			w.cursor = events[maxBatch-1].Revision
			return store.Batch{Events: events, Revision: w.cursor}, nil
		}
		events = append(events, e)
	}
	w.cursor = w.h.revision
	return store.Batch{Events: events, Revision: w.cursor}, nil
}

func (w *watcher) check() error {
	switch {
	case w.closed || w.h.closed:
		return store.ErrClosed
	case w.log.dead || w.cursor < w.log.lost:
		return store.ErrCompacted
	}
	return nil
}

// Progress implements store.Watcher.
func (w *watcher) Progress() int64 {
	w.h.mu.RLock()
	defer w.h.mu.RUnlock()
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.check() != nil {
		return w.cursor
	}
	for _, e := range w.log.after(w.cursor) {
		if strings.HasPrefix(e.Key, w.prefix) {
			w.cursor = e.Revision - 1
			return w.cursor
		}
	}
	w.cursor = w.h.revision
	return w.cursor
}

// Close implements store.Watcher.
func (w *watcher) Close() {
	w.h.mu.Lock()
	defer w.h.mu.Unlock()
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		return
	}
	w.closed = true
	w.log.watchers--
	if w.done != nil {
		close(w.done)
	}
}
