package raftlog

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/raft"
)

// memFile is a File in memory that knows what was synced, and fails on demand.
type memFile struct {
	live, durable []byte
	pending       []func(buf []byte)
	syncs         int
	err           error
}

func (f *memFile) ReadAt(b []byte, off int64) (int, error) { return copy(b, f.live[off:]), nil }

func (f *memFile) WriteAt(b []byte, off int64) (int, error) {
	if f.err != nil {
		return 0, f.err
	}
	b = append([]byte(nil), b...)
	copy(f.live[off:], b)
	f.pending = append(f.pending, func(buf []byte) { copy(buf[off:], b) })
	return len(b), nil
}

func (f *memFile) Sync() error {
	if f.err != nil {
		return f.err
	}
	f.syncs++
	f.durable, f.pending = append([]byte(nil), f.live...), nil
	return nil
}

func (f *memFile) Close() error { return nil }

// cut drops a random choice of what was not synced.
func (f *memFile) cut(rnd *rand.Rand) {
	buf := append([]byte(nil), f.durable...)
	for _, w := range f.pending {
		if rnd.IntN(2) == 0 {
			w(buf)
		}
	}
	f.live, f.durable, f.pending = buf, append([]byte(nil), buf...), nil
}

// disk is the journal and the vote over several openings.
type disk struct {
	t     *testing.T
	dir   string
	files map[string]*memFile
	size  int64
}

func newDisk(t *testing.T, size int64) *disk {
	return &disk{t: t, dir: t.TempDir(), files: map[string]*memFile{}, size: size}
}

func (d *disk) open() *Log {
	d.t.Helper()
	l, err := Open(Options{
		Dir: d.dir, JournalSize: d.size,
		Volatile: func(data []byte) bool { return strings.HasPrefix(string(data), "v") },
		OpenFile: func(path string, size int64) (File, error) {
			name := filepath.Base(path)
			if d.files[name] == nil {
				d.files[name] = &memFile{live: make([]byte, size), durable: make([]byte, size)}
			}
			return d.files[name], nil
		},
	})
	if err != nil {
		d.t.Fatal(err)
	}
	return l
}

func entry(index uint64, data string) *raft.Log {
	return &raft.Log{
		Index: index, Term: 1 + index/100, Type: raft.LogCommand,
		Data: []byte(data), Extensions: []byte("x"), AppendedAt: time.Unix(int64(index), 5),
	}
}

func contents(t *testing.T, l *Log) map[uint64]string {
	t.Helper()
	first, _ := l.FirstIndex()
	last, _ := l.LastIndex()
	out := map[uint64]string{}
	for i := first; i > 0 && i <= last; i++ {
		var got raft.Log
		if err := l.GetLog(i, &got); err != nil {
			t.Fatalf("GetLog(%d): %v", i, err)
		}
		if got.Index != i {
			t.Fatalf("GetLog(%d) returned entry %d", i, got.Index)
		}
		out[i] = string(got.Data)
	}
	return out
}

func TestEntriesComeBack(t *testing.T) {
	d := newDisk(t, 64<<10)
	l := d.open()
	want := entry(1, "d1")
	if err := l.StoreLogs([]*raft.Log{want, entry(2, "")}); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		var got raft.Log
		if err := l.GetLog(1, &got); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(*want, got); diff != "" {
			t.Errorf("entry (-want +got):\n%s", diff)
		}
		if err := l.GetLog(3, &got); !errors.Is(err, raft.ErrLogNotFound) {
			t.Errorf("GetLog of a missing entry: %v", err)
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		l = d.open()
	}
	_ = l.Close()
}

