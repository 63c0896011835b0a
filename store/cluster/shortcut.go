package cluster

import (
	"sync/atomic"

	"github.com/hashicorp/raft"
)

// shortcut is a raft.SnapshotStore that tells raft, at its start, of a snapshot
// that is the state file. Raft then neither reads nor applies again the log up
// to there, which would be most of the time that a start takes.
type shortcut struct {
	raft.SnapshotStore
	state raft.SnapshotMeta
	told  atomic.Bool
}

// shortcut returns snaps, or a shortcut over it if the state file is ahead of
// the newest snapshot and the log tells the term of where it is.
func (s *Store) shortcut(snaps raft.SnapshotStore, newest raft.SnapshotMeta) raft.SnapshotStore {
	index := s.fsm.Applied()
	servers, serversIndex, known := s.fsm.Servers()
	if !known && newest.Index > 0 {
		// The state was restored from a snapshot, and no other configuration
		// has come since.
		servers, serversIndex, known = newest.Configuration, newest.ConfigurationIndex, true
	}
	if index <= newest.Index || !known || serversIndex < newest.ConfigurationIndex {
		return snaps
	}
	var log raft.Log
	if err := s.raftLog.GetLog(index, &log); err != nil {
		return snaps
	}
	return &shortcut{SnapshotStore: snaps, state: raft.SnapshotMeta{
		Version: raft.SnapshotVersionMax, ID: "state", Index: index, Term: log.Term,
		Configuration: servers, ConfigurationIndex: serversIndex,
	}}
}

// List implements raft.SnapshotStore. Only the first call, which NewRaft makes,
// gets to know of the state: it cannot be opened.
func (c *shortcut) List() ([]*raft.SnapshotMeta, error) {
	if c.told.CompareAndSwap(false, true) {
		return []*raft.SnapshotMeta{&c.state}, nil
	}
	return c.SnapshotStore.List()
}
