package fsm

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"path/filepath"
	"sync/atomic"

	"github.com/hashicorp/raft"

	"skiff/store"
	"skiff/store/mvcc"
)

// Config says where the state is and how it behaves. Zero numbers mean defaults.
type Config struct {
	// Dir exists.
	Dir string
	// Cluster is the identifier of the cluster that the log belongs to.
	Cluster string
	// Boot is the kernel's boot identifier, see BootID.
	Boot string
	// Fresh tells that the log is empty: nothing can have been lost.
	Fresh  bool
	Logger *slog.Logger
	// FlushEntries and FlushBytes bound the log entries and the bytes of changes
	// that the state file may lack, and that a start has to apply again.
	FlushEntries int
	FlushBytes   int
	// History bounds the events kept for watches.
	History mvcc.Limits
	// BeforeSnapshot makes the log durable.
	BeforeSnapshot func() error
	// Applied is told the number of entries and bytes after each batch.
	Applied func(entries, bytes int)
}

const (
	defaultFlushEntries = 8192
	defaultFlushBytes   = 4 << 20
)

// FSM is the state machine. It implements raft.BatchingFSM; its State may be
// read by anyone.
type FSM struct {
	cfg   Config
	state *mvcc.State

	// Only the applier uses these.
	back    *backend
	entries int // applied since the last flush began
	// logged is the bytes applied since the last snapshot.
	logged uint64
	// servers is raft's latest configuration, if it has been seen.
	servers      []byte
	serversIndex uint64

	applied  atomic.Uint64
	changes  atomic.Uint64
	mark     mark
	markPath string

	flusher flusher
}

// Result is that of one transaction.
type Result struct {
	Revisions []int64
	// Err is a *store.ConflictError, or tells what is wrong with the operations.
	Err error
}

// Open opens the state in cfg.Dir, made if it is not there, or made anew if it
// cannot be trusted: raft then restores it.
func Open(cfg Config) (*FSM, error) {
	if cfg.FlushEntries == 0 {
		cfg.FlushEntries = defaultFlushEntries
	}
	if cfg.FlushBytes == 0 {
		cfg.FlushBytes = defaultFlushBytes
	}
	f := &FSM{cfg: cfg, markPath: filepath.Join(cfg.Dir, "mark.json")}
	trusted, err := f.openMark()
	if err != nil {
		return nil, err
	}
	pos, err := f.openState(trusted)
	if err != nil {
		return nil, err
	}
	f.adopt(pos)
	f.state = mvcc.NewState(f.back, pos.revision, cfg.History)
	f.flusher.start(f.back, cfg.Logger)
	return f, nil
}

// State returns the state that the log has led to.
func (f *FSM) State() *mvcc.State { return f.state }

// Applied returns the index of the last entry applied.
func (f *FSM) Applied() uint64 { return f.applied.Load() }

// Changes returns the number of changed keys since the start.
func (f *FSM) Changes() uint64 { return f.changes.Load() }

// Size returns the bytes of the state file.
func (f *FSM) Size() int64 { return fileSize(f.statePath()) }

// Apply implements raft.FSM.
func (f *FSM) Apply(log *raft.Log) any { return f.ApplyBatch([]*raft.Log{log})[0] }

// ApplyBatch implements raft.BatchingFSM. The responses are []Result for
// transactions, nil for the rest.
func (f *FSM) ApplyBatch(logs []*raft.Log) []any {
	out := make([]any, len(logs))
	bytes := 0
	for i, log := range logs {
		if log.Index <= f.applied.Load() {
			continue // the state file has it already
		}
		switch log.Type {
		case raft.LogCommand:
			out[i] = f.command(log)
		case raft.LogConfiguration:
			f.servers, f.serversIndex = log.Data, log.Index
		}
		bytes += len(log.Data)
		f.applied.Store(log.Index)
		f.entries++
	}
	f.logged += uint64(bytes)
	f.state.EndBatch()
	f.maybeFlush()
	if f.cfg.Applied != nil {
		f.cfg.Applied(len(logs), bytes)
	}
	return out
}

func (f *FSM) command(log *raft.Log) any {
	c, err := Decode(log.Data)
	if err != nil {
		// Going on would make this state differ from the others'.
		panic(fmt.Sprintf("apply entry %d of the raft log: %v", log.Index, err))
	}
	switch c.Kind {
	case KindCompact:
		f.state.Compact(c.Revision)
	case KindAdvance:
		f.state.Advance(f.state.Revision() + c.Revision)
	case KindTxns:
		results := make([]Result, len(c.Txns))
		for i, ops := range c.Txns {
			results[i] = f.txn(ops)
		}
		return results
	}
	return nil
}

