// Package fsm is the Raft state machine: it applies the commands of the log to
// an mvcc.State whose latest values live in bbolt, takes snapshots and restores
// them. It is deterministic: equal logs make equal states, and no clock is read.
//
// The state file is written without fsync and seldom: recent changes stay in
// memory (and in the Raft log) until there are thousands of them. What makes it
// trustworthy after a crash of the process but not after a power cut is the
// mark beside it; see store/DESIGN.md.
package fsm
