package raftlog

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/hashicorp/raft"
	raftboltdb "github.com/hashicorp/raft-boltdb/v2"
	"go.etcd.io/bbolt"

	"skiff/atomicfile"
)

const (
	// DefaultJournalSize is a compromise between the space it takes and how
	// often its entries have to move.
	DefaultJournalSize = 4 << 20
	// MaxUnsynced bounds the bytes of entries that a power cut can lose. With
	// the smallest encoding of a change it bounds their number, too.
	MaxUnsynced = 256 << 10
	// mmapSize avoids that a growing log.db is mapped anew.
	mmapSize = 64 << 20
)

// Options say where a Log is and how it behaves.
type Options struct {
	// Dir exists.
	Dir string
	// JournalSize in bytes, 0 for DefaultJournalSize.
	JournalSize int64
	// Volatile tells whether a command may be lost by a power cut.
	Volatile func(data []byte) bool
	// Synced is told how long each fdatasync of the write path took.
	Synced func(time.Duration)
	// OpenFile replaces the way that the journal and the vote are opened.
	OpenFile func(path string, size int64) (File, error)
	// OpenBolt replaces the way that log.db is opened.
	OpenBolt func(path string, flag int, mode os.FileMode) (*os.File, error)
}

// Log is the Raft log and the vote. It implements raft.LogStore and
// raft.StableStore, and is safe for concurrent use.
type Log struct {
	*stable
	opts   Options
	voters atomic.Int32
	full   atomic.Bool

	mu      sync.RWMutex
	journal *journal
	bolt    *raftboltdb.BoltStore
	// first and last are the bounds of the log, 0 if it is empty.
	first, last uint64
	// boltLast is the last index in log.db, 0 if it is empty.
	boltLast uint64
	// broken is set when a write failed in a way that leaves in doubt what is
	// on the disk; nothing is appended any more.
	broken error
	closed bool
}

// Open opens the log in opts.Dir, made if it is not there.
func Open(opts Options) (*Log, error) {
	if opts.JournalSize == 0 {
		opts.JournalSize = DefaultJournalSize
	}
	if opts.OpenFile == nil {
		opts.OpenFile = openFile
	}
	l := &Log{opts: opts}
	if err := l.open(); err != nil {
		return nil, errors.Join(err, l.closeFiles())
	}
	return l, nil
}

func (l *Log) open() error {
	vote, err := l.opts.OpenFile(filepath.Join(l.opts.Dir, "vote"), 2*slotSize)
	if err != nil {
		return fmt.Errorf("open the raft vote: %w", err)
	}
	if l.stable, err = openStable(vote); err != nil {
		return err
	}
	file, err := l.opts.OpenFile(filepath.Join(l.opts.Dir, "journal"), l.opts.JournalSize)
	if err != nil {
		return fmt.Errorf("open the raft journal: %w", err)
	}
	if l.journal, err = openJournal(file, l.opts.JournalSize); err != nil {
		return err
	}
	path := filepath.Join(l.opts.Dir, "log.db")
	_, missing := os.Stat(path)
	l.bolt, err = raftboltdb.New(raftboltdb.Options{
		Path: path,
		BoltOptions: &bbolt.Options{
			Timeout:         time.Second,
			FreelistType:    bbolt.FreelistMapType,
			InitialMmapSize: mmapSize,
			NoStatistics:    true,
			OpenFile:        l.opts.OpenBolt,
		},
	})
	if err != nil {
		return fmt.Errorf("open the raft log: %w", err)
	}
	if missing != nil {
		// A new log.db has synced itself, but not its name.
		if err := atomicfile.SyncDir(l.opts.Dir); err != nil {
			return fmt.Errorf("open the raft log: %w", err)
		}
	}
	return l.bounds()
}

// bounds finds first, last and boltLast. Entries that are in both places were
// moved just before the end of the process.
func (l *Log) bounds() error {
	first, err := l.bolt.FirstIndex()
	if err != nil {
		return fmt.Errorf("find the bounds of the raft log: %w", err)
	}
	if l.boltLast, err = l.bolt.LastIndex(); err != nil {
		return fmt.Errorf("find the bounds of the raft log: %w", err)
	}
	if !l.journal.empty() && l.journal.last() <= l.boltLast {
		if err := l.journal.reset(l.journal.generation + 1); err != nil {
			return err
		}
	}
	l.first, l.last = first, max(l.boltLast, l.journal.last())
	if l.first == 0 {
		l.first = l.journal.first
	}
	return nil
}

