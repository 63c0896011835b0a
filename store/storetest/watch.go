package storetest

import (
	"fmt"
	"sync"
	"testing"

	"skiff/store"
)

func testWatchEvents(t *testing.T, s store.Store) {
	w := watch(t, s, "pods/", s.Revision())
	one := txn(t, s, put("pods/a/x", "1", 0))[0]
	txn(t, s, put("pods/a/x", "2", one), put("nodes/n", "1", 0), put("pods/a/y", "1", 0))
	txn(t, s, del("pods/a/x", one+1))
	wantEqual(t, "events", next(t, w, 4), []string{
		fmt.Sprintf("%d pods/a/x -@0->1", one),
		fmt.Sprintf("%d pods/a/x 1@%d->2", one+1, one),
		fmt.Sprintf("%d pods/a/y -@0->1", one+3),
		fmt.Sprintf("%d pods/a/x 2@%d->-", one+4, one+1),
	})
	wantNothing(t, w)
	wantEqual(t, "progress", w.Progress(), s.Revision())
}

func testWatchPoll(t *testing.T, s store.Store) {
	w := watch(t, s, "pods/a/", s.Revision())
	poll := func() ([]*store.Event, <-chan struct{}) {
		t.Helper()
		batch, wake, err := w.Poll()
		if err != nil {
			t.Fatal(err)
		}
		return batch.Events, wake
	}
	events, wake := poll()
	wantEqual(t, "events before any", len(events), 0)
	txn(t, s, put("pods/a/x", "1", 0))
	<-wake
	events, _ = poll()
	wantEqual(t, "events", len(events), 1)
	events, wake = poll()
	wantEqual(t, "events after the last", len(events), 0)
	w.Close()
	if _, _, err := w.Poll(); err == nil {
		t.Error("a closed watcher was polled")
	}
	txn(t, s, put("pods/a/x", "2", store.AnyRevision))
	<-wake // nobody who waits is left behind
}

func testWatchFromRevision(t *testing.T, s store.Store) {
	base := s.Revision()
	for i := range 5 {
		txn(t, s, put(fmt.Sprintf("pods/a/%d", i), "v", 0))
	}
	for i := range 5 {
		after := base + int64(i)
		if after == 0 {
			continue // 0 asks for the oldest, which is the same here
		}
		got := next(t, watch(t, s, "pods/", after), 5-i)
		wantEqual(t, "number of events", len(got), 5-i)
		wantEqual(t, "first event", got[0], fmt.Sprintf("%d pods/a/%d -@0->v", after+1, i))
	}
	wantNothing(t, watch(t, s, "pods/", s.Revision()))
}

func testWatchPrefixes(t *testing.T, s store.Store) {
	after := s.Revision()
	watchers := map[string]store.Watcher{}
	for _, p := range []string{"", "pods/", "pods/a/", "pods/a/x", "pod", "nodes/"} {
		watchers[p] = watch(t, s, p, after)
	}
	revs := txn(t, s, put("pods/a/x", "1", 0), put("pods/b/x", "1", 0), put("podtemplates/a/x", "1", 0), put("nodes/n", "1", 0))
	line := func(i int, key string) string { return fmt.Sprintf("%d %s -@0->1", revs[i], key) }
	for prefix, want := range map[string][]string{
		"":         {line(0, "pods/a/x"), line(1, "pods/b/x"), line(2, "podtemplates/a/x"), line(3, "nodes/n")},
		"pods/":    {line(0, "pods/a/x"), line(1, "pods/b/x")},
		"pods/a/":  {line(0, "pods/a/x")},
		"pods/a/x": {line(0, "pods/a/x")},
		"pod":      {line(0, "pods/a/x"), line(1, "pods/b/x"), line(2, "podtemplates/a/x")},
		"nodes/":   {line(3, "nodes/n")},
	} {
		wantEqual(t, "events of "+prefix, next(t, watchers[prefix], len(want)), want)
		wantNothing(t, watchers[prefix])
	}
}

