package mvcc

import (
	"github.com/google/btree"

	"skiff/store"
)

// tableDegree keeps the nodes, which a change after a View copies, small.
const tableDegree = 16

// Table is a Backend in memory: an ordered copy-on-write tree.
type Table struct {
	tree *btree.BTreeG[*store.Item]
	// view is the last clone handed out, nil if something changed since.
	view *Table
}

// NewTable returns an empty Table.
func NewTable() *Table {
	return &Table{tree: btree.NewG(tableDegree, func(a, b *store.Item) bool { return a.Key < b.Key })}
}

// Current implements Backend.
func (t *Table) Current(key string) (store.Item, bool, error) {
	item, ok := t.Get(key)
	return item, ok, nil
}

// Get returns the item at key.
func (t *Table) Get(key string) (store.Item, bool) {
	item, ok := t.tree.Get(&store.Item{Key: key})
	if !ok {
		return store.Item{}, false
	}
	return *item, true
}

// Put implements Backend.
func (t *Table) Put(item store.Item) {
	t.view = nil
	t.tree.ReplaceOrInsert(&item)
}

// Delete implements Backend.
func (t *Table) Delete(key string) {
	t.view = nil
	t.tree.Delete(&store.Item{Key: key})
}

// EndBatch implements Backend.
func (t *Table) EndBatch() {}

// Len returns the number of items.
func (t *Table) Len() int { return t.tree.Len() }

// Frozen returns the table as it is now, which must not be changed. It costs
// next to nothing: nodes are copied when the original is changed.
func (t *Table) Frozen() *Table {
	if t.view == nil {
		t.view = &Table{tree: t.tree.Clone()}
	}
	return t.view
}

// View implements Backend.
func (t *Table) View() (View, error) { return t.Frozen(), nil }

// Ascend implements View; the items that fn gets stay valid forever.
func (t *Table) Ascend(from, end string, fn func(Borrowed) bool) {
	t.Items(from, end, func(item *store.Item) bool { return fn(Borrowed{Item: item}) })
}

// Items calls fn for the items with from <= key < end until it returns false.
func (t *Table) Items(from, end string, fn func(*store.Item) bool) {
	t.tree.AscendGreaterOrEqual(&store.Item{Key: from}, func(item *store.Item) bool {
		if end != "" && item.Key >= end {
			return false
		}
		return fn(item)
	})
}

// Close implements View.
func (t *Table) Close() {}
