package mvcc

import (
	"context"
	"sync"

	"skiff/store"
)

// Store is a complete store in memory: what is in it is lost with the process.
type Store struct {
	state *State
	// apply makes the callers of Txn one applier.
	apply sync.Mutex
}

var _ store.Store = (*Store)(nil)

// NewStore returns an empty store in memory.
func NewStore() *Store { return NewStoreWithLimits(Limits{}) }

// NewStoreWithLimits returns an empty store in memory whose history is bounded.
func NewStoreWithLimits(limits Limits) *Store {
	return &Store{state: NewState(NewTable(), 0, limits)}
}

// Get implements store.Store.
func (s *Store) Get(ctx context.Context, key string, opts store.ReadOptions) (store.Item, int64, error) {
	if err := s.reach(ctx, opts); err != nil {
		return store.Item{}, 0, err
	}
	return s.state.Get(key, opts.Revision)
}

// List implements store.Store.
func (s *Store) List(ctx context.Context, prefix string, opts store.ListOptions) (store.ListResult, error) {
	if err := s.reach(ctx, opts.ReadOptions); err != nil {
		return store.ListResult{}, err
	}
	return s.state.List(prefix, opts)
}

func (s *Store) reach(ctx context.Context, opts store.ReadOptions) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	return s.state.Wait(ctx, opts.MinRevision)
}

// Count implements store.Store.
func (s *Store) Count(_ context.Context, prefix string) (int64, error) { return s.state.Count(prefix) }

// Txn implements store.Store.
func (s *Store) Txn(ctx context.Context, ops ...store.Op) ([]int64, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	s.apply.Lock()
	defer s.apply.Unlock()
	defer s.state.EndBatch()
	return s.state.Apply(ops)
}

// Watch implements store.Store.
func (s *Store) Watch(prefix string, after int64) (store.Watcher, error) {
	return s.state.Watch(prefix, after)
}

// Revision implements store.Store.
func (s *Store) Revision() int64 { return s.state.Revision() }

// Compact implements store.Store.
func (s *Store) Compact(_ context.Context, revision int64) error {
	s.state.Compact(revision)
	return nil
}

// Close ends all watchers.
func (s *Store) Close() error {
	s.state.Close()
	return nil
}
