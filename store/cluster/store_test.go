package cluster_test

import (
	"log/slog"
	"testing"

	"skiff/store"
	"skiff/store/cluster"
	"skiff/store/storetest"
)

func TestStore(t *testing.T) {
	storetest.Run(t, func(t *testing.T) store.Store { return open(t, cluster.Config{Dir: t.TempDir()}) })
}

// TestStoreSmall runs the suite with every bound so small that flushes,
// snapshots and moves of the journal happen all the time.
func TestStoreSmall(t *testing.T) {
	storetest.Run(t, func(t *testing.T) store.Store {
		return open(t, cluster.Config{
			Dir: t.TempDir(), JournalSize: 16 << 10,
			FlushEntries: 3, SnapshotEntries: 5, TrailingLogs: 1,
		})
	})
}

func open(t testing.TB, cfg cluster.Config) *cluster.Store {
	t.Helper()
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn}))
	}
	s, err := cluster.Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return s
}
