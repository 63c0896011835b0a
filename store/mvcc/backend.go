package mvcc

import "skiff/store"

// Backend keeps the latest value of every key. Current, Put, Delete and EndBatch
// are called by the applier only; the State serializes Put, Delete and View
// among each other.
type Backend interface {
	// Current returns the item at key as it is after all that was put so far.
	// Its value stays valid forever.
	Current(key string) (store.Item, bool, error)
	// Put replaces the item at item.Key.
	Put(item store.Item)
	// Delete removes key, which existed at revision before.
	Delete(key string)
	// View returns the contents as they are now. Later changes do not show.
	View() (View, error)
	// EndBatch tells that no Current follows before the next batch of changes.
	EndBatch()
}

// View is an immutable state of a Backend. It must be closed.
type View interface {
	// Get returns the item at key; its value stays valid forever.
	Get(key string) (store.Item, bool)
	// Ascend calls fn for the items with from <= key < end in the order of their
	// keys until it returns false. The empty end stands for no bound. If
	// borrowed, the key and the value that fn gets are only valid during the call.
	Ascend(from, end string, fn func(Borrowed) bool)
	Close()
}

// Borrowed is an item whose key and value may only be used during a callback.
type Borrowed struct {
	Key      []byte
	Value    []byte
	Revision int64
	// Item is set instead of Key and Value if the item stays valid forever.
	Item *store.Item
}

// key returns the key, valid during the callback only.
func (b *Borrowed) keyString() string {
	if b.Item != nil {
		return b.Item.Key
	}
	return string(b.Key)
}

// PrefixEnd returns the first key behind all keys that start with prefix, ""
// if there is none.
func PrefixEnd(prefix string) string {
	b := []byte(prefix)
	for i := len(b) - 1; i >= 0; i-- {
		if b[i] < 0xff {
			b[i]++
			return string(b[:i+1])
		}
	}
	return ""
}
