package cluster

import (
	"errors"
	"log/slog"
	"time"

	"github.com/hashicorp/raft"

	"skiff/store/fsm"
	"skiff/store/mvcc"
	"skiff/store/raftlog"
)

// Config says how a Store is opened. Only Dir is needed; zero values of the rest
// stand for the defaults.
type Config struct {
	// Dir is the data directory, made if it is not there.
	Dir string
	// NodeID names the voter in a new data directory; an existing one keeps its
	// name, whatever the host is called now.
	NodeID string
	Logger *slog.Logger

	// Transport connects the servers; nil for one voter alone.
	Transport raft.Transport
	// BootID identifies this boot of the kernel; "" for the kernel's own.
	BootID string

	// MaxTxnBytes bounds one transaction (keys and values).
	MaxTxnBytes int
	// History bounds the events kept in memory for watches.
	History mvcc.Limits
	// CompactInterval is how often the history older than that is forgotten;
	// negative for never.
	CompactInterval time.Duration
	// SnapshotEntries and SnapshotBytes bound the log since the last snapshot.
	// A large state stretches them, so that snapshots do not dominate the writes.
	SnapshotEntries int
	SnapshotBytes   int
	// TrailingLogs entries are kept behind a snapshot for followers.
	TrailingLogs int
	// LeaderWait is how long a request waits for a leader to be elected.
	LeaderWait time.Duration

	// FlushEntries and FlushBytes: see fsm.Config.
	FlushEntries int
	FlushBytes   int
	// JournalSize and OpenFile: see raftlog.Options.
	JournalSize int64
	OpenFile    func(path string, size int64) (raftlog.File, error)
}

// Defaults.
const (
	defaultMaxTxnBytes = 3 << 20
	// As upstream's API server does with etcd: a resource version lives for five
	// to ten minutes.
	defaultCompactInterval = 5 * time.Minute
	defaultSnapshotEntries = 8192
	defaultSnapshotBytes   = 16 << 20
	defaultTrailingLogs    = 512
	defaultLeaderWait      = 5 * time.Second
)

// Raft's times. They are long: a flash card can stall for a second, and an
// election because of that helps nobody. A voter that is alone does not wait for
// them, see Store.hasten.
const (
	leaderLease      = 2 * time.Second
	heartbeatTimeout = 3 * time.Second
	electionTimeout  = 3 * time.Second
	// maxAppendEntries bounds a group commit.
	maxAppendEntries = 512
	// snapshotCheck is how often raft itself looks whether a snapshot is due:
	// practically never, the store tells it when one is.
	snapshotCheck = 365 * 24 * time.Hour
)

func (c Config) withDefaults() (Config, error) {
	if c.Dir == "" {
		return c, errors.New("open the store: no data directory given")
	}
	if c.NodeID == "" {
		c.NodeID = "server"
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	if c.BootID == "" {
		c.BootID = fsm.BootID()
	}
	def(&c.MaxTxnBytes, defaultMaxTxnBytes)
	def(&c.CompactInterval, defaultCompactInterval)
	def(&c.SnapshotEntries, defaultSnapshotEntries)
	def(&c.SnapshotBytes, defaultSnapshotBytes)
	def(&c.TrailingLogs, defaultTrailingLogs)
	def(&c.LeaderWait, defaultLeaderWait)
	return c, nil
}

func def[T comparable](v *T, value T) {
	var zero T
	if *v == zero {
		*v = value
	}
}

func (s *Store) raftConfig(id string) *raft.Config {
	c := raft.DefaultConfig()
	c.LocalID = raft.ServerID(id)
	c.LeaderLeaseTimeout = leaderLease
	c.HeartbeatTimeout = heartbeatTimeout
	c.ElectionTimeout = electionTimeout
	c.BatchApplyCh = true
	c.MaxAppendEntries = maxAppendEntries
	c.TrailingLogs = uint64(s.cfg.TrailingLogs)
	c.SnapshotInterval = snapshotCheck
	c.SnapshotThreshold = 1
	c.NoLegacyTelemetry = true
	c.Logger = newLogger(s.log)
	return c
}
