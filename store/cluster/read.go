package cluster

import (
	"context"
	"errors"
	"fmt"

	"github.com/hashicorp/raft"

	"skiff/store"
)

// Get implements store.Store.
func (s *Store) Get(ctx context.Context, key string, opts store.ReadOptions) (store.Item, int64, error) {
	if err := s.reach(ctx, opts); err != nil {
		return store.Item{}, 0, err
	}
	return s.fsm.State().Get(key, opts.Revision)
}

// List implements store.Store.
func (s *Store) List(ctx context.Context, prefix string, opts store.ListOptions) (store.ListResult, error) {
	if err := s.reach(ctx, opts.ReadOptions); err != nil {
		return store.ListResult{}, err
	}
	return s.fsm.State().List(prefix, opts)
}

// Count implements store.Store, from local state.
func (s *Store) Count(ctx context.Context, prefix string) (int64, error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	return s.fsm.State().Count(prefix)
}

// Watch implements store.Store.
func (s *Store) Watch(prefix string, after int64) (store.Watcher, error) {
	return s.fsm.State().Watch(prefix, after)
}

// Revision implements store.Store.
func (s *Store) Revision() int64 { return s.fsm.State().Revision() }

// reach waits until the local state is fit to answer a read.
func (s *Store) reach(ctx context.Context, opts store.ReadOptions) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if !opts.Stale {
		if err := s.confirm(ctx); err != nil {
			return err
		}
	}
	if opts.MinRevision == 0 {
		return nil
	}
	return s.fsm.State().Wait(ctx, opts.MinRevision)
}

// confirm returns when local state has everything that was acknowledged before
// the call. A leader that is ready has applied what earlier leaders
// acknowledged, and acknowledges only what it has applied; so it is enough that
// it still leads, which a voter that is alone cannot lose without knowing.
func (s *Store) confirm(ctx context.Context) error {
	if err := s.leadership.wait(ctx, s.cfg.LeaderWait); err != nil {
		return err
	}
	if s.alone() {
		return nil
	}
	err := s.raft.VerifyLeader().Error()
	switch {
	case errors.Is(err, raft.ErrNotLeader), errors.Is(err, raft.ErrLeadershipLost):
		return store.ErrUnavailable
	case errors.Is(err, raft.ErrRaftShutdown):
		return store.ErrClosed
	case err != nil:
		return fmt.Errorf("confirm leadership: %w", err)
	}
	return nil
}
