// Package pending keeps a controller from acting twice on a stale cache: it
// remembers what the controller wrote for a key until its informer has seen it.
//
// A create is known by the resource version that it returned; the key is not
// synced until the informer's store has reached that version (they are ordered
// numbers, KEP-5504). A delete returns no version, so deleted objects are
// remembered by their UID and taken out of what a stale cache still shows.
// Nothing expires by time: both end with certainty.
package pending

import (
	"sync"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/resourceversion"
)

// Store tells how far an informer's store has come
// (SharedIndexInformer.GetIndexer).
type Store interface {
	LastStoreSyncResourceVersion() string
}

// Tracker remembers the writes to the objects of one informer.
type Tracker struct {
	store Store

	mu      sync.Mutex
	wrote   map[string]string
	deleted map[string]map[types.UID]bool
}

// New returns a tracker for what store holds.
func New(store Store) *Tracker {
	return &Tracker{store: store, wrote: map[string]string{}, deleted: map[string]map[types.UID]bool{}}
}

// Wrote tells that an object was created or updated for key, at this resource
// version.
func (t *Tracker) Wrote(key, resourceVersion string) {
	if resourceVersion == "" {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if old, ok := t.wrote[key]; !ok || newer(resourceVersion, old) {
		t.wrote[key] = resourceVersion
	}
}

// Deleted tells that an object was successfully asked to go.
func (t *Tracker) Deleted(key string, uid types.UID) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.deleted[key] == nil {
		t.deleted[key] = map[types.UID]bool{}
	}
	t.deleted[key][uid] = true
}

// Synced tells whether the store shows all that was written for key.
func (t *Tracker) Synced(key string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	rv, ok := t.wrote[key]
	if !ok {
		return true
	}
	if newer(rv, t.store.LastStoreSyncResourceVersion()) {
		return false
	}
	delete(t.wrote, key)
	return true
}

// Forget drops all that is known for key.
func (t *Tracker) Forget(key string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.wrote, key)
	delete(t.deleted, key)
}

// Split divides what the store shows for key into what is there and what was
// deleted without the store having seen it yet.
func Split[T metav1.Object](t *Tracker, key string, objs []T) (there, going []T) {
	t.mu.Lock()
	defer t.mu.Unlock()
	uids := t.deleted[key]
	if len(uids) == 0 {
		return objs, nil
	}
	left := map[types.UID]bool{}
	for _, o := range objs {
		if uids[o.GetUID()] && o.GetDeletionTimestamp() == nil {
			left[o.GetUID()] = true
			going = append(going, o)
			continue
		}
		there = append(there, o)
	}
	if t.deleted[key] = left; len(left) == 0 {
		delete(t.deleted, key)
	}
	return there, going
}

// newer tells whether version a is after b. A store that is empty since its start
// has no version yet, and is before all; versions that can't be compared are taken
// for equal.
func newer(a, b string) bool {
	if b == "" || b == "0" {
		return true
	}
	c, err := resourceversion.CompareResourceVersion(a, b)
	return err == nil && c > 0
}

// Recheck is how long to wait, at most, for an informer that is behind; the
// event that it brings usually wakes the controller first.
const Recheck = 500 * time.Millisecond