func (f *FSM) txn(ops []store.Op) Result {
	revisions, err := f.state.Apply(ops)
	if mvcc.IsBackendError(err) {
		panic(fmt.Sprintf("apply a transaction: %v", err))
	}
	f.changes.Add(uint64(len(revisions)))
	return Result{Revisions: revisions, Err: err}
}

func (f *FSM) position() position {
	return position{
		applied: f.applied.Load(), revision: f.state.Revision(), logged: f.logged,
		servers: f.servers, serversIndex: f.serversIndex,
	}
}

// adopt makes pos, which the state file is at, the own position.
func (f *FSM) adopt(pos position) {
	f.applied.Store(pos.applied)
	f.entries = 0
	f.logged = pos.logged
	f.servers, f.serversIndex = pos.servers, pos.serversIndex
}

// Logged returns the bytes of log since the last snapshot. It must not be called
// once raft runs.
func (f *FSM) Logged() uint64 { return f.logged }

// Servers returns the latest of raft's configurations that is part of the state,
// and its index; false if it is not known. It must not be called once raft runs.
func (f *FSM) Servers() (raft.Configuration, uint64, bool) {
	if len(f.servers) == 0 {
		return raft.Configuration{}, 0, false
	}
	return raft.DecodeConfiguration(f.servers), f.serversIndex, true
}

// maybeFlush begins a flush when enough has come together. If the last one is
// under way still, changes go on piling up, but not without bound.
func (f *FSM) maybeFlush() {
	_, bytes := f.back.pending()
	if f.entries < f.cfg.FlushEntries && bytes < f.cfg.FlushBytes {
		return
	}
	if bytes > 4*f.cfg.FlushBytes {
		f.flusher.wait()
	}
	f.beginFlush()
}

func (f *FSM) beginFlush() {
	if f.flusher.begin(f.position()) {
		f.entries = 0
	}
}

// Check returns an error if the state file cannot be written, having tried
// again whether it still is so.
func (f *FSM) Check() error { return f.flusher.check() }

// Snapshot implements raft.FSM.
func (f *FSM) Snapshot() (raft.FSMSnapshot, error) {
	v, revision, err := f.state.View()
	if err != nil {
		return nil, fmt.Errorf("take a snapshot: %w", err)
	}
	f.logged = 0
	// With the state file at least as new as the snapshot, no start needs to
	// restore the latter.
	f.beginFlush()
	return &snapshot{view: v, cluster: f.cfg.Cluster, revision: revision, before: f.cfg.BeforeSnapshot}, nil
}

// Restore implements raft.FSM. It does not learn the snapshot's index: until the
// next flush the state file counts as having nothing, so that a start before
// that restores the snapshot again.
func (f *FSM) Restore(rc io.ReadCloser) error {
	defer rc.Close() //nolint:errcheck // read to its end
	r, err := newReader(rc)
	if err != nil {
		return fmt.Errorf("restore a snapshot: %w", err)
	}
	if r.cluster != f.cfg.Cluster {
		return fmt.Errorf("restore a snapshot: it belongs to cluster %s, not to %s", r.cluster, f.cfg.Cluster)
	}
	if err := f.replaceState(r); err != nil {
		return fmt.Errorf("restore a snapshot: %w", err)
	}
	return nil
}

// Close writes what the state file lacks, and marks it as good for the next
// start even behind a power cut. The log must have been synced before.
func (f *FSM) Close() error {
	f.state.Close()
	f.flusher.stop()
	if err := f.finish(); err != nil {
		return errors.Join(err, f.back.close())
	}
	if err := f.back.close(); err != nil {
		return fmt.Errorf("close the state file: %w", err)
	}
	f.mark.Clean = true
	return f.writeMark()
}

// finish brings everything to the disk.
func (f *FSM) finish() error {
	if pos, left := f.flusher.unfinished(); left {
		if err := f.back.flush(pos); err != nil {
			return err
		}
	}
	f.back.freeze()
	if err := f.back.flush(f.position()); err != nil {
		return err
	}
	if err := f.back.db.Sync(); err != nil {
		return fmt.Errorf("sync the state file: %w", err)
	}
	return nil
}
