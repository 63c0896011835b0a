// Package store is what the API server sees of the cluster's state: keys with
// values, revisions, conditional transactions and watches.
//
// The implementations are store/mvcc (one replica's state, pure), and
// store/cluster (mvcc behind a Raft log). store/storetest holds the suite that
// every implementation passes.
//
// # Keys, values and revisions
//
// A key is resource.group/namespace/name (resource/namespace/name for the core
// group, and no namespace part for cluster-scoped resources). A value is opaque
// here. Every changed key consumes one revision: a transaction that changes
// three keys moves the store's revision by three, in the order of its
// operations. Revisions are the state machine's own counter, start at 1, never
// go back and are never reused, not even after a power cut that lost volatile
// changes (see Op.Volatile).
package store

import (
	"context"
	"sync"
)

// Item is one key as it was at some revision.
type Item struct {
	Key string
	// Value is immutable: it is shared between readers and stays valid forever.
	Value []byte
	// Revision is that of the change that wrote this value.
	Revision int64
}

// ReadOptions says which state a read may be answered from.
type ReadOptions struct {
	// Revision asks for the state at exactly this revision, 0 for the latest.
	// ErrCompacted if it is no longer kept, ErrFutureRevision if the store has
	// not reached it.
	Revision int64
	// MinRevision waits until the local state has reached it.
	MinRevision int64
	// Stale allows an answer from local state without asking a majority.
	Stale bool
}

// ListOptions narrows a List.
type ListOptions struct {
	ReadOptions
	// From is the first key (inclusive) to return, "" for the prefix's first.
	From string
	// Limit bounds the number of items, 0 for all.
	Limit int
}

// ListResult is one chunk of a List, sorted by key.
type ListResult struct {
	Items []Item
	// Revision is the state's revision that the whole list was read at.
	Revision int64
	// More tells that keys with the prefix follow the last item.
	More bool
	// Remaining counts the keys behind the last item; exact.
	Remaining int64
}

// AnyRevision as Op.Expect puts no condition on the key.
const AnyRevision int64 = -1

// Op is one change of a transaction.
type Op struct {
	Key string
	// Value replaces the key's value; nil deletes the key.
	Value []byte
	// Expect is the revision that the key must be at: AnyRevision for any,
	// 0 for a key that must not exist.
	Expect int64
	// Volatile marks a change that may be lost by a power cut (not by a crash of
	// the process alone): lease renewals, events, node heartbeats. It costs no
	// fsync. A later non-volatile change makes all before it durable.
	Volatile bool
}

// Event is one change as a watcher sees it. Events are shared between watchers
// and must not be modified.
type Event struct {
	Key string
	// Value is the new value, nil if the key was deleted.
	Value []byte
	// Prev is the value before, nil if the key did not exist.
	Prev []byte
	// Revision is that of this change.
	Revision int64
	// PrevRevision is the revision of Prev, 0 if the key did not exist.
	PrevRevision int64

	once sync.Once
	memo any
}

// Memo returns what make returned the first time that any reader called Memo on
// this event. Watchers of one resource share one decoding of it that way.
func (e *Event) Memo(make func() any) any {
	e.once.Do(func() { e.memo = make() })
	return e.memo
}

// Batch is a run of events in the order of their revisions.
type Batch struct {
	Events []*Event
	// Revision is the last one that the watcher is now known to have seen all
	// matching events up to. It can be greater than the last event's.
	Revision int64
}

// Watcher is a cursor over the changes of a prefix. It holds no buffer: one that
// falls behind the kept history gets ErrCompacted.
type Watcher interface {
	// Next blocks for at least one event, or for ctx to end (its error).
	Next(ctx context.Context) (Batch, error)
	// Poll returns what Next would, at once. Where Next would block it returns no
	// events, and a channel that is closed when there may be some.
	Poll() (Batch, <-chan struct{}, error)
	// Progress returns the revision that everything up to has been returned by
	// Next, at once. It moves on while nothing matches.
	Progress() int64
	// Close frees the cursor; Next then returns ErrClosed.
	Close()
}

// Store is the cluster's state. It is safe for concurrent use.
type Store interface {
	// Get returns the item at key, or ErrNotFound. The second result is the
	// revision of the state that was read.
	Get(ctx context.Context, key string, opts ReadOptions) (Item, int64, error)
	// List returns the items whose keys start with prefix.
	List(ctx context.Context, prefix string, opts ListOptions) (ListResult, error)
	// Count returns the number of keys that start with prefix.
	Count(ctx context.Context, prefix string) (int64, error)
	// Txn applies all of ops, or none and returns a *ConflictError for the first
	// one whose Expect does not hold. The result has the revision of each op, in
	// order; a delete of a missing key with AnyRevision changes nothing and has
	// revision 0. When it returns nil, the change is on the disks of a majority
	// (but see Op.Volatile) and visible to every later read and watch.
	// ErrUnknownOutcome says that the change may or may not happen.
	Txn(ctx context.Context, ops ...Op) ([]int64, error)
	// Watch returns a cursor over the changes of prefix with a revision greater
	// than after (0: from the oldest that is kept). ErrCompacted if they are not
	// all kept any more, ErrFutureRevision if after is beyond the store.
	Watch(prefix string, after int64) (Watcher, error)
	// Revision returns the local state's revision, at once.
	Revision() int64
	// Compact forgets the history up to and including revision.
	Compact(ctx context.Context, revision int64) error
}