func testWatchProgress(t *testing.T, s store.Store) {
	w := watch(t, s, "pods/a/", s.Revision())
	for i := range 3 {
		rev := txn(t, s, put(fmt.Sprintf("nodes/%d", i), "1", 0), put(fmt.Sprintf("pods/b/%d", i), "1", 0))[1]
		wantEqual(t, "progress without a match", w.Progress(), rev)
	}
	rev := txn(t, s, put("pods/a/x", "1", 0))[0]
	txn(t, s, put("pods/a/y", "1", 0), put("nodes/n", "1", 0))
	wantEqual(t, "progress before an event", w.Progress(), rev-1)
	next(t, w, 2)
	wantEqual(t, "progress behind the events", w.Progress(), rev+2)
	// A watcher that saw nothing of its own loses nothing by a compaction.
	txn(t, s, put("nodes/n", "2", store.AnyRevision))
	if err := s.Compact(t.Context(), s.Revision()); err != nil {
		t.Fatal(err)
	}
	last := txn(t, s, put("pods/a/z", "1", 0))[0]
	wantEqual(t, "events", next(t, w, 1), []string{fmt.Sprintf("%d pods/a/z -@0->1", last)})
}

func testWatchBounds(t *testing.T, s store.Store) {
	rev := txn(t, s, put("pods/a/x", "1", 0))[0]
	_, err := s.Watch("pods/", rev+1)
	wantErr(t, "Watch in the future", err, store.ErrFutureRevision)
	w := watch(t, s, "pods/", rev)
	txn(t, s, put("pods/a/x", "2", rev))
	if err := s.Compact(t.Context(), s.Revision()); err != nil {
		t.Fatal(err)
	}
	_, err = w.Next(t.Context())
	wantErr(t, "Next of a watcher that fell behind", err, store.ErrCompacted)
}

func testWatchClose(t *testing.T, s store.Store) {
	w := watch(t, s, "pods/", s.Revision())
	done := make(chan error, 1)
	go func() {
		_, err := w.Next(t.Context())
		done <- err
	}()
	w.Close()
	wantErr(t, "Next", <-done, store.ErrClosed)
	_, err := w.Next(t.Context())
	wantErr(t, "Next again", err, store.ErrClosed)
	w.Close()
}

func testWatchShared(t *testing.T, s store.Store) {
	a, b := watch(t, s, "pods/", s.Revision()), watch(t, s, "pods/a/", s.Revision())
	txn(t, s, put("pods/a/x", "1", 0))
	made := 0
	for _, w := range []store.Watcher{a, b} {
		batch, err := w.Next(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		got := batch.Events[0].Memo(func() any { made++; return made })
		wantEqual(t, "memo", got, any(1))
	}
}

// testWatchLive has watchers follow writers and asserts that each sees every
// change once, in the order of the revisions.
func testWatchLive(t *testing.T, s store.Store) {
	const writers, each, watchers = 4, 50, 6
	after := s.Revision()
	var wg sync.WaitGroup
	for i := range watchers {
		prefix, want := "pods/", writers*each
		if i%2 == 1 {
			prefix, want = "pods/1/", each
		}
		w := watch(t, s, prefix, after)
		wg.Go(func() { follow(t, w, after, want) })
	}
	for i := range writers {
		wg.Go(func() {
			for n := range each {
				if _, err := s.Txn(t.Context(), put(fmt.Sprintf("pods/%d/%d", i, n), "1", 0)); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
}

func follow(t *testing.T, w store.Watcher, last int64, want int) {
	for seen := 0; seen < want; {
		batch, err := w.Next(t.Context())
		if err != nil {
			t.Errorf("Next after %d of %d events: %v", seen, want, err)
			return
		}
		for _, e := range batch.Events {
			if e.Revision <= last {
				t.Errorf("event %s follows revision %d", show(e), last)
			}
			last = e.Revision
			seen++
		}
	}
}
