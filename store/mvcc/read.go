package mvcc

import (
	"strings"

	"skiff/store"
)

// Get returns the item at key from local state; see store.Store.
func (s *State) Get(key string, revision int64) (store.Item, int64, error) {
	v, at, err := s.View()
	if err != nil {
		return store.Item{}, 0, err
	}
	defer v.Close()
	if revision > at {
		return store.Item{}, at, store.ErrFutureRevision
	}
	item, ok := v.Get(key)
	if revision != 0 && revision != at {
		at = revision
		undo, err := s.history.undo(key, revision)
		if err != nil {
			return store.Item{}, at, err
		}
		if len(undo) > 0 && undo[0].Key == key {
			item, ok = before(undo[0])
		}
	}
	if !ok {
		return store.Item{}, at, store.ErrNotFound
	}
	return item, at, nil
}

func before(e *store.Event) (store.Item, bool) {
	return store.Item{Key: e.Key, Value: e.Prev, Revision: e.PrevRevision}, e.Prev != nil
}

// List returns the items with the prefix from local state; see store.Store.
func (s *State) List(prefix string, opts store.ListOptions) (store.ListResult, error) {
	v, at, err := s.View()
	if err != nil {
		return store.ListResult{}, err
	}
	defer v.Close()
	var undo []*store.Event
	if opts.Revision != 0 {
		if undo, err = s.history.undo(prefix, opts.Revision); err != nil {
			return store.ListResult{}, err
		}
		at = opts.Revision
	}
	from := max(prefix, opts.From)
	c := collector{limit: opts.Limit, undo: undo}
	for len(c.undo) > 0 && c.undo[0].Key < from {
		c.undo = c.undo[1:]
	}
	v.Ascend(from, PrefixEnd(prefix), c.visit)
	c.before("")
	return store.ListResult{Items: c.items, Revision: at, More: c.remaining > 0, Remaining: c.remaining}, nil
}

// Count returns the number of keys with the prefix.
func (s *State) Count(prefix string) (int64, error) {
	v, _, err := s.View()
	if err != nil {
		return 0, err
	}
	defer v.Close()
	var n int64
	v.Ascend(prefix, PrefixEnd(prefix), func(Borrowed) bool { n++; return true })
	return n, nil
}

// collector gathers a list's items: those of a view, with the changes in undo
// taken back.
type collector struct {
	limit     int
	undo      []*store.Event
	items     []store.Item
	remaining int64
	arena     arena
}

func (c *collector) full() bool { return c.limit > 0 && len(c.items) >= c.limit }

func (c *collector) visit(b Borrowed) bool {
	if len(c.undo) > 0 {
		key := b.keyString()
		c.before(key)
		if len(c.undo) > 0 && c.undo[0].Key == key {
			c.restore(c.undo[0])
			c.undo = c.undo[1:]
			return true
		}
	}
	switch {
	case c.full():
		c.remaining++
	case b.Item != nil:
		c.items = append(c.items, *b.Item)
	default:
		c.items = append(c.items, c.arena.item(b))
	}
	return true
}

// before takes back the changes of keys less than key ("" for all the rest):
// the view does not have them any more.
func (c *collector) before(key string) {
	for len(c.undo) > 0 && (key == "" || c.undo[0].Key < key) {
		c.restore(c.undo[0])
		c.undo = c.undo[1:]
	}
}

func (c *collector) restore(e *store.Event) {
	item, ok := before(e)
	switch {
	case !ok:
	case c.full():
		c.remaining++
	default:
		c.items = append(c.items, item)
	}
}

// arenaChunk is a compromise: one allocation for a few dozen items, but an item
// that is kept for long keeps only its chunk. The first chunks are smaller.
const arenaChunk = 32 << 10

// arena copies borrowed items out, many to an allocation.
type arena struct {
	buf  []byte
	keys strings.Builder
	// size is the capacity of the last builder of keys.
	size int
}

func (a *arena) item(b Borrowed) store.Item {
	return store.Item{Key: a.key(b.Key), Value: a.value(b.Value), Revision: b.Revision}
}

// key copies k behind the keys before it; a full builder's string stays valid.
func (a *arena) key(k []byte) string {
	if a.keys.Cap()-a.keys.Len() < len(k) {
		a.keys = strings.Builder{}
		a.keys.Grow(max(len(k), min(4<<10, 4*a.size)))
		a.size = a.keys.Cap()
	}
	start := a.keys.Len()
	a.keys.Write(k)
	return a.keys.String()[start:]
}

func (a *arena) value(v []byte) []byte {
	if len(v) > arenaChunk/4 {
		return append(make([]byte, 0, len(v)), v...)
	}
	if cap(a.buf)-len(a.buf) < len(v) {
		a.buf = make([]byte, 0, max(len(v), min(arenaChunk, 4*cap(a.buf))))
	}
	start := len(a.buf)
	a.buf = append(a.buf, v...)
	return a.buf[start:len(a.buf):len(a.buf)]
}