// TestSyncs asserts that volatile entries cost no sync, until a durable one or
// their number asks for it.
func TestSyncs(t *testing.T) {
	d := newDisk(t, 1<<20)
	l := d.open()
	defer l.Close()
	base := d.files["journal"].syncs
	syncs := func() int { return d.files["journal"].syncs - base }
	index := uint64(0)
	store := func(data ...string) {
		t.Helper()
		var logs []*raft.Log
		for _, s := range data {
			index++
			logs = append(logs, entry(index, s))
		}
		if err := l.StoreLogs(logs); err != nil {
			t.Fatal(err)
		}
	}
	store("v", "v")
	store("v")
	if n := syncs(); n != 0 {
		t.Errorf("volatile entries cost %d syncs", n)
	}
	store("v", "d")
	if n := syncs(); n != 1 {
		t.Errorf("%d syncs after a durable entry, want 1", n)
	}
	store("v" + strings.Repeat("x", MaxUnsynced))
	if n := syncs(); n != 2 {
		t.Errorf("%d syncs after many bytes of volatile entries, want 2", n)
	}
	// With a second voter others count on what this one acknowledges.
	l.CountVoters(raft.Configuration{Servers: []raft.Server{{Suffrage: raft.Voter}, {Suffrage: raft.Voter}}})
	store("v")
	if n := syncs(); n != 3 {
		t.Errorf("%d syncs after a volatile entry among two voters, want 3", n)
	}
}

// TestPowerCuts appends, deletes and reopens at random, with power cuts, and
// asserts that the log is always a continuation of what was durable.
func TestPowerCuts(t *testing.T) {
	for seed := range uint64(8) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			powerCuts(t, rand.New(rand.NewPCG(seed, 0)))
		})
	}
}

func powerCuts(t *testing.T, rnd *rand.Rand) {
	d := newDisk(t, headerSize+2000)
	l := d.open()
	want := map[uint64]string{}
	last, durable := uint64(0), uint64(0)
	for step := range 60 {
		switch rnd.IntN(8) {
		case 0: // power cut
			_ = l.bolt.Close()
			for _, f := range d.files {
				f.cut(rnd)
			}
			l = d.open()
			got, _ := l.LastIndex()
			if got < durable || got > last {
				t.Fatalf("step %d: last entry is %d, durable were %d, written %d", step, got, durable, last)
			}
			for i := got + 1; i <= last; i++ {
				delete(want, i)
			}
			last, durable = got, got
		case 1: // crash of the process
			_ = l.bolt.Close()
			l = d.open()
		case 2: // compaction
			if first, _ := l.FirstIndex(); last > first+5 {
				for i := first; i <= first+3; i++ {
					delete(want, i)
				}
				if err := l.DeleteRange(first, first+3); err != nil {
					t.Fatal(err)
				}
			}
		case 3: // a new leader disagrees
			if first, _ := l.FirstIndex(); last > first+3 {
				if err := l.DeleteRange(last-2, last); err != nil {
					t.Fatal(err)
				}
				for i := last - 2; i <= last; i++ {
					delete(want, i)
				}
				last -= 3
				durable = min(durable, last)
			}
		default:
			var logs []*raft.Log
			kind := []string{"v", "d"}[rnd.IntN(2)]
			for range 1 + rnd.IntN(4) {
				last++
				e := entry(last, fmt.Sprintf("%s%d.%d%s", kind, step, last, strings.Repeat(".", rnd.IntN(200))))
				want[last] = string(e.Data)
				logs = append(logs, e)
			}
			if err := l.StoreLogs(logs); err != nil {
				t.Fatal(err)
			}
			if kind == "d" {
				durable = last
			}
		}
		check(t, l, want, step)
	}
	_ = l.Close()
}

// check asserts that l has the entries of want; older ones may still be there
// after a crash in the middle of a compaction.
func check(t *testing.T, l *Log, want map[uint64]string, step int) {
	t.Helper()
	got := contents(t, l)
	for i, data := range want {
		if got[i] != data {
			t.Fatalf("step %d: entry %d is %q, want %q", step, i, got[i], data)
		}
	}
	if last, _ := l.LastIndex(); len(want) > 0 && want[last] == "" {
		t.Fatalf("step %d: there is an entry %d", step, last)
	}
}

func TestGap(t *testing.T) {
	d := newDisk(t, 64<<10)
	l := d.open()
	for _, i := range []uint64{1, 2, 3, 100, 101} {
		if err := l.StoreLog(entry(i, "d")); err != nil {
			t.Fatal(err)
		}
	}
	_ = l.Close()
	l = d.open()
	defer l.Close()
	var got raft.Log
	for _, i := range []uint64{3, 100, 101} {
		if err := l.GetLog(i, &got); err != nil || got.Index != i {
			t.Errorf("GetLog(%d): entry %d, %v", i, got.Index, err)
		}
	}
	if err := l.GetLog(50, &got); !errors.Is(err, raft.ErrLogNotFound) {
		t.Errorf("GetLog(50): %v", err)
	}
	if err := l.StoreLog(entry(101, "d")); err == nil {
		t.Error("an entry was stored twice")
	}
}

