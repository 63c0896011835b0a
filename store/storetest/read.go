package storetest

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"skiff/store"
)

func testGetAtRevision(t *testing.T, s store.Store) {
	one := txn(t, s, put("pods/a/x", "1", 0))[0]
	two := txn(t, s, put("pods/a/x", "2", one))[0]
	gone := txn(t, s, del("pods/a/x", two))[0]
	again := txn(t, s, put("pods/a/x", "3", 0))[0]
	for rev, want := range map[int64]string{one: "1", two: "2", again: "3"} {
		item, at := get(t, s, "pods/a/x", store.ReadOptions{Revision: rev})
		wantEqual(t, "item", showItems([]store.Item{item}), []string{fmt.Sprintf("pods/a/x=%s@%d", want, rev)})
		wantEqual(t, "revision of the read", at, rev)
	}
	_, _, err := s.Get(t.Context(), "pods/a/x", store.ReadOptions{Revision: gone})
	wantErr(t, "Get at the delete", err, store.ErrNotFound)
	_, _, err = s.Get(t.Context(), "pods/a/x", store.ReadOptions{Revision: again + 1})
	wantErr(t, "Get in the future", err, store.ErrFutureRevision)
}

func testMinRevision(t *testing.T, s store.Store) {
	rev := txn(t, s, put("pods/a/x", "1", 0))[0]
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, _, err := s.Get(ctx, "pods/a/x", store.ReadOptions{MinRevision: rev + 1})
	wantErr(t, "Get", err, context.Canceled)

	done := make(chan error, 1)
	go func() {
		item, at, err := s.Get(t.Context(), "pods/a/x", store.ReadOptions{MinRevision: rev + 1, Stale: true})
		if err == nil && (at < rev+1 || string(item.Value) != "2") {
			err = fmt.Errorf("read %q at revision %d", item.Value, at)
		}
		done <- err
	}()
	txn(t, s, put("pods/a/x", "2", rev))
	if err := <-done; err != nil {
		t.Errorf("Get that waited: %v", err)
	}
}

// fill writes n keys below each of the prefixes and returns the last revision.
func fill(t *testing.T, s store.Store, n int, prefixes ...string) int64 {
	t.Helper()
	var ops []store.Op
	for _, p := range prefixes {
		for i := range n {
			ops = append(ops, put(fmt.Sprintf("%s%03d", p, i), fmt.Sprint(p, i), 0))
		}
	}
	revs := txn(t, s, ops...)
	return revs[len(revs)-1]
}

func keys(items []store.Item) []string {
	var out []string
	for _, it := range items {
		out = append(out, it.Key)
	}
	return out
}

func testListPrefix(t *testing.T, s store.Store) {
	rev := fill(t, s, 2, "pods/a/", "pods/ab/", "podtemplates/a/", "nodes/")
	for prefix, want := range map[string][]string{
		"pods/":      {"pods/a/000", "pods/a/001", "pods/ab/000", "pods/ab/001"},
		"pods/a/":    {"pods/a/000", "pods/a/001"},
		"pods/ab/":   {"pods/ab/000", "pods/ab/001"},
		"nodes/":     {"nodes/000", "nodes/001"},
		"secrets/":   nil,
		"pods/a/001": {"pods/a/001"},
		"":           {"nodes/000", "nodes/001", "pods/a/000", "pods/a/001", "pods/ab/000", "pods/ab/001", "podtemplates/a/000", "podtemplates/a/001"},
	} {
		res := list(t, s, prefix, store.ListOptions{})
		wantEqual(t, "keys of "+prefix, keys(res.Items), want)
		wantEqual(t, "revision of "+prefix, res.Revision, rev)
		if res.More || res.Remaining != 0 {
			t.Errorf("list of %q is not whole: %+v", prefix, res)
		}
	}
}

func testListChunks(t *testing.T, s store.Store) {
	rev := fill(t, s, 10, "pods/a/", "secrets/a/")
	var got []string
	opts := store.ListOptions{Limit: 4}
	for chunk := 0; ; chunk++ {
		res := list(t, s, "pods/", opts)
		got = append(got, keys(res.Items)...)
		wantEqual(t, "remaining", res.Remaining, int64(10-len(got)))
		wantEqual(t, "more", res.More, len(got) < 10)
		wantEqual(t, "revision", res.Revision, rev)
		if !res.More {
			break
		}
		// What happens between the chunks must not show in them.
		txn(t, s, del(fmt.Sprintf("pods/a/%03d", 9-chunk), store.AnyRevision), put(fmt.Sprintf("pods/a/%03d-new", 7+chunk), "n", 0))
		opts.From, opts.Revision = got[len(got)-1]+"\x00", rev
	}
	var want []string
	for i := range 10 {
		want = append(want, fmt.Sprintf("pods/a/%03d", i))
	}
	wantEqual(t, "keys", got, want)
}

