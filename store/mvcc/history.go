package mvcc

import (
	"context"
	"sort"
	"strings"
	"sync"

	"skiff/store"
)

// Limits bound the history. A zero field means the default.
type Limits struct {
	// Events is the greatest number of events kept.
	Events int
	// Bytes is the greatest sum of the sizes of keys and values kept.
	Bytes int
}

// Defaults of Limits: some minutes of a busy small cluster. The bytes are
// anonymous memory, which time-based compaction gives back when a burst is over.
const (
	DefaultEvents = 50_000
	DefaultBytes  = 16 << 20
)

// eventOverhead is about what an Event costs besides its key and values.
const eventOverhead = 160

func (l Limits) withDefaults() Limits {
	if l.Events <= 0 {
		l.Events = DefaultEvents
	}
	if l.Bytes <= 0 {
		l.Bytes = DefaultBytes
	}
	return l
}

// eventLog is the events of one resource (or of all), oldest first.
type eventLog struct {
	events []*store.Event
	// lost is the revision of the newest event that is no longer kept.
	lost int64
	// wake is closed when an event is added; nil while nobody waits.
	wake chan struct{}
	// dirty marks a log that the batch in progress has added to.
	dirty bool
	// watchers counts the cursors on this log, which keep it in its place.
	watchers int
	// dead tells that the state was replaced: cursors have lost their place.
	dead bool
}

// after returns the events with a revision greater than rev.
func (l *eventLog) after(rev int64) []*store.Event {
	n := len(l.events)
	if n == 0 || l.events[n-1].Revision <= rev {
		return nil
	}
	i := sort.Search(n, func(i int) bool { return l.events[i].Revision > rev })
	return l.events[i:]
}

func (l *eventLog) pop() {
	l.lost = l.events[0].Revision
	l.events[0] = nil
	l.events = l.events[1:]
	if len(l.events) == 0 {
		l.events = nil
	}
}

// history is the bounded run of recent events, indexed by resource (the first
// path segment of the key), so that a watcher scans only its own resource's.
type history struct {
	limits Limits

	mu        sync.RWMutex
	all       *eventLog
	resources map[string]*eventLog
	bytes     int
	// base is the revision up to which everything was compacted on purpose, or
	// had happened before this history began.
	base int64
	// revision is that of the last change that is visible to readers.
	revision int64
	dirty    []*eventLog
	closed   bool
}

func newHistory(revision int64, limits Limits) *history {
	return &history{
		limits:    limits.withDefaults(),
		all:       &eventLog{lost: revision},
		resources: map[string]*eventLog{},
		base:      revision,
		revision:  revision,
	}
}

// resourceOf returns the first path segment of key, and whether a slash ends it.
func resourceOf(key string) (string, bool) {
	i := strings.IndexByte(key, '/')
	if i < 0 {
		return key, false
	}
	return key[:i], true
}

func size(e *store.Event) int {
	return len(e.Key) + len(e.Value) + eventOverhead
}

// add appends the events of one transaction; wake follows at the batch's end.
func (h *history) add(events []*store.Event, revision int64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, e := range events {
		name, _ := resourceOf(e.Key)
		l := h.resources[name]
		if l == nil {
			l = &eventLog{lost: h.base}
			h.resources[name] = l
		}
		l.events = append(l.events, e)
		h.all.events = append(h.all.events, e)
		h.bytes += size(e)
		h.markDirty(l)
	}
	h.revision = revision
	h.markDirty(h.all)
	for len(h.all.events) > h.limits.Events || (h.bytes > h.limits.Bytes && len(h.all.events) > 1) {
		h.evict()
	}
}

func (h *history) markDirty(l *eventLog) {
	if !l.dirty {
		l.dirty = true
		h.dirty = append(h.dirty, l)
	}
}

// evict forgets the oldest event.
func (h *history) evict() {
	e := h.all.events[0]
	name, _ := resourceOf(e.Key)
	h.resources[name].pop()
	h.all.pop()
	h.bytes -= size(e)
}

