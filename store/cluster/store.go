package cluster

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"

	"github.com/hashicorp/raft"

	"skiff/atomicfile"
	"skiff/store"
	"skiff/store/fsm"
	"skiff/store/raftlog"
	"skiff/store/snapshots"
)

// Store is a server's store. It implements store.Store and prometheus.Collector.
type Store struct {
	cfg     Config
	log     *slog.Logger
	metrics *metrics
	id      *identity

	lock    *os.File
	raftLog *raftlog.Log
	fsm     *fsm.FSM
	raft    *raft.Raft

	leadership leadership
	proposer   proposer
	due        snapshotDue
	// refusing tells that the disk does not take writes.
	refusing atomic.Bool

	stop context.CancelFunc
	done sync.WaitGroup
	once sync.Once
	err  error
}

var _ store.Store = (*Store)(nil)

// Open opens the store in cfg.Dir. With a voter that is alone, it is ready to
// read and write when Open returns.
func Open(cfg Config) (*Store, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	s := &Store{cfg: cfg, log: cfg.Logger, metrics: newMetrics()}
	if err := s.open(); err != nil {
		return nil, errors.Join(fmt.Errorf("open the store in %s: %w", cfg.Dir, err), s.release())
	}
	ctx, stop := context.WithCancel(context.Background())
	s.stop = stop
	s.run(ctx)
	if s.alone() {
		s.hasten()
		if err := s.leadership.wait(ctx, cfg.LeaderWait); err != nil {
			return nil, errors.Join(fmt.Errorf("open the store in %s: %w", cfg.Dir, err), s.Close())
		}
	}
	return s, nil
}

// Cluster returns the identity of the cluster whose state this is: a random text
// that every one of its stores has.
func (s *Store) Cluster() string { return s.id.Cluster }

func (s *Store) path(elem ...string) string {
	return filepath.Join(append([]string{s.cfg.Dir}, elem...)...)
}

func (s *Store) open() (err error) {
	// The directories hold secrets in clear text.
	for _, dir := range []string{s.path(), s.path("raft"), s.path("state")} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return err
		}
	}
	if s.lock, err = lockDir(s.cfg.Dir); err != nil {
		return err
	}
	snaps, err := snapshots.Open(s.path("raft", "snapshots"))
	if err != nil {
		return err
	}
	s.raftLog, err = raftlog.Open(raftlog.Options{
		Dir:         s.path("raft"),
		JournalSize: s.cfg.JournalSize,
		Volatile:    fsm.Volatile,
		Synced:      s.metrics.synced,
		OpenFile:    s.cfg.OpenFile,
	})
	if err != nil {
		return err
	}
	newest, err := newestSnapshot(snaps)
	if err != nil {
		return err
	}
	if err := s.openIdentity(newest); err != nil {
		return err
	}
	if err := s.openState(newest); err != nil {
		return err
	}
	return s.openRaft(snaps, newest)
}

// newestSnapshot returns a zero one if there is none.
func newestSnapshot(snaps raft.SnapshotStore) (raft.SnapshotMeta, error) {
	all, err := snaps.List()
	if err != nil || len(all) == 0 {
		return raft.SnapshotMeta{}, err
	}
	return *all[0], nil
}

// openIdentity finds out whose directory this is, and bootstraps a new one: the
// log's first entry says that this server is the only voter. The identity is
// written last; without it, a log of no more than that entry is begun again.
func (s *Store) openIdentity(newest raft.SnapshotMeta) error {
	path := s.path("identity.json")
	id, err := readIdentity(path)
	if err != nil {
		return err
	}
	last, err := s.raftLog.LastIndex()
	if err != nil {
		return err
	}
	last = max(last, newest.Index)
	switch {
	case id == nil && last > 1:
		return fmt.Errorf("%s is missing, but there is a raft log: restore it from a backup", path)
	case id != nil && last == 0:
		return fmt.Errorf("the raft log in %s is missing: restore it from a backup, or remove %s to begin a new, empty cluster", s.path("raft"), path)
	case id != nil:
		s.id = id
		return nil
	}
	s.id = newIdentity(s.cfg.NodeID)
	if err := s.bootstrap(last); err != nil {
		return fmt.Errorf("bootstrap the cluster: %w", err)
	}
	if err := s.id.write(path); err != nil {
		return err
	}
	return atomicfile.SyncDir(filepath.Dir(s.cfg.Dir))
}

