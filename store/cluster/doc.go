// Package cluster is the store of a running server: an mvcc state behind a Raft
// log (hashicorp/raft) on disk.
//
//	s, err := cluster.Open(cluster.Config{Dir: "/var/lib/skiff/store", NodeID: "a", Logger: log})
//	...
//	defer s.Close()
//
// A data directory holds:
//
//	lock              held (flock) while a process uses the directory
//	identity.json     the cluster's and this voter's identifiers
//	raft/             journal, vote, log.db (see store/raftlog), snapshots/
//	state/            state.db and its mark (see store/fsm); can be removed while
//	                  no process runs, and is then rebuilt from raft/
//
// # Several voters
//
// An empty directory is bootstrapped as a cluster of one voter, with a transport
// in memory. Nothing here assumes that it stays alone: Config.Transport takes
// any raft.Transport, reads ask a majority when there is one to ask, the
// number of voters comes from Raft's configuration, and the log syncs volatile
// changes as soon as it has a second voter. store/DESIGN.md says what joining
// adds.
package cluster