// wake lets the waiters of the logs that grew since the last call go on.
func (h *history) wake() {
	h.mu.Lock()
	defer h.mu.Unlock()
	for i, l := range h.dirty {
		l.signal()
		l.dirty = false
		h.dirty[i] = nil
	}
	h.dirty = h.dirty[:0]
}

func (l *eventLog) signal() {
	if l.wake != nil {
		close(l.wake)
		l.wake = nil
	}
}

// compact forgets everything up to and including revision.
func (h *history) compact(revision int64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if revision > h.revision {
		revision = h.revision
	}
	if revision <= h.base {
		return
	}
	h.base = revision
	for len(h.all.events) > 0 && h.all.events[0].Revision <= revision {
		h.evict()
	}
	for name, l := range h.resources {
		// A log without events and watchers is made again when needed: names
		// of custom resources that came and went must not pile up.
		if len(l.events) == 0 && l.watchers == 0 && !l.dirty {
			delete(h.resources, name)
		}
	}
}

// reset starts again at revision; every cursor behind it has lost its place.
func (h *history) reset(revision int64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, l := range h.resources {
		l.dead = true
		l.signal()
	}
	h.all.dead = true
	h.all.signal()
	h.all = &eventLog{lost: revision}
	h.resources = map[string]*eventLog{}
	h.bytes, h.dirty = 0, nil
	h.base, h.revision = revision, revision
}

// advance moves the revision without an event, and forgets what was before.
func (h *history) advance(revision int64) {
	h.mu.Lock()
	h.revision = revision
	h.markDirty(h.all)
	h.mu.Unlock()
	h.compact(revision)
}

func (h *history) close() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.closed = true
	for _, l := range h.resources {
		l.signal()
	}
	h.all.signal()
}

// log returns the log that has all events of prefix, made if it is missing.
func (h *history) log(prefix string) *eventLog {
	name, whole := resourceOf(prefix)
	if !whole {
		return h.all
	}
	l := h.resources[name]
	if l == nil {
		l = &eventLog{lost: h.base}
		h.resources[name] = l
	}
	return l
}

// lostAfter tells whether events of l that follow rev are no longer kept.
func (h *history) lostAfter(l *eventLog, rev int64) bool {
	return rev < h.base || rev < l.lost
}

// undo returns, for each key of prefix that was changed after rev, the first
// such change: its Prev is the value at rev. Sorted by key.
func (h *history) undo(prefix string, rev int64) ([]*store.Event, error) {
	h.mu.RLock()
	defer h.mu.RUnlock()
	if rev > h.revision {
		return nil, store.ErrFutureRevision
	}
	name, whole := resourceOf(prefix)
	l := h.all
	if whole {
		if l = h.resources[name]; l == nil {
			l = &eventLog{lost: h.base}
		}
	}
	if h.lostAfter(l, rev) {
		return nil, store.ErrCompacted
	}
	var out []*store.Event
	seen := map[string]bool{}
	for _, e := range l.after(rev) {
		if strings.HasPrefix(e.Key, prefix) && !seen[e.Key] {
			seen[e.Key] = true
			out = append(out, e)
		}
	}
	sort.Slice(out, func(i, j int) bool { return out[i].Key < out[j].Key })
	return out, nil
}

// wait blocks until the revision is reached.
func (h *history) wait(ctx context.Context, revision int64) error {
	for {
		h.mu.Lock()
		if h.revision >= revision {
			h.mu.Unlock()
			return nil
		}
		if h.closed {
			h.mu.Unlock()
			return store.ErrClosed
		}
		wake := h.all.waiter()
		h.mu.Unlock()
		select {
		case <-wake:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (l *eventLog) waiter() chan struct{} {
	if l.wake == nil {
		l.wake = make(chan struct{})
	}
	return l.wake
}
