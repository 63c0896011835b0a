package storetest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"

	"skiff/store"
)

func testCreate(t *testing.T, s store.Store) {
	if _, _, err := s.Get(t.Context(), "pods/a/x", store.ReadOptions{}); !errors.Is(err, store.ErrNotFound) {
		t.Fatalf("Get of a missing key: %v", err)
	}
	base := s.Revision()
	revs := txn(t, s, put("pods/a/x", "1", 0))
	wantEqual(t, "revisions", revs, []int64{base + 1})
	item, rev := get(t, s, "pods/a/x", store.ReadOptions{})
	wantEqual(t, "item", item, store.Item{Key: "pods/a/x", Value: []byte("1"), Revision: base + 1})
	wantEqual(t, "revision of the read", rev, base+1)
	wantEqual(t, "revision of the store", s.Revision(), base+1)
}

func testUpdate(t *testing.T, s store.Store) {
	first := txn(t, s, put("pods/a/x", "1", 0))[0]
	second := txn(t, s, put("pods/a/x", "2", first))[0]
	third := txn(t, s, put("pods/a/x", "3", store.AnyRevision))[0]
	wantEqual(t, "revisions", []int64{second, third}, []int64{first + 1, first + 2})
	item, _ := get(t, s, "pods/a/x", store.ReadOptions{})
	wantEqual(t, "item", showItems([]store.Item{item}), []string{fmt.Sprintf("pods/a/x=3@%d", third)})
}

func testDelete(t *testing.T, s store.Store) {
	rev := txn(t, s, put("pods/a/x", "1", 0))[0]
	gone := txn(t, s, del("pods/a/x", rev))[0]
	wantEqual(t, "revision of the delete", gone, rev+1)
	_, at, err := s.Get(t.Context(), "pods/a/x", store.ReadOptions{})
	wantErr(t, "Get after delete", err, store.ErrNotFound)
	wantEqual(t, "revision of the read", at, gone)
	wantEqual(t, "delete of a missing key", txn(t, s, del("pods/a/x", store.AnyRevision)), []int64{0})
	wantEqual(t, "delete of a key that must not exist", txn(t, s, del("pods/a/x", 0)), []int64{0})
	wantEqual(t, "revision of the store", s.Revision(), gone)
	wantEqual(t, "create again", txn(t, s, put("pods/a/x", "2", 0)), []int64{gone + 1})
}

func testConflict(t *testing.T, s store.Store) {
	rev := txn(t, s, put("pods/a/x", "1", 0))[0]
	for _, tt := range []struct {
		name string
		op   store.Op
		want store.Item
	}{
		{"create of an existing key", put("pods/a/x", "2", 0), store.Item{Key: "pods/a/x", Value: []byte("1"), Revision: rev}},
		{"update at a wrong revision", put("pods/a/x", "2", rev+7), store.Item{Key: "pods/a/x", Value: []byte("1"), Revision: rev}},
		{"delete at a wrong revision", del("pods/a/x", rev+7), store.Item{Key: "pods/a/x", Value: []byte("1"), Revision: rev}},
		{"update of a missing key", put("pods/a/y", "2", rev), store.Item{Key: "pods/a/y"}},
		{"delete of a missing key", del("pods/a/y", rev), store.Item{Key: "pods/a/y"}},
	} {
		_, err := s.Txn(t.Context(), tt.op)
		var conflict *store.ConflictError
		if !errors.As(err, &conflict) {
			t.Errorf("%s: got error %v, want a conflict", tt.name, err)
			continue
		}
		wantEqual(t, tt.name, conflict.Current, tt.want)
	}
	wantEqual(t, "revision of the store", s.Revision(), rev)
}

func testAllOrNone(t *testing.T, s store.Store) {
	revs := txn(t, s, put("pods/a/x", "1", 0), put("pods/a/y", "1", 0), put("nodes/n", "1", 0))
	wantEqual(t, "revisions", revs, []int64{revs[0], revs[0] + 1, revs[0] + 2})
	_, err := s.Txn(t.Context(), put("pods/a/x", "2", revs[0]), del("pods/a/y", revs[0]), put("nodes/n", "2", 0))
	var conflict *store.ConflictError
	if !errors.As(err, &conflict) || conflict.Op != 1 {
		t.Fatalf("got error %v, want a conflict of operation 1", err)
	}
	wantEqual(t, "items", showItems(list(t, s, "pods/", store.ListOptions{}).Items),
		[]string{fmt.Sprintf("pods/a/x=1@%d", revs[0]), fmt.Sprintf("pods/a/y=1@%d", revs[1])})
	wantEqual(t, "revision of the store", s.Revision(), revs[2])
}

