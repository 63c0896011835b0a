// Package mvcc is the state of one replica: the latest value of every key, the
// counter of revisions, and a bounded history that serves watches, reads at an
// exact revision and the continuation of lists. It is pure: no Raft, no clock,
// no disk of its own.
//
// A State is driven by one applier (Apply and EndBatch are never called
// concurrently) and read by any number of goroutines. Where the latest values
// live is the business of a Backend: NewTable keeps them in memory, store/fsm
// keeps them in bbolt.
//
// NewStore is a complete store.Store in memory for tests and benchmarks.
package mvcc