func (s *Store) bootstrap(last uint64) error {
	if last > 0 {
		if err := s.raftLog.DeleteRange(1, last); err != nil {
			return err
		}
	}
	// A state beside an empty log belongs to another one.
	if err := os.RemoveAll(s.path("state")); err != nil {
		return err
	}
	if err := os.Mkdir(s.path("state"), 0o700); err != nil {
		return err
	}
	configuration := raft.Configuration{Servers: []raft.Server{{
		Suffrage: raft.Voter, ID: raft.ServerID(s.id.Node), Address: s.address(),
	}}}
	return s.raftLog.StoreLog(&raft.Log{
		Index: 1, Term: 1, Type: raft.LogConfiguration, Data: raft.EncodeConfiguration(configuration),
	})
}

func (s *Store) address() raft.ServerAddress {
	if s.cfg.Transport != nil {
		return s.cfg.Transport.LocalAddr()
	}
	return raft.ServerAddress(s.id.Node)
}

func (s *Store) openState(newest raft.SnapshotMeta) error {
	last, err := s.raftLog.LastIndex()
	if err != nil {
		return err
	}
	last = max(last, newest.Index)
	s.fsm, err = fsm.Open(fsm.Config{
		Dir:            s.path("state"),
		Cluster:        s.id.Cluster,
		Boot:           s.cfg.BootID,
		Fresh:          last <= 1,
		Logger:         s.log,
		FlushEntries:   s.cfg.FlushEntries,
		FlushBytes:     s.cfg.FlushBytes,
		History:        s.cfg.History,
		BeforeSnapshot: s.raftLog.Sync,
		Applied:        s.applied,
	})
	if err != nil {
		return err
	}
	if at := s.fsm.Applied(); at > last {
		s.log.Warn("the store's state file is ahead of the raft log; rebuilding it", "state", at, "log", last)
		return s.fsm.Discard()
	}
	return nil
}

func (s *Store) openRaft(snaps raft.SnapshotStore, newest raft.SnapshotMeta) error {
	transport := s.cfg.Transport
	if transport == nil {
		_, transport = raft.NewInmemTransport(s.address())
	}
	conf := s.raftConfig(s.id.Node)
	conf.NoSnapshotRestoreOnStart = s.fsm.Applied() >= newest.Index
	notify := make(chan bool, 8)
	conf.NotifyCh = notify
	s.leadership.init(notify)
	s.due.init(s.cfg, s.fsm.Applied(), newest.Index, s.fsm.Logged())
	s.proposer.init()
	r, err := raft.NewRaft(conf, s.fsm, s.raftLog, s.raftLog, s.shortcut(snaps, newest), transport)
	if err != nil {
		return fmt.Errorf("start raft: %w", err)
	}
	s.raft = r
	s.raftLog.CountVoters(r.GetConfiguration().Configuration())
	return nil
}

// alone tells whether this server is the only voter.
func (s *Store) alone() bool { return s.raftLog.Voters() == 1 }

// run starts the goroutines that Close waits for.
func (s *Store) run(ctx context.Context) {
	s.done.Go(func() { s.watchLeadership(ctx) })
	s.done.Go(func() { s.takeSnapshots(ctx) })
	if s.cfg.CompactInterval > 0 {
		s.done.Go(func() { s.compactRegularly(ctx) })
	}
	for range proposers {
		s.done.Go(func() { s.propose(ctx) })
	}
}

// Close ends the store: what is in the works fails or finishes, everything is
// written and synced. A second call returns the same.
func (s *Store) Close() error {
	s.once.Do(func() {
		s.leadership.close()
		s.stop()
		// Raft answers what is under way as long as it runs, and forgets about
		// it when it is shut down: so it ends after those who wait for it.
		s.done.Wait()
		s.proposer.close()
		var errs []error
		if err := s.raft.Shutdown().Error(); err != nil {
			errs = append(errs, fmt.Errorf("shut raft down: %w", err))
		}
		errs = append(errs, s.release())
		s.err = errors.Join(errs...)
	})
	return s.err
}

// release closes what open opened. The log comes before the state: the mark that
// the latter leaves vouches for both.
func (s *Store) release() error {
	var errs []error
	if s.raftLog != nil {
		errs = append(errs, s.raftLog.Close())
	}
	if s.fsm != nil {
		errs = append(errs, s.fsm.Close())
	}
	if s.lock != nil {
		errs = append(errs, s.lock.Close())
	}
	return errors.Join(errs...)
}
