package registry

import (
	"sync"
	"weak"

	"skiff/store"
)

// FormKey names one encoded form of an object: API version, media type and what
// else makes a difference (the type of the watch event around it).
type FormKey struct {
	Version, Media, Type string
}

// View is one state of an object as watchers see it. Watchers of the same event
// share a view: the object is decoded, and each form encoded, at most once. It
// lives only while watchers are at the event: kept history costs no more than
// the stored bytes.
type View struct {
	Key      string
	Value    []byte
	Revision int64

	store   *Store
	decode  sync.Once
	obj     Object
	err     error
	mu      sync.Mutex
	forms   []form
	initial bool
}

type form struct {
	key   FormKey
	bytes []byte
}

// NewView returns a view that is shared with nobody.
func (s *Store) NewView(item store.Item) *View {
	return &View{Key: item.Key, Value: item.Value, Revision: item.Revision, store: s, initial: true}
}

// Object returns the decoded object, which is shared and must not be modified.
func (v *View) Object() (Object, error) {
	v.decode.Do(func() { v.obj, v.err = v.store.Decode(v.Key, v.Value, v.Revision) })
	return v.obj, v.err
}

// Form returns the encoded form of that key, made by make if nobody did before.
func (v *View) Form(key FormKey, make func() ([]byte, error)) ([]byte, error) {
	if v.initial {
		return make()
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	for i := range v.forms {
		if v.forms[i].key == key {
			return v.forms[i].bytes, nil
		}
	}
	b, err := make()
	if err == nil {
		v.forms = append(v.forms, form{key, b})
	}
	return b, err
}

// memo hangs on a store's event, which may be kept for hours as history. The
// pointers are weak so that what was decoded is not kept with it.
type memo struct {
	mu           sync.Mutex
	after, prior weak.Pointer[View]
}

func newMemo() any { return new(memo) }

// views returns the states of the object after and before an event, nil where
// there is none. Both carry the event's revision: that is the resourceVersion
// that watchers see on a deleted object.
func (s *Store) views(e *store.Event) (after, prior *View) {
	m := e.Memo(newMemo).(*memo)
	m.mu.Lock()
	defer m.mu.Unlock()
	if e.Value != nil {
		if after = m.after.Value(); after == nil {
			after = &View{Key: e.Key, Value: e.Value, Revision: e.Revision, store: s}
			m.after = weak.Make(after)
		}
	}
	if e.Prev != nil {
		if prior = m.prior.Value(); prior == nil {
			prior = &View{Key: e.Key, Value: e.Prev, Revision: e.Revision, store: s}
			m.prior = weak.Make(prior)
		}
	}
	return after, prior
}
