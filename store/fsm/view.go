package fsm

import (
	"encoding/binary"
	"strings"

	"go.etcd.io/bbolt"

	"skiff/store"
	"skiff/store/mvcc"
)

// view is the tables of a moment over the file of that moment.
type view struct {
	tx *bbolt.Tx
	// layers are the tables in memory, newest first.
	layers []*mvcc.Table
}

// Close implements mvcc.View.
func (v *view) Close() { _ = v.tx.Rollback() }

// Get implements mvcc.View.
func (v *view) Get(key string) (store.Item, bool) {
	for _, t := range v.layers {
		if item, ok := t.Get(key); ok {
			return item, item.Value != nil
		}
	}
	return readItem(v.tx, key)
}

// Ascend implements mvcc.View: a merge of the tables, which are small, and the
// file.
func (v *view) Ascend(from, end string, fn func(mvcc.Borrowed) bool) {
	recent := v.recent(from, end)
	cursor := v.tx.Bucket(bucketItems).Cursor()
	for k, raw := cursor.Seek([]byte(from)); k != nil; k, raw = cursor.Next() {
		if end != "" && string(k) >= end {
			break
		}
		for len(recent) > 0 && recent[0].Key < string(k) {
			if !visit(recent[0], fn) {
				return
			}
			recent = recent[1:]
		}
		if len(recent) > 0 && recent[0].Key == string(k) {
			continue // the newer one follows with the next key
		}
		if !fn(mvcc.Borrowed{Key: k, Value: raw[8:], Revision: int64(binary.BigEndian.Uint64(raw))}) {
			return
		}
	}
	for _, item := range recent {
		if !visit(item, fn) {
			return
		}
	}
}

// visit calls fn unless the item is a deletion.
func visit(item *store.Item, fn func(mvcc.Borrowed) bool) bool {
	return item.Value == nil || fn(mvcc.Borrowed{Item: item})
}

// recent returns the newest items of all layers in the order of their keys.
func (v *view) recent(from, end string) []*store.Item {
	var out []*store.Item
	for _, t := range v.layers {
		var items []*store.Item
		t.Items(from, end, func(item *store.Item) bool {
			items = append(items, item)
			return true
		})
		out = merge(out, items)
	}
	return out
}

// merge merges two sorted runs; of equal keys it takes that of the first.
func merge(newer, older []*store.Item) []*store.Item {
	if len(newer) == 0 {
		return older
	}
	if len(older) == 0 {
		return newer
	}
	out := make([]*store.Item, 0, len(newer)+len(older))
	for len(newer) > 0 && len(older) > 0 {
		switch c := strings.Compare(newer[0].Key, older[0].Key); {
		case c < 0:
			out, newer = append(out, newer[0]), newer[1:]
		case c > 0:
			out, older = append(out, older[0]), older[1:]
		default:
			out, newer, older = append(out, newer[0]), newer[1:], older[1:]
		}
	}
	return append(append(out, newer...), older...)
}
