package cluster_test

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"skiff/store"
	"skiff/store/cluster"
)

func put(t *testing.T, s store.Store, key, value string, volatile bool) int64 {
	t.Helper()
	revs, err := s.Txn(t.Context(), store.Op{Key: key, Value: []byte(value), Expect: store.AnyRevision, Volatile: volatile})
	if err != nil {
		t.Fatal(err)
	}
	return revs[0]
}

func dump(t *testing.T, s store.Store) string {
	t.Helper()
	res, err := s.List(t.Context(), "", store.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	for _, it := range res.Items {
		fmt.Fprintf(&b, "%s=%s@%d ", it.Key, it.Value, it.Revision)
	}
	return strings.TrimSpace(b.String())
}

// reopen closes s and opens its directory as in another boot.
func reopen(t *testing.T, s *cluster.Store, cfg cluster.Config) *cluster.Store {
	t.Helper()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return open(t, cfg)
}

func TestReopen(t *testing.T) {
	cfg := cluster.Config{Dir: t.TempDir(), BootID: "one"}
	s := open(t, cfg)
	put(t, s, "pods/a/x", "1", false)
	put(t, s, "leases/a", "1", true)
	rev := put(t, s, "pods/a/x", "2", false)
	want := dump(t, s)
	for _, boot := range []string{"one", "two", "three"} {
		cfg.BootID = boot
		s = reopen(t, s, cfg)
		if got := dump(t, s); got != want {
			t.Fatalf("boot %s: got %s, want %s", boot, got, want)
		}
		if got := s.Revision(); got != rev {
			t.Errorf("boot %s: revision %d after a clean end, want %d", boot, got, rev)
		}
	}
}

// TestUncleanBoot asserts that the state is made anew of the log when the mark
// does not vouch for it, and that the revision moves past what may be lost.
func TestUncleanBoot(t *testing.T) {
	for _, snapshots := range []int{0, 4} {
		cfg := cluster.Config{Dir: t.TempDir(), BootID: "one", SnapshotEntries: snapshots, TrailingLogs: 1}
		s := open(t, cfg)
		for i := range 20 {
			put(t, s, fmt.Sprintf("pods/a/%d", i%7), fmt.Sprint(i), false)
		}
		want, rev := dump(t, s), s.Revision()
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		if err := os.Remove(filepath.Join(cfg.Dir, "state", "mark.json")); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(cfg.Dir, "state", "state.db"), []byte("garbage"), 0o600); err != nil {
			t.Fatal(err)
		}
		s = open(t, cfg)
		if got := dump(t, s); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
		if s.Revision() < rev+1000 {
			t.Errorf("revision %d has not moved far past %d", s.Revision(), rev)
		}
		if _, err := s.Watch("pods/", rev); !errors.Is(err, store.ErrCompacted) {
			t.Errorf("watch from before the power cut: %v, want %v", err, store.ErrCompacted)
		}
		moved := put(t, s, "pods/a/x", "new", false)
		s = reopen(t, s, cfg)
		if s.Revision() != moved {
			t.Errorf("revision moved again, from %d to %d", moved, s.Revision())
		}
	}
}

// TestDamagedState asserts that a state file that cannot be read is made anew.
func TestDamagedState(t *testing.T) {
	var log bytes.Buffer
	cfg := cluster.Config{Dir: t.TempDir(), Logger: slog.New(slog.NewTextHandler(&log, nil))}
	s := open(t, cfg)
	put(t, s, "pods/a/x", "1", false)
	want := dump(t, s)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if log.Len() > 0 {
		t.Errorf("a healthy store logs: %s", log.String())
	}
	if err := os.WriteFile(filepath.Join(cfg.Dir, "state", "state.db"), make([]byte, 1<<16), 0o600); err != nil {
		t.Fatal(err)
	}
	s = open(t, cfg)
	if got := dump(t, s); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if !strings.Contains(log.String(), "state file is damaged") {
		t.Errorf("log does not say what happened: %s", log.String())
	}
}

// TestHistoryOfReplay asserts that a watch goes on over a restart where the log
// has the changes.
func TestHistoryOfReplay(t *testing.T) {
	cfg := cluster.Config{Dir: t.TempDir()}
	s := open(t, cfg)
	rev := put(t, s, "pods/a/x", "1", false)
	put(t, s, "pods/a/x", "2", false)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(filepath.Join(cfg.Dir, "state", "state.db")); err != nil {
		t.Fatal(err)
	}
	s = open(t, cfg)
	w, err := s.Watch("pods/", rev)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	batch, err := w.Next(t.Context())
	if err != nil || len(batch.Events) != 1 || string(batch.Events[0].Value) != "2" || batch.Events[0].PrevRevision != rev {
		t.Errorf("got %+v, %v", batch, err)
	}
}

