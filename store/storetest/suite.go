package storetest

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"skiff/store"
)

// Run is the suite that every implementation of store.Store passes. open returns
// an empty store that is closed when the test given to it ends.
func Run(t *testing.T, open func(t *testing.T) store.Store) {
	tests := []struct {
		name string
		run  func(t *testing.T, s store.Store)
	}{
		{"Txn/Create", testCreate},
		{"Txn/Update", testUpdate},
		{"Txn/Delete", testDelete},
		{"Txn/Conflict", testConflict},
		{"Txn/AllOrNone", testAllOrNone},
		{"Txn/Invalid", testInvalid},
		{"Txn/EmptyValue", testEmptyValue},
		{"Txn/Volatile", testVolatile},
		{"Txn/Cancelled", testCancelled},
		{"Txn/Concurrent", testConcurrent},
		{"Get/AtRevision", testGetAtRevision},
		{"Get/MinRevision", testMinRevision},
		{"List/Prefix", testListPrefix},
		{"List/Chunks", testListChunks},
		{"List/AtRevision", testListAtRevision},
		{"List/ValuesStay", testValuesStay},
		{"Count", testCount},
		{"Compact", testCompact},
		{"Watch/Events", testWatchEvents},
		{"Watch/FromRevision", testWatchFromRevision},
		{"Watch/Prefixes", testWatchPrefixes},
		{"Watch/Progress", testWatchProgress},
		{"Watch/Bounds", testWatchBounds},
		{"Watch/Poll", testWatchPoll},
		{"Watch/Close", testWatchClose},
		{"Watch/Shared", testWatchShared},
		{"Watch/Live", testWatchLive},
		{"Linearizable", testLinearizable},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) { tt.run(t, open(t)) })
	}
}

func put(key, value string, expect int64) store.Op {
	return store.Op{Key: key, Value: []byte(value), Expect: expect}
}

func del(key string, expect int64) store.Op {
	return store.Op{Key: key, Expect: expect}
}

// txn performs ops, which must succeed.
func txn(t *testing.T, s store.Store, ops ...store.Op) []int64 {
	t.Helper()
	revs, err := s.Txn(t.Context(), ops...)
	if err != nil {
		t.Fatalf("Txn(%v): %v", ops, err)
	}
	if len(revs) != len(ops) {
		t.Fatalf("Txn(%v) returned %d revisions", ops, len(revs))
	}
	return revs
}

func get(t *testing.T, s store.Store, key string, opts store.ReadOptions) (store.Item, int64) {
	t.Helper()
	item, rev, err := s.Get(t.Context(), key, opts)
	if err != nil {
		t.Fatalf("Get(%q, %+v): %v", key, opts, err)
	}
	return item, rev
}

func list(t *testing.T, s store.Store, prefix string, opts store.ListOptions) store.ListResult {
	t.Helper()
	res, err := s.List(t.Context(), prefix, opts)
	if err != nil {
		t.Fatalf("List(%q, %+v): %v", prefix, opts, err)
	}
	return res
}

func watch(t *testing.T, s store.Store, prefix string, after int64) store.Watcher {
	t.Helper()
	w, err := s.Watch(prefix, after)
	if err != nil {
		t.Fatalf("Watch(%q, %d): %v", prefix, after, err)
	}
	t.Cleanup(w.Close)
	return w
}

// next returns n events of w, in any number of batches.
func next(t *testing.T, w store.Watcher, n int) []string {
	t.Helper()
	var out []string
	for len(out) < n {
		batch, err := w.Next(t.Context())
		if err != nil {
			t.Fatalf("Next: %v", err)
		}
		for _, e := range batch.Events {
			out = append(out, show(e))
			if e.Revision > batch.Revision {
				t.Fatalf("event %s is behind its batch's revision %d", show(e), batch.Revision)
			}
		}
	}
	return out
}

// show writes an event as "revision key old@revision->new".
func show(e *store.Event) string {
	return fmt.Sprintf("%d %s %s@%d->%s", e.Revision, e.Key, value(e.Prev), e.PrevRevision, value(e.Value))
}

func value(v []byte) string {
	if v == nil {
		return "-"
	}
	return string(v)
}

// showItems writes items as "key=value@revision".
func showItems(items []store.Item) []string {
	var out []string
	for _, it := range items {
		out = append(out, fmt.Sprintf("%s=%s@%d", it.Key, it.Value, it.Revision))
	}
	return out
}

func wantEqual(t *testing.T, what string, got, want any) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

func wantErr(t *testing.T, what string, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("%s: got error %v, want %v", what, err, want)
	}
}

// wantNothing asserts that w has no event: everything that a writer was told is
// visible to it, so that a cancelled Next must not return one.
func wantNothing(t *testing.T, w store.Watcher) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	go cancel()
	batch, err := w.Next(ctx)
	if err == nil {
		t.Fatalf("Next returned %d events, first %s; want none", len(batch.Events), show(batch.Events[0]))
	}
	wantErr(t, "Next", err, context.Canceled)
}
