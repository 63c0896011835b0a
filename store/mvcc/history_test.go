package mvcc_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"

	"skiff/store"
	"skiff/store/mvcc"
)

func put(t testing.TB, s store.Store, key string) int64 {
	t.Helper()
	revs, err := s.Txn(context.Background(), store.Op{Key: key, Value: []byte("v"), Expect: store.AnyRevision})
	if err != nil {
		t.Fatal(err)
	}
	return revs[0]
}

// TestBoundedByResource asserts that a busy resource pushes its own events out,
// and that a watch of a quiet one goes on all the same.
func TestBoundedByResource(t *testing.T) {
	s := mvcc.NewStoreWithLimits(mvcc.Limits{Events: 10})
	start := put(t, s, "nodes/a")
	behind, err := s.Watch("pods/", start)
	if err != nil {
		t.Fatal(err)
	}
	quiet, err := s.Watch("secrets/", start)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 50 {
		put(t, s, fmt.Sprintf("pods/a/%d", i))
	}
	if _, err := behind.Next(t.Context()); !errors.Is(err, store.ErrCompacted) {
		t.Errorf("a watcher that fell behind: %v, want %v", err, store.ErrCompacted)
	}
	if _, err := s.Watch("pods/", start); !errors.Is(err, store.ErrCompacted) {
		t.Errorf("a watch of events that are gone: %v, want %v", err, store.ErrCompacted)
	}
	if _, err := s.Watch("secrets/", start); err != nil {
		t.Errorf("a watch of a resource that did not change: %v", err)
	}
	if _, _, err := s.Get(t.Context(), "pods/a/1", store.ReadOptions{Revision: start + 1}); !errors.Is(err, store.ErrCompacted) {
		t.Errorf("read at a revision that is gone: %v, want %v", err, store.ErrCompacted)
	}
	rev := put(t, s, "secrets/x")
	batch, err := quiet.Next(t.Context())
	if err != nil || len(batch.Events) != 1 || batch.Revision != rev {
		t.Errorf("the quiet watcher got %+v, %v", batch, err)
	}
}

func TestBoundedByBytes(t *testing.T) {
	s := mvcc.NewStoreWithLimits(mvcc.Limits{Bytes: 10_000})
	for i := range 100 {
		if _, err := s.Txn(t.Context(), store.Op{Key: fmt.Sprintf("pods/%d", i), Value: make([]byte, 1000)}); err != nil {
			t.Fatal(err)
		}
	}
	w, err := s.Watch("pods/", 0)
	if err != nil {
		t.Fatal(err)
	}
	batch, err := w.Next(t.Context())
	if err != nil || len(batch.Events) < 5 || len(batch.Events) > 10 {
		t.Errorf("%d events are kept, %v; want about 8", len(batch.Events), err)
	}
}

// TestWakesOnlyItsOwn asserts that a change wakes no watcher of another resource.
func TestWakesOnlyItsOwn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := mvcc.NewStore()
		ctx, cancel := context.WithCancel(t.Context())
		woken := map[string]int{}
		for _, prefix := range []string{"pods/", "nodes/"} {
			w, err := s.Watch(prefix, 0)
			if err != nil {
				t.Fatal(err)
			}
			go func() {
				for {
					batch, err := w.Next(ctx)
					if err != nil {
						return
					}
					woken[prefix] += len(batch.Events)
				}
			}()
		}
		synctest.Wait()
		put(t, s, "pods/a")
		synctest.Wait()
		if woken["pods/"] != 1 || woken["nodes/"] != 0 {
			t.Errorf("woken: %v", woken)
		}
		cancel()
		synctest.Wait()
	})
}

// TestManyResources asserts that the index of resources that came and went does
// not grow without bound, and that a watcher keeps its place in it.
func TestManyResources(t *testing.T) {
	s := mvcc.NewStore()
	w, err := s.Watch("r7/", 0)
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		for i := range 20 {
			put(t, s, fmt.Sprintf("r%d/x", i))
		}
		if batch, err := w.Next(t.Context()); err != nil || len(batch.Events) != 1 {
			t.Fatalf("got %+v, %v", batch, err)
		}
		if err := s.Compact(t.Context(), s.Revision()); err != nil {
			t.Fatal(err)
		}
	}
	if n := s.Resources(); n != 1 {
		t.Errorf("%d resources are indexed, want the one that is watched", n)
	}
}

func TestPrefixEnd(t *testing.T) {
	for prefix, want := range map[string]string{"": "", "a": "b", "pods/": "pods0", "a\xff": "b", "\xff\xff": ""} {
		if got := mvcc.PrefixEnd(prefix); got != want {
			t.Errorf("PrefixEnd(%q) = %q, want %q", prefix, got, want)
		}
	}
}

// BenchmarkWatchers has many watchers of other resources beside one that gets
// the change: they cost nothing.
func BenchmarkWatchers(b *testing.B) {
	for _, n := range []int{1, 1000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			s := mvcc.NewStore()
			for range n {
				w, err := s.Watch("nodes/", 0)
				if err != nil {
					b.Fatal(err)
				}
				go func() { _, _ = w.Next(b.Context()) }()
			}
			w, err := s.Watch("pods/", 0)
			if err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			for b.Loop() {
				put(b, s, "pods/a/x")
				if _, err := w.Next(b.Context()); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