func testListAtRevision(t *testing.T, s store.Store) {
	revs := txn(t, s, put("pods/a/a", "1", 0), put("pods/a/c", "1", 0), put("pods/a/e", "1", 0))
	at := revs[2]
	want := showItems(list(t, s, "pods/", store.ListOptions{}).Items)
	txn(t, s, put("pods/a/b", "2", 0), put("pods/a/c", "2", revs[1]), del("pods/a/e", revs[2]), put("nodes/n", "1", 0))
	txn(t, s, del("pods/a/a", revs[0]), del("pods/a/b", store.AnyRevision), put("pods/a/f", "2", 0))
	res := list(t, s, "pods/", store.ListOptions{ReadOptions: store.ReadOptions{Revision: at}})
	wantEqual(t, "items", showItems(res.Items), want)
	wantEqual(t, "revision", res.Revision, at)
	res = list(t, s, "pods/", store.ListOptions{From: "pods/a/b", ReadOptions: store.ReadOptions{Revision: at}})
	wantEqual(t, "items from b", showItems(res.Items), want[1:])
	_, err := s.List(t.Context(), "pods/", store.ListOptions{ReadOptions: store.ReadOptions{Revision: s.Revision() + 1}})
	wantErr(t, "List in the future", err, store.ErrFutureRevision)
}

// testValuesStay asserts that what a read returned is not changed by writes.
func testValuesStay(t *testing.T, s store.Store) {
	fill(t, s, 50, "pods/a/")
	res := list(t, s, "pods/", store.ListOptions{})
	before := showItems(res.Items)
	for i := range 50 {
		txn(t, s, put(fmt.Sprintf("pods/a/%03d", i), "changed", store.AnyRevision))
	}
	wantEqual(t, "items", showItems(res.Items), before)
}

func testCount(t *testing.T, s store.Store) {
	fill(t, s, 7, "pods/a/", "pods/b/", "nodes/")
	txn(t, s, del("pods/a/003", store.AnyRevision))
	for prefix, want := range map[string]int64{"pods/": 13, "pods/a/": 6, "nodes/": 7, "secrets/": 0, "": 20} {
		n, err := s.Count(t.Context(), prefix)
		if err != nil || n != want {
			t.Errorf("Count(%q) = %d, %v; want %d", prefix, n, err, want)
		}
	}
}

func testCompact(t *testing.T, s store.Store) {
	one := txn(t, s, put("pods/a/x", "1", 0))[0]
	two := txn(t, s, put("pods/a/x", "2", one))[0]
	three := txn(t, s, put("pods/a/x", "3", two))[0]
	if err := s.Compact(t.Context(), two); err != nil {
		t.Fatal(err)
	}
	item, _ := get(t, s, "pods/a/x", store.ReadOptions{Revision: two})
	wantEqual(t, "value at the compacted revision", string(item.Value), "2")
	_, _, err := s.Get(t.Context(), "pods/a/x", store.ReadOptions{Revision: one})
	wantErr(t, "Get", err, store.ErrCompacted)
	_, err = s.List(t.Context(), "pods/", store.ListOptions{ReadOptions: store.ReadOptions{Revision: one}})
	wantErr(t, "List", err, store.ErrCompacted)
	_, err = s.Watch("pods/", one)
	wantErr(t, "Watch", err, store.ErrCompacted)
	wantEqual(t, "events", next(t, watch(t, s, "pods/", two), 1), []string{fmt.Sprintf("%d pods/a/x 2@%d->3", three, two)})
	wantEqual(t, "events from the oldest", next(t, watch(t, s, "pods/", 0), 1), []string{fmt.Sprintf("%d pods/a/x 2@%d->3", three, two)})
	if err := s.Compact(t.Context(), one); err != nil {
		t.Errorf("compact again: %v", err)
	}
	// The latest values are never forgotten.
	if err := s.Compact(t.Context(), three); err != nil {
		t.Fatal(err)
	}
	if _, _, err := s.Get(t.Context(), "pods/a/x", store.ReadOptions{}); errors.Is(err, store.ErrCompacted) {
		t.Error("the latest value was compacted")
	}
}