func TestRefusals(t *testing.T) {
	tests := []struct {
		name  string
		spoil func(t *testing.T, dir string)
		want  string
	}{
		{"newer state", func(t *testing.T, dir string) {
			write(t, filepath.Join(dir, "state", "mark.json"), `{"format":9}`)
		}, "mark.json has format version 9, this skiff knows up to 1: start the newer version"},
		{"state of another cluster", func(t *testing.T, dir string) {
			write(t, filepath.Join(dir, "state", "mark.json"), `{"format":1,"cluster":"other","boot":"b","clean":true}`)
		}, "belongs to cluster other"},
		{"newer identity", func(t *testing.T, dir string) {
			write(t, filepath.Join(dir, "identity.json"), `{"format":9}`)
		}, "identity.json has format version 9"},
		{"no raft log", func(t *testing.T, dir string) {
			if err := os.RemoveAll(filepath.Join(dir, "raft")); err != nil {
				t.Fatal(err)
			}
		}, "is missing: restore it from a backup"},
		{"no identity", func(t *testing.T, dir string) {
			if err := os.Remove(filepath.Join(dir, "identity.json")); err != nil {
				t.Fatal(err)
			}
		}, "identity.json is missing"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			s := open(t, cluster.Config{Dir: dir})
			put(t, s, "pods/a/x", "1", false)
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			tt.spoil(t, dir)
			s, err := cluster.Open(cluster.Config{Dir: dir})
			if err == nil {
				_ = s.Close()
				t.Fatal("opened")
			}
			if !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "\n") {
				t.Errorf("error %q, want one line with %q", err, tt.want)
			}
		})
	}
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestLocked(t *testing.T) {
	dir := t.TempDir()
	s := open(t, cluster.Config{Dir: dir})
	_, err := cluster.Open(cluster.Config{Dir: dir})
	if err == nil || !strings.Contains(err.Error(), "in use by another process") {
		t.Errorf("second open: %v", err)
	}
	put(t, s, "pods/a/x", "1", false)
}

func TestPrivate(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "store")
	open(t, cluster.Config{Dir: dir})
	for _, d := range []string{"", "raft", "raft/snapshots", "state"} {
		info, err := os.Stat(filepath.Join(dir, d))
		if err != nil || info.Mode().Perm() != 0o700 {
			t.Errorf("%s: mode %v, %v; want 0700", d, info.Mode().Perm(), err)
		}
	}
}

func TestTooLarge(t *testing.T) {
	s := open(t, cluster.Config{Dir: t.TempDir(), MaxTxnBytes: 1000})
	_, err := s.Txn(t.Context(), store.Op{Key: "pods/a/x", Value: make([]byte, 2000)})
	if !errors.Is(err, store.ErrTooLarge) {
		t.Errorf("got %v, want %v", err, store.ErrTooLarge)
	}
}

func TestClosed(t *testing.T) {
	s := open(t, cluster.Config{Dir: t.TempDir()})
	w, err := s.Watch("pods/", 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Next(t.Context()); !errors.Is(err, store.ErrClosed) {
		t.Errorf("Next: %v", err)
	}
	if _, err := s.Txn(t.Context(), store.Op{Key: "a", Value: []byte("1")}); !errors.Is(err, store.ErrClosed) {
		t.Errorf("Txn: %v", err)
	}
	if _, _, err := s.Get(t.Context(), "a", store.ReadOptions{Stale: true}); !errors.Is(err, store.ErrClosed) {
		t.Errorf("Get: %v", err)
	}
}

func TestMetrics(t *testing.T) {
	s := open(t, cluster.Config{Dir: t.TempDir()})
	put(t, s, "pods/a/x", "1", false)
	reg := prometheus.NewPedanticRegistry()
	reg.MustRegister(s)
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]float64{}
	for _, f := range families {
		got[f.GetName()] = f.GetMetric()[0].GetGauge().GetValue()
	}
	if got["skiff_store_revision"] != float64(s.Revision()) || got["skiff_store_leader"] != 1 || len(got) < 10 {
		t.Errorf("metrics: %v", got)
	}
}
