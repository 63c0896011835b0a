package fsm

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/hashicorp/raft"

	"skiff/store"
)

func openFSM(t *testing.T, cfg Config) *FSM {
	t.Helper()
	if cfg.Dir == "" {
		cfg.Dir = t.TempDir()
	}
	if cfg.Cluster == "" {
		cfg.Cluster = "c"
	}
	cfg.Logger = slog.New(slog.NewTextHandler(t.Output(), nil))
	cfg.BeforeSnapshot = func() error { return nil }
	f, err := Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func log(index uint64, ops ...store.Op) *raft.Log {
	c := Command{Kind: KindTxns, Txns: [][]store.Op{ops}}
	return &raft.Log{Index: index, Type: raft.LogCommand, Data: c.Encode()}
}

// history is a log of random changes.
func history(n int) []*raft.Log {
	rnd := rand.New(rand.NewPCG(1, 2))
	var logs []*raft.Log
	for i := range uint64(n) {
		op := store.Op{Key: fmt.Sprintf("pods/a/%d", rnd.IntN(40)), Expect: store.AnyRevision}
		switch rnd.IntN(6) {
		case 0: // a delete
		case 1:
			op.Value, op.Expect = []byte("never"), 1<<50
		default:
			op.Value = fmt.Append(nil, i)
		}
		logs = append(logs, log(i+1, op))
	}
	return logs
}

func dump(t *testing.T, f *FSM) string {
	t.Helper()
	res, err := f.State().List("", store.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	fmt.Fprint(&b, res.Revision)
	for _, it := range res.Items {
		fmt.Fprintf(&b, " %s=%s@%d", it.Key, it.Value, it.Revision)
	}
	return b.String()
}

// TestSameLogSameState applies one log in batches of different sizes, with
// flushes at different times, and asserts that the states are equal throughout.
func TestSameLogSameState(t *testing.T) {
	logs := history(300)
	a, b := openFSM(t, Config{}), openFSM(t, Config{FlushEntries: 3})
	for len(logs) > 0 {
		n := min(len(logs), 7)
		a.ApplyBatch(logs[:n])
		for _, l := range logs[:n] {
			b.Apply(l)
		}
		logs = logs[n:]
		if x, y := dump(t, a), dump(t, b); x != y {
			t.Fatalf("states differ:\n%s\n%s", x, y)
		}
	}
	for _, f := range []*FSM{a, b} {
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	}
}

// TestReopen asserts that a state goes on from what its file has: after a clean
// end it has everything, and after a crash of the process the log is applied
// from where the file ends, whatever part of it comes again.
func TestReopen(t *testing.T) {
	logs := history(200)
	cfg := Config{Dir: t.TempDir(), FlushEntries: 10, Boot: "b"}
	f := openFSM(t, cfg)
	f.ApplyBatch(logs[:150])
	want := dump(t, f)
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	f = openFSM(t, cfg)
	if got := dump(t, f); got != want || f.Applied() != 150 {
		t.Errorf("applied %d:\n got %s\nwant %s", f.Applied(), got, want)
	}
	for _, l := range logs[150:] {
		f.Apply(l)
	}
	want = dump(t, f)
	f.flusher.wait()
	f.flusher.stop()
	_ = f.back.close() // and not Close, as in a crash

	f = openFSM(t, cfg)
	if f.Applied() >= 200 || f.Applied() < 150 {
		t.Errorf("after a crash %d entries are applied", f.Applied())
	}
	f.ApplyBatch(logs[100:])
	if got := dump(t, f); got != want {
		t.Errorf("after a crash:\n got %s\nwant %s", got, want)
	}
	_ = f.Close()
}

func TestTrust(t *testing.T) {
	tests := []struct {
		name        string
		boot        string
		clean       bool
		applied     uint64
		needAdvance bool
	}{
		{"crash of the process", "one", false, 20, false},
		{"power cut", "two", false, 0, true},
		{"clean end, other boot", "two", true, 20, false},
		{"clean end, same boot", "one", true, 20, false},
		{"no boot id", "", false, 0, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			f := openFSM(t, Config{Dir: dir, Boot: "one", Fresh: true})
			if f.NeedsAdvance() {
				t.Error("a fresh state needs an advance")
			}
			f.ApplyBatch(history(20))
			f.beginFlush()
			f.flusher.wait()
			if tt.clean {
				if err := f.Close(); err != nil {
					t.Fatal(err)
				}
			} else {
				f.flusher.stop()
				_ = f.back.close()
			}
			f = openFSM(t, Config{Dir: dir, Boot: tt.boot})
			if f.Applied() != tt.applied || f.NeedsAdvance() != tt.needAdvance {
				t.Errorf("applied %d, needs advance %v; want %d, %v", f.Applied(), f.NeedsAdvance(), tt.applied, tt.needAdvance)
			}
			_ = f.back.close()
			f.flusher.stop()
			// Whether the advance is needed outlives a crash before it is done.
			f = openFSM(t, Config{Dir: dir, Boot: tt.boot})
			if f.NeedsAdvance() != tt.needAdvance {
				t.Errorf("needs advance after another crash: %v", f.NeedsAdvance())
			}
			_ = f.Close()
		})
	}
}

// sink is a raft.SnapshotSink in memory.
type sink struct{ bytes.Buffer }

func (*sink) ID() string    { return "s" }
func (*sink) Close() error  { return nil }
func (*sink) Cancel() error { return nil }

func snapshotOf(t *testing.T, f *FSM) *sink {
	t.Helper()
	snap, err := f.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	// What is applied behind the snapshot must not show in it.
	f.Apply(log(f.Applied()+1, store.Op{Key: "pods/a/late", Value: []byte("1"), Expect: store.AnyRevision}))
	var out sink
	if err := snap.Persist(&out); err != nil {
		t.Fatal(err)
	}
	snap.Release()
	return &out
}

func TestSnapshot(t *testing.T) {
	a := openFSM(t, Config{FlushEntries: 20})
	defer a.Close()
	a.ApplyBatch(history(100))
	want := dump(t, a)
	snap := snapshotOf(t, a)

	dir := t.TempDir()
	b := openFSM(t, Config{Dir: dir})
	b.ApplyBatch(history(10))
	w, err := b.State().Watch("pods/", 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Restore(io.NopCloser(&snap.Buffer)); err != nil {
		t.Fatal(err)
	}
	if got := dump(t, b); got != want {
		t.Errorf("restored:\n got %s\nwant %s", got, want)
	}
	if _, err := w.Next(t.Context()); !errors.Is(err, store.ErrCompacted) {
		t.Errorf("a watch over a restore: %v, want %v", err, store.ErrCompacted)
	}
	b.Apply(log(1000, store.Op{Key: "pods/a/new", Value: []byte("1"), Expect: 0}))
	want = dump(t, b)
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	b = openFSM(t, Config{Dir: dir})
	defer b.Close()
	if got := dump(t, b); got != want {
		t.Errorf("reopened:\n got %s\nwant %s", got, want)
	}
}

func TestBadSnapshots(t *testing.T) {
	a := openFSM(t, Config{})
	defer a.Close()
	a.ApplyBatch(history(50))
	good := snapshotOf(t, a).Bytes()
	b := openFSM(t, Config{})
	defer b.Close()
	b.ApplyBatch(history(5))
	want := dump(t, b)
	for n := 0; n < len(good)-1; n += 7 {
		if err := b.Restore(io.NopCloser(bytes.NewReader(good[:n]))); err == nil {
			t.Fatalf("a snapshot cut off at %d of %d bytes was restored", n, len(good))
		}
	}
	other := openFSM(t, Config{Cluster: "other"})
	defer other.Close()
	err := b.Restore(io.NopCloser(bytes.NewReader(snapshotOf(t, other).Bytes())))
	if err == nil || !strings.Contains(err.Error(), "belongs to cluster other") {
		t.Errorf("snapshot of another cluster: %v", err)
	}
	if got := dump(t, b); got != want {
		t.Errorf("a refused snapshot has changed the state:\n got %s\nwant %s", got, want)
	}
}
