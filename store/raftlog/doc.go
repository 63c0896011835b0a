// Package raftlog keeps the Raft log and the vote of one server on disk, at a
// cost that suits flash cards: it implements raft.LogStore and
// raft.StableStore of hashicorp/raft.
//
// New entries go to a journal: one file of fixed size, written in sequence,
// with one fdatasync for a batch of entries, and none for a batch whose entries
// are all volatile. When the journal is full, its entries move to a
// raft-boltdb in one transaction. See store/DESIGN.md for why this is safe.
//
//	append ──► journal (4 MiB, preallocated) ──full──► log.db (raft-boltdb)
//	               ▲ one sequential write                ▲ one transaction for
//	               │ + at most one fdatasync             │ thousands of entries
package raftlog
