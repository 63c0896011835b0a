package cluster

import (
	"context"
	"sync/atomic"
	"time"
)

// snapshotDue counts what was applied since the last snapshot.
type snapshotDue struct {
	entries, bytes       atomic.Int64
	maxEntries, maxBytes int64
	signal               chan struct{}
}

// init begins with what was applied before the start: the state is at index
// applied, the last snapshot at index snapshot, and logged bytes behind it.
func (d *snapshotDue) init(cfg Config, applied, snapshot, logged uint64) {
	d.maxEntries, d.maxBytes = int64(cfg.SnapshotEntries), int64(cfg.SnapshotBytes)
	if applied > snapshot {
		d.entries.Store(int64(applied - snapshot))
		d.bytes.Store(int64(logged))
	}
	d.signal = make(chan struct{}, 1)
}

// add counts a batch; state is the size of the state file in bytes.
func (d *snapshotDue) add(entries, bytes int, state func() int64) {
	e, b := d.entries.Add(int64(entries)), d.bytes.Add(int64(bytes))
	if e < d.maxEntries && b < d.maxBytes {
		return
	}
	// A snapshot of a large state is put off, within reason: replaying the log
	// at a start costs little, writing wears the disk.
	stretch := min(8, max(1, state()/d.maxBytes*2))
	if e < d.maxEntries*stretch && b < d.maxBytes*stretch {
		return
	}
	d.entries.Store(0)
	d.bytes.Store(0)
	select {
	case d.signal <- struct{}{}:
	default:
	}
}

// applied is called by the state machine after each batch.
func (s *Store) applied(entries, bytes int) {
	s.metrics.applied(entries)
	s.due.add(entries, bytes, s.fsm.Size)
}

// takeSnapshots has raft take a snapshot, and shorten its log, when one is due.
func (s *Store) takeSnapshots(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.due.signal:
		}
		// Raft logs an error. The snapshot is due again after as many entries;
		// meanwhile the log grows.
		_ = s.raft.Snapshot().Error()
	}
}

// compactRegularly forgets history that is older than one interval, two at most.
// Each server does so for itself: there is nothing to agree on.
func (s *Store) compactRegularly(ctx context.Context) {
	ticker := time.NewTicker(s.cfg.CompactInterval)
	defer ticker.Stop()
	last := s.Revision()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			s.fsm.State().Compact(last)
			last = s.Revision()
		}
	}
}
