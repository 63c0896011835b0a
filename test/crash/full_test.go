package crash

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"skiff/store"
	"skiff/store/cluster"
)

// TestFullDisk fills the disk under a store: writes are refused with an error
// that says so, reads go on, nothing acknowledged is lost, and when there is
// space again writes go on without a restart.
func TestFullDisk(t *testing.T) {
	t.Run("state first", func(t *testing.T) { testFullDisk(t, 256<<10, 100) })
	t.Run("log first", func(t *testing.T) { testFullDisk(t, 64<<20, 1<<30) })
}

func testFullDisk(t *testing.T, flushBytes, snapshotEntries int) {
	dir := t.TempDir()
	if err := syscall.Mount("skiff-full", dir, "tmpfs", 0, "size=16m"); err != nil {
		t.Skipf("cannot mount a small tmpfs (needs root): %v", err)
	}
	t.Cleanup(func() { _ = syscall.Unmount(dir, 0) })
	cfg := cluster.Config{
		Dir:         filepath.Join(dir, "store"),
		Logger:      slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn})),
		JournalSize: 1 << 20, FlushBytes: flushBytes, SnapshotEntries: snapshotEntries, TrailingLogs: 10,
	}
	s, err := cluster.Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	acked := map[string]int64{}
	for round := range 3 {
		refused := fillDisk(t, s, filepath.Join(dir, "ballast"), round, acked)
		if !errors.Is(refused, store.ErrNoSpace) {
			t.Fatalf("round %d: write to a full disk: %v, want %v", round, refused, store.ErrNoSpace)
		}
		checkAcked(t, s, acked)
		if err := os.Remove(filepath.Join(dir, "ballast")); err != nil {
			t.Fatal(err)
		}
		waitWritable(t, s)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if s, err = cluster.Open(cfg); err != nil {
		t.Fatal(err)
	}
	checkAcked(t, s, acked)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

// fillDisk takes all space and writes until the store refuses.
func fillDisk(t *testing.T, s store.Store, ballast string, round int, acked map[string]int64) error {
	t.Helper()
	takeSpace(t, ballast)
	value := make([]byte, 20<<10)
	for i := range 2000 {
		key := fmt.Sprintf("pods/%d/%d", round, i%30)
		revs, err := s.Txn(t.Context(), store.Op{Key: key, Value: value, Expect: store.AnyRevision})
		if err != nil {
			return err
		}
		acked[key] = revs[0]
	}
	return nil
}

func takeSpace(t *testing.T, ballast string) {
	t.Helper()
	f, err := os.Create(ballast)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close() //nolint:errcheck // its contents do not matter
	for err == nil {
		_, err = f.Write(make([]byte, 4096))
	}
	if !errors.Is(err, syscall.ENOSPC) {
		t.Fatal(err)
	}
}

func checkAcked(t *testing.T, s store.Store, acked map[string]int64) {
	t.Helper()
	for key, rev := range acked {
		item, _, err := s.Get(t.Context(), key, store.ReadOptions{})
		if err != nil || item.Revision != rev {
			t.Errorf("%s is at revision %d (%v), %d was acknowledged", key, item.Revision, err, rev)
		}
	}
}

// waitWritable asserts that the store takes a write again, after any number of
// refusals within the time that an election may take.
func waitWritable(t *testing.T, s store.Store) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	for {
		_, err := s.Txn(ctx, store.Op{Key: "pods/after", Value: []byte("1"), Expect: store.AnyRevision})
		if err == nil {
			return
		}
		if ctx.Err() != nil || !(errors.Is(err, store.ErrNoSpace) || errors.Is(err, store.ErrUnavailable)) {
			t.Fatalf("write with space on the disk: %v", err)
		}
	}
}