func testInvalid(t *testing.T, s store.Store) {
	for name, ops := range map[string][]store.Op{
		"empty key":         {put("", "1", 0)},
		"negative revision": {put("pods/a/x", "1", -2)},
		"key twice":         {put("pods/a/x", "1", 0), put("pods/a/y", "1", 0), del("pods/a/x", store.AnyRevision)},
	} {
		if _, err := s.Txn(t.Context(), ops...); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	wantEqual(t, "items", showItems(list(t, s, "", store.ListOptions{}).Items), []string(nil))
	if revs, err := s.Txn(t.Context()); err != nil || len(revs) != 0 {
		t.Errorf("empty transaction: %v, %v", revs, err)
	}
}

func testEmptyValue(t *testing.T, s store.Store) {
	w := watch(t, s, "pods/", s.Revision())
	txn(t, s, store.Op{Key: "pods/a/x", Value: []byte{}, Expect: 0})
	item, _ := get(t, s, "pods/a/x", store.ReadOptions{})
	if item.Value == nil {
		t.Error("an empty value came back as none")
	}
	txn(t, s, put("pods/a/x", "1", item.Revision))
	batch, err := w.Next(t.Context())
	if err != nil || batch.Events[0].Value == nil {
		t.Errorf("event of an empty value: %+v, %v", batch, err)
	}
}

func testVolatile(t *testing.T, s store.Store) {
	lease := func(v string, expect int64) store.Op {
		return store.Op{Key: "leases/a", Value: []byte(v), Expect: expect, Volatile: true}
	}
	rev := txn(t, s, lease("1", 0))[0]
	revs := txn(t, s, lease("2", rev), put("pods/a/x", "1", 0))
	last := txn(t, s, lease("3", revs[0]))[0]
	item, _ := get(t, s, "leases/a", store.ReadOptions{})
	wantEqual(t, "item", showItems([]store.Item{item}), []string{fmt.Sprintf("leases/a=3@%d", last)})
	_, err := s.Txn(t.Context(), lease("4", rev))
	var conflict *store.ConflictError
	if !errors.As(err, &conflict) {
		t.Errorf("got error %v, want a conflict", err)
	}
}

func testCancelled(t *testing.T, s store.Store) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := s.Txn(ctx, put("pods/a/x", "1", 0))
	wantErr(t, "Txn", err, context.Canceled)
	_, _, err = s.Get(t.Context(), "pods/a/x", store.ReadOptions{})
	wantErr(t, "Get", err, store.ErrNotFound)
	_, _, err = s.Get(ctx, "pods/a/x", store.ReadOptions{})
	wantErr(t, "Get", err, context.Canceled)
	_, err = s.List(ctx, "pods/", store.ListOptions{})
	wantErr(t, "List", err, context.Canceled)
}

// testConcurrent has several writers increase one counter by compare and swap.
func testConcurrent(t *testing.T, s store.Store) {
	const writers, each = 8, 25
	txn(t, s, store.Op{Key: "counters/c", Value: []byte{0, 0}, Expect: 0})
	var wg sync.WaitGroup
	for range writers {
		wg.Go(func() {
			for range each {
				if err := increment(t.Context(), s); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	item, _ := get(t, s, "counters/c", store.ReadOptions{})
	wantEqual(t, "counter", int(item.Value[0])<<8|int(item.Value[1]), writers*each)
}

func increment(ctx context.Context, s store.Store) error {
	for {
		item, _, err := s.Get(ctx, "counters/c", store.ReadOptions{})
		if err != nil {
			return err
		}
		n := int(item.Value[0])<<8 | int(item.Value[1]) + 1
		_, err = s.Txn(ctx, store.Op{Key: item.Key, Value: []byte{byte(n >> 8), byte(n)}, Expect: item.Revision})
		var conflict *store.ConflictError
		if !errors.As(err, &conflict) {
			return err
		}
	}
}
