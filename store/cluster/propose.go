package cluster

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync/atomic"
	"syscall"

	"github.com/hashicorp/raft"

	"skiff/store"
	"skiff/store/fsm"
	"skiff/store/mvcc"
)

const (
	// proposers is how many log entries are under way at a time. Transactions
	// that come while all are busy share the next entry.
	proposers = 2
	// maxTxns and maxEntryBytes bound the transactions of one log entry.
	maxTxns       = 512
	maxEntryBytes = 1 << 20
	queueLength   = 1024
)

// The states of a pending transaction.
const (
	queued = iota
	taken
	abandoned
)

// pending is a transaction on its way. Its command, if not nil, goes alone.
type pending struct {
	ops     []store.Op
	command *fsm.Command
	size    int
	state   atomic.Int32
	// result is sent once if the transaction was taken.
	result chan fsm.Result
}

type proposer struct {
	queue chan *pending
	gone  chan struct{}
}

func (p *proposer) init() {
	p.queue = make(chan *pending, queueLength)
	p.gone = make(chan struct{})
}

// close fails what nobody will take any more.
func (p *proposer) close() { close(p.gone) }

// Txn implements store.Store.
func (s *Store) Txn(ctx context.Context, ops ...store.Op) ([]int64, error) {
	if len(ops) == 0 {
		return nil, ctx.Err()
	}
	if err := mvcc.CheckOps(ops); err != nil {
		return nil, err
	}
	p := &pending{ops: ops, result: make(chan fsm.Result, 1)}
	for i := range ops {
		p.size += fsm.SizeOf(&ops[i])
	}
	if p.size > s.cfg.MaxTxnBytes {
		return nil, fmt.Errorf("%d bytes, at most %d: %w", p.size, s.cfg.MaxTxnBytes, store.ErrTooLarge)
	}
	res := s.submit(ctx, p)
	return res.Revisions, res.Err
}

// Compact implements store.Store.
func (s *Store) Compact(ctx context.Context, revision int64) error {
	p := &pending{command: &fsm.Command{Kind: fsm.KindCompact, Revision: revision}, result: make(chan fsm.Result, 1)}
	return s.submit(ctx, p).Err
}

// submit has p proposed and waits for its result.
func (s *Store) submit(ctx context.Context, p *pending) fsm.Result {
	if err := s.writable(ctx); err != nil {
		return fsm.Result{Err: err}
	}
	select {
	case s.proposer.queue <- p:
	case <-ctx.Done():
		return fsm.Result{Err: ctx.Err()}
	case <-s.proposer.gone:
		return fsm.Result{Err: store.ErrClosed}
	}
	select {
	case res := <-p.result:
		return res
	case <-ctx.Done():
		if p.state.CompareAndSwap(queued, abandoned) {
			return fsm.Result{Err: ctx.Err()}
		}
		return fsm.Result{Err: fmt.Errorf("%w: %w", store.ErrUnknownOutcome, ctx.Err())}
	case <-s.proposer.gone:
		if p.state.CompareAndSwap(queued, abandoned) {
			return fsm.Result{Err: store.ErrClosed}
		}
		return <-p.result
	}
}

// writable returns why nothing can be written now.
func (s *Store) writable(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := s.leadership.wait(ctx, s.cfg.LeaderWait); err != nil {
		return err
	}
	err := s.raftLog.Check()
	if err == nil {
		err = s.fsm.Check()
	}
	if refuse := err != nil; s.refusing.CompareAndSwap(!refuse, refuse) {
		if refuse {
			s.log.Error("the store refuses writes", "err", err)
		} else {
			s.log.Info("the store takes writes again")
		}
	}
	if err != nil {
		return storageError(err)
	}
	return nil
}

// propose takes transactions from the queue and has them committed, until ctx
// ends.
func (s *Store) propose(ctx context.Context) {
	var next *pending // did not fit into the last entry
	for {
		if next == nil {
			select {
			case next = <-s.proposer.queue:
			case <-ctx.Done():
				return
			}
		}
		// Those who were answered together come back one after the other: let
		// them, or the first goes alone.
		runtime.Gosched()
		var batch []*pending
		batch, next = s.collect(next)
		if len(batch) > 0 {
			s.commit(batch)
		}
		if next != nil && ctx.Err() != nil {
			next.result <- fsm.Result{Err: store.ErrClosed}
			return
		}
	}
}

// collect returns first and what else is in the queue and may share its entry;
// next is a transaction, taken from the queue, that may not.
func (s *Store) collect(first *pending) (batch []*pending, next *pending) {
	size := 0
	for p := first; ; {
		if p.take() {
			if len(batch) > 0 && (p.command != nil || batch[0].command != nil || size+p.size > maxEntryBytes) {
				return batch, p
			}
			batch = append(batch, p)
			size += p.size
		}
		if len(batch) == maxTxns {
			return batch, nil
		}
		select {
		case p = <-s.proposer.queue:
		default:
			return batch, nil
		}
	}
}

// take makes the transaction one that cannot be abandoned; false if it was.
func (p *pending) take() bool {
	return p.state.CompareAndSwap(queued, taken) || p.state.Load() == taken
}

// commit proposes one log entry and passes the results on.
func (s *Store) commit(batch []*pending) {
	command := batch[0].command
	if command == nil {
		command = &fsm.Command{Kind: fsm.KindTxns, Txns: make([][]store.Op, len(batch))}
		for i, p := range batch {
			command.Txns[i] = p.ops
		}
	}
	future := s.raft.Apply(command.Encode(), 0)
	err := future.Error()
	var results []fsm.Result
	if err == nil {
		results, _ = future.Response().([]fsm.Result)
	}
	for i, p := range batch {
		switch {
		case err != nil:
			p.result <- fsm.Result{Err: proposeError(err)}
		case results == nil:
			p.result <- fsm.Result{}
		default:
			p.result <- results[i]
		}
	}
}

// proposeError translates what raft says about a proposal.
func proposeError(err error) error {
	switch {
	case errors.Is(err, raft.ErrNotLeader), errors.Is(err, raft.ErrLeadershipTransferInProgress):
		return store.ErrUnavailable
	case errors.Is(err, raft.ErrLeadershipLost), errors.Is(err, raft.ErrRaftShutdown):
		return fmt.Errorf("%w: %w", store.ErrUnknownOutcome, err)
	}
	return storageError(err)
}

// storageError translates an error of the disk.
func storageError(err error) error {
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return fmt.Errorf("%w: %w", store.ErrNoSpace, err)
	}
	return fmt.Errorf("%w: %w", store.ErrUnknownOutcome, err)
}