// FirstIndex implements raft.LogStore.
func (l *Log) FirstIndex() (uint64, error) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.first, nil
}

// LastIndex implements raft.LogStore.
func (l *Log) LastIndex() (uint64, error) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.last, nil
}

// GetLog implements raft.LogStore.
func (l *Log) GetLog(index uint64, log *raft.Log) error {
	l.mu.RLock()
	defer l.mu.RUnlock()
	switch {
	case l.closed:
		return os.ErrClosed
	case index < l.first || index > l.last:
		return raft.ErrLogNotFound
	case l.journal.has(index):
		return l.journal.get(index, log)
	}
	return l.bolt.GetLog(index, log)
}

// StoreLog implements raft.LogStore.
func (l *Log) StoreLog(log *raft.Log) error { return l.StoreLogs([]*raft.Log{log}) }

// StoreLogs implements raft.LogStore. When it returns, the entries survive a
// crash of the process, and a power cut unless all of them are volatile. If the
// error is syscall.ENOSPC, nothing was changed.
func (l *Log) StoreLogs(logs []*raft.Log) error {
	if len(logs) == 0 {
		return nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.usable(); err != nil {
		return err
	}
	if err := l.store(logs); err != nil {
		return fmt.Errorf("append to the raft log: %w", err)
	}
	if l.first == 0 {
		l.first = logs[0].Index
	}
	l.last = logs[len(logs)-1].Index
	return nil
}

func (l *Log) usable() error {
	if l.closed {
		return os.ErrClosed
	}
	return l.broken
}

func (l *Log) store(logs []*raft.Log) error {
	if logs[0].Index <= l.last {
		return fmt.Errorf("entry %d is there already, the last one is %d", logs[0].Index, l.last)
	}
	durable := l.durable(logs)
	if logs[0].Index != l.last+1 && !l.journal.empty() {
		// After a snapshot from the leader the log goes on behind a gap.
		if err := l.settle(); err != nil {
			return err
		}
	}
	err := l.journal.append(logs)
	if errors.Is(err, errJournalFull) {
		if err = l.settle(); err != nil {
			return err
		}
		err = l.journal.append(logs)
	}
	if errors.Is(err, errJournalFull) {
		// A batch greater than the journal.
		if err := l.bolt.StoreLogs(logs); err != nil {
			return err
		}
		l.boltLast = logs[len(logs)-1].Index
		return nil
	}
	if err != nil {
		return l.fail(err)
	}
	if durable || l.journal.end-l.journal.synced > MaxUnsynced {
		if err := l.sync(); err != nil {
			return err
		}
	}
	l.tidy()
	return nil
}

// tidy moves the entries before the journal is quite full, so that on a full
// disk there is room for what is under way when Check begins to refuse.
func (l *Log) tidy() {
	if l.journal.end > l.journal.size/4*3 && !l.full.Load() {
		_ = l.settle() // tried again when the journal is full, and by Check
	}
}

// durable tells whether a power cut must not lose any of logs. It also follows
// the number of voters.
func (l *Log) durable(logs []*raft.Log) bool {
	durable := false
	for _, log := range logs {
		if log.Type == raft.LogConfiguration {
			l.CountVoters(raft.DecodeConfiguration(log.Data))
		}
		if log.Type != raft.LogCommand || l.opts.Volatile == nil || !l.opts.Volatile(log.Data) {
			durable = true
		}
	}
	// Other servers count on what this one has acknowledged.
	return durable || l.voters.Load() > 1
}

// CountVoters sets the number of voters to that of configuration. With more
// than one, volatile entries are synced like all others.
func (l *Log) CountVoters(configuration raft.Configuration) {
	n := int32(0)
	for _, s := range configuration.Servers {
		if s.Suffrage == raft.Voter {
			n++
		}
	}
	l.voters.Store(n)
}

// Voters returns the number of voters in the latest configuration.
func (l *Log) Voters() int { return int(l.voters.Load()) }

// Sync makes all entries survive a power cut.
func (l *Log) Sync() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.usable(); err != nil {
		return err
	}
	return l.sync()
}

