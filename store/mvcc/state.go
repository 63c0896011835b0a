package mvcc

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"skiff/store"
)

// State is one replica's state.
type State struct {
	history *history

	// mu makes a change of the backend and of the revision one step for
	// readers. It is never held during input or output.
	mu       sync.Mutex
	backend  Backend
	revision int64
}

// NewState returns the state whose latest values are in backend and whose last
// change had the given revision. The history before it is not known.
func NewState(backend Backend, revision int64, limits Limits) *State {
	return &State{backend: backend, revision: revision, history: newHistory(revision, limits)}
}

// Apply performs ops as described at store.Store. Only the applier calls it.
// The error is a *store.ConflictError, one of CheckOps, or one of the backend;
// nothing has changed then. Watchers are woken by EndBatch.
func (s *State) Apply(ops []store.Op) ([]int64, error) {
	events, revisions, err := s.plan(ops)
	if err != nil || len(events) == 0 {
		return revisions, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, e := range events {
		if e.Value == nil {
			s.backend.Delete(e.Key)
		} else {
			s.backend.Put(store.Item{Key: e.Key, Value: e.Value, Revision: e.Revision})
		}
	}
	s.revision = events[len(events)-1].Revision
	s.history.add(events, s.revision)
	return revisions, nil
}

// plan checks the expectations and returns the events that ops amount to.
func (s *State) plan(ops []store.Op) ([]*store.Event, []int64, error) {
	if err := CheckOps(ops); err != nil {
		return nil, nil, err
	}
	revisions := make([]int64, len(ops))
	events := make([]*store.Event, 0, len(ops))
	revision := s.revision
	for i, op := range ops {
		current, found, err := s.backend.Current(op.Key)
		if err != nil {
			return nil, nil, &backendError{key: op.Key, err: err}
		}
		if op.Expect != store.AnyRevision && op.Expect != current.Revision {
			current.Key = op.Key
			return nil, nil, &store.ConflictError{Op: i, Current: current}
		}
		if !found && op.Value == nil {
			continue
		}
		revision++
		revisions[i] = revision
		events = append(events, &store.Event{
			Key: op.Key, Value: op.Value, Revision: revision,
			Prev: current.Value, PrevRevision: current.Revision,
		})
	}
	return events, revisions, nil
}

// EndBatch wakes the watchers of what was changed since the last call.
func (s *State) EndBatch() {
	s.backend.EndBatch()
	s.history.wake()
}

// Advance moves the revision to at least revision, without an event, and forgets
// the history before it: whoever saw revisions that this state never had must
// read everything anew.
func (s *State) Advance(revision int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if revision > s.revision {
		s.revision = revision
		s.history.advance(revision)
	}
}

// Reset replaces everything by the contents of backend at revision. All
// watchers get ErrCompacted.
func (s *State) Reset(backend Backend, revision int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.backend, s.revision = backend, revision
	s.history.reset(revision)
}

// Compact forgets the history up to and including revision.
func (s *State) Compact(revision int64) { s.history.compact(revision) }

// Close ends all watchers with ErrClosed.
func (s *State) Close() { s.history.close() }

// Revision returns that of the last change.
func (s *State) Revision() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.revision
}

// HistorySize returns the number and the bytes of the events kept.
func (s *State) HistorySize() (events, bytes int) {
	s.history.mu.RLock()
	defer s.history.mu.RUnlock()
	return len(s.history.all.events), s.history.bytes
}

// Wait blocks until the state has reached revision, or ctx ends.
func (s *State) Wait(ctx context.Context, revision int64) error {
	return s.history.wait(ctx, revision)
}

// Watch implements store.Store.
func (s *State) Watch(prefix string, after int64) (store.Watcher, error) {
	return s.history.watch(prefix, after)
}

// View returns the contents and their revision. The view must be closed.
func (s *State) View() (View, int64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	v, err := s.backend.View()
	return v, s.revision, err
}

// CheckOps returns an error if ops is not a valid transaction.
func CheckOps(ops []store.Op) error {
	for i := range ops {
		if ops[i].Key == "" {
			return fmt.Errorf("operation %d: key is empty", i)
		}
		if ops[i].Expect < store.AnyRevision {
			return fmt.Errorf("operation %d: key %q: expected revision %d is negative", i, ops[i].Key, ops[i].Expect)
		}
	}
	if len(ops) < 2 {
		return nil
	}
	seen := make(map[string]struct{}, len(ops))
	for i := range ops {
		if _, dup := seen[ops[i].Key]; dup {
			return fmt.Errorf("operation %d: key %q is changed twice in one transaction", i, ops[i].Key)
		}
		seen[ops[i].Key] = struct{}{}
	}
	return nil
}

// backendError is an error of the backend: what the transaction would have done
// is unknown.
type backendError struct {
	key string
	err error
}

func (e *backendError) Error() string { return fmt.Sprintf("read %q: %v", e.key, e.err) }
func (e *backendError) Unwrap() error { return e.err }

// IsBackendError tells whether Apply failed because the backend did.
func IsBackendError(err error) bool {
	var b *backendError
	return errors.As(err, &b)
}
