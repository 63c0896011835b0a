package snapshots

import (
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/raft"
)

var configuration = raft.Configuration{Servers: []raft.Server{{ID: "a", Address: "a:1"}, {ID: "b", Suffrage: raft.Nonvoter}}}

func open(t *testing.T, dir string) *Store {
	t.Helper()
	s, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func create(t *testing.T, s *Store, index, term uint64, text string) raft.SnapshotSink {
	t.Helper()
	k, err := s.Create(raft.SnapshotVersionMax, index, term, configuration, 3, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(k, text); err != nil {
		t.Fatal(err)
	}
	return k
}

func only(t *testing.T, s *Store) *raft.SnapshotMeta {
	t.Helper()
	all, err := s.List()
	if err != nil || len(all) != 1 {
		t.Fatalf("List: %v, %v", all, err)
	}
	return all[0]
}

func TestNewestIsKept(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	if all, err := s.List(); err != nil || len(all) != 0 {
		t.Errorf("List of nothing: %v, %v", all, err)
	}
	for i, text := range []string{"one", "two", "three"} {
		if err := create(t, s, uint64(9+i), 2, text).Close(); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 {
		meta := only(t, s)
		want := &raft.SnapshotMeta{
			Version: 1, ID: meta.ID, Index: 11, Term: 2, Size: 5,
			Configuration: configuration, ConfigurationIndex: 3,
		}
		if diff := cmp.Diff(want, meta); diff != "" {
			t.Errorf("metadata (-want +got):\n%s", diff)
		}
		_, r, err := s.Open(meta.ID)
		if err != nil {
			t.Fatal(err)
		}
		if b, err := io.ReadAll(r); err != nil || string(b) != "three" {
			t.Errorf("read %q, %v", b, err)
		}
		_ = r.Close()
		s = open(t, dir)
	}
}

func TestUnfinished(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	if err := create(t, s, 1, 1, "one").Close(); err != nil {
		t.Fatal(err)
	}
	if err := create(t, s, 2, 1, "cancelled").Cancel(); err != nil {
		t.Fatal(err)
	}
	create(t, s, 3, 1, "the process ends here")
	s = open(t, dir)
	if meta := only(t, s); meta.Index != 1 {
		t.Errorf("the snapshot is that of index %d", meta.Index)
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 1 {
		t.Errorf("%d files are left, %v; want 1", len(entries), err)
	}
}

func TestDamaged(t *testing.T) {
	for name, tt := range map[string]struct {
		damage func(b []byte) []byte
		want   string
	}{
		"cut off": {func(b []byte) []byte { return b[:len(b)-1] }, "bytes, not"},
		"header":  {func(b []byte) []byte { b[prefixSize+3] ^= 1; return b }, "damaged"},
		"newer":   {func(b []byte) []byte { b[len(magic)] = 9; return b }, "format version 9"},
		"other":   {func(b []byte) []byte { b[0] = 'X'; return b }, "not a snapshot"},
	} {
		t.Run(name, func(t *testing.T) {
			s := open(t, t.TempDir())
			k := create(t, s, 1, 1, "one")
			if err := k.Close(); err != nil {
				t.Fatal(err)
			}
			path := filepath.Join(s.dir, k.ID()+extension)
			b, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, tt.damage(b), 0o600); err != nil {
				t.Fatal(err)
			}
			if _, err := s.List(); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("List: %v, want %q", err, tt.want)
			}
		})
	}
}