func (l *Log) sync() error {
	start := time.Now()
	if err := l.journal.sync(); err != nil {
		return l.fail(err)
	}
	if l.opts.Synced != nil {
		l.opts.Synced(time.Since(start))
	}
	return nil
}

// fail remembers that the journal cannot be trusted any more: after a failed
// fsync the kernel may report success for pages that it has dropped.
func (l *Log) fail(err error) error {
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		l.full.Store(true)
		return err
	}
	l.broken = fmt.Errorf("the raft journal failed and is not written any more until a restart: %w", err)
	return l.broken
}

// settle moves the entries of the journal to log.db.
func (l *Log) settle() error {
	if err := l.move(); err != nil {
		l.full.Store(true)
		return fmt.Errorf("move entries to log.db: %w", err)
	}
	l.full.Store(false)
	return nil
}

func (l *Log) move() error {
	const chunk = 1 << 20
	var logs []*raft.Log
	bytes := 0
	for i := l.journal.first; l.journal.has(i); i++ {
		if i <= l.boltLast || i < l.first {
			continue
		}
		log := new(raft.Log)
		if err := l.journal.get(i, log); err != nil {
			return err
		}
		logs, bytes = append(logs, log), bytes+len(log.Data)
		if bytes > chunk || i == l.journal.last() {
			if err := l.bolt.StoreLogs(logs); err != nil {
				return err
			}
			l.boltLast = i
			logs, bytes = logs[:0], 0
		}
	}
	return l.journal.reset(l.journal.generation + 1)
}

// Check returns an error if the disk is full, having tried again whether it
// still is.
func (l *Log) Check() error {
	if !l.full.Load() {
		return nil
	}
	if !l.mu.TryLock() {
		return syscall.ENOSPC
	}
	defer l.mu.Unlock()
	if err := l.usable(); err != nil {
		return err
	}
	return l.settle()
}

// DeleteRange implements raft.LogStore: the bounds are inclusive, and one of
// them is a bound of the log.
func (l *Log) DeleteRange(minIndex, maxIndex uint64) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.usable(); err != nil {
		return err
	}
	if maxIndex >= l.last {
		return l.deleteSuffix(minIndex)
	}
	if l.boltLast >= l.first && l.boltLast > 0 {
		if err := l.bolt.DeleteRange(minIndex, maxIndex); err != nil {
			return fmt.Errorf("delete entries %d to %d of log.db: %w", minIndex, maxIndex, err)
		}
	}
	if minIndex <= l.first {
		l.first = max(l.first, maxIndex+1)
	}
	return nil
}

// deleteSuffix forgets the entries from index on. The journal goes first: a
// crash in between must not leave a gap.
func (l *Log) deleteSuffix(index uint64) error {
	if !l.journal.empty() {
		if err := l.journal.truncate(max(index, l.journal.first)); err != nil {
			return l.fail(err)
		}
	}
	if l.boltLast >= index {
		if err := l.bolt.DeleteRange(index, l.boltLast); err != nil {
			return fmt.Errorf("delete entries from %d of log.db: %w", index, err)
		}
		l.boltLast = index - 1
	}
	if index <= l.first {
		l.first, l.last, l.boltLast = 0, 0, 0
		return nil
	}
	l.last = index - 1
	return nil
}

// Size returns the bytes of log.db and of the journal in use.
func (l *Log) Size() int64 {
	l.mu.RLock()
	defer l.mu.RUnlock()
	n := l.journal.end
	if info, err := os.Stat(filepath.Join(l.opts.Dir, "log.db")); err == nil {
		n += info.Size()
	}
	return n
}

// Close makes all entries survive a power cut and frees the files.
func (l *Log) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return nil
	}
	var err error
	if l.broken == nil {
		err = l.journal.sync()
	}
	l.closed = true
	return errors.Join(err, l.closeFiles())
}

func (l *Log) closeFiles() error {
	var errs []error
	if l.stable != nil {
		errs = append(errs, l.stable.file.Close())
	}
	if l.journal != nil {
		errs = append(errs, l.journal.file.Close())
	}
	if l.bolt != nil {
		errs = append(errs, l.bolt.Close())
	}
	return errors.Join(errs...)
}