func TestGreaterThanJournal(t *testing.T) {
	d := newDisk(t, headerSize+1000)
	l := d.open()
	big := strings.Repeat("x", 5000)
	for i, data := range []string{"d1", big, "d3", "v4"} {
		if err := l.StoreLog(entry(uint64(i+1), data)); err != nil {
			t.Fatal(err)
		}
	}
	want := map[uint64]string{1: "d1", 2: big, 3: "d3", 4: "v4"}
	for range 2 {
		if diff := cmp.Diff(want, contents(t, l)); diff != "" {
			t.Errorf("log (-want +got):\n%s", diff)
		}
		_ = l.Close()
		l = d.open()
	}
	_ = l.Close()
}

// TestFailedSync asserts that a journal whose sync failed takes nothing more:
// the kernel may have dropped the pages and would report success next time.
func TestFailedSync(t *testing.T) {
	d := newDisk(t, 64<<10)
	l := d.open()
	d.files["journal"].err = syscall.EIO
	if err := l.StoreLog(entry(1, "d")); !errors.Is(err, syscall.EIO) {
		t.Errorf("got %v", err)
	}
	d.files["journal"].err = nil
	if err := l.StoreLog(entry(1, "d")); !errors.Is(err, syscall.EIO) {
		t.Errorf("after a failure: %v", err)
	}
	_ = l.Close()
}

func TestDamagedHeader(t *testing.T) {
	d := newDisk(t, 64<<10)
	_ = d.open().Close()
	d.files["journal"].live[9] ^= 1
	if _, err := openJournal(d.files["journal"], d.size); err == nil || !strings.Contains(err.Error(), "damaged") {
		t.Errorf("open: %v", err)
	}
}

// TestVote asserts that a torn write of the vote leaves the one before.
func TestVote(t *testing.T) {
	f := &memFile{live: make([]byte, 2*slotSize)}
	s, err := openStable(f)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.GetUint64([]byte("CurrentTerm")); err == nil || err.Error() != "not found" {
		t.Errorf("missing key: %v", err)
	}
	for term := range uint64(5) {
		if err := s.SetUint64([]byte("CurrentTerm"), term); err != nil {
			t.Fatal(err)
		}
	}
	before := append([]byte(nil), f.live...)
	if err := s.SetUint64([]byte("CurrentTerm"), 99); err != nil {
		t.Fatal(err)
	}
	torn := &memFile{live: append([]byte(nil), f.live...)}
	for i := range torn.live {
		if torn.live[i] != before[i] {
			torn.live[i] ^= 0xff
			break
		}
	}
	for name, tt := range map[string]struct {
		file *memFile
		want uint64
	}{"whole": {f, 99}, "torn": {torn, 4}} {
		s, err := openStable(tt.file)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := s.GetUint64([]byte("CurrentTerm")); err != nil || got != tt.want {
			t.Errorf("%s: term %d, %v; want %d", name, got, err, tt.want)
		}
	}
}

func FuzzJournal(f *testing.F) {
	buf, _ := appendRecord(nil, 7, entry(1, "hello"))
	f.Add(buf)
	f.Fuzz(func(t *testing.T, data []byte) {
		file := &memFile{live: make([]byte, headerSize+len(data))}
		j := &journal{file: file, size: int64(len(file.live))}
		if err := j.reset(7); err != nil {
			t.Fatal(err)
		}
		copy(file.live[headerSize:], data)
		j, err := openJournal(file, j.size)
		if err != nil {
			t.Fatal(err)
		}
		for i := j.first; j.has(i); i++ {
			var log raft.Log
			if err := j.get(i, &log); err == nil && log.Index != i {
				t.Errorf("entry %d has index %d", i, log.Index)
			}
		}
	})
}
