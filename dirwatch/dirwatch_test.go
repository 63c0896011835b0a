package dirwatch_test

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"skiff/dirwatch"
)

// next collects names until all of want were told, and fails on any other.
func next(t *testing.T, w *dirwatch.Watch, want ...string) {
	t.Helper()
	for len(want) > 0 {
		names, err := w.Next()
		if err != nil {
			t.Fatal(err)
		}
		for _, n := range names {
			i := slices.Index(want, n)
			if i < 0 {
				t.Fatalf("told of %q, want %q", n, want)
			}
			want = slices.Delete(want, i, i+1)
		}
	}
}

func do(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func watch(t *testing.T, events dirwatch.Event) (string, *dirwatch.Watch) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "dir")
	do(t, os.Mkdir(dir, 0o755))
	w, err := dirwatch.New(dir, events)
	do(t, err)
	t.Cleanup(func() { w.Close() })
	return dir, w
}

func TestTellsOfCompleteFiles(t *testing.T) {
	dir, w := watch(t, dirwatch.Written)
	path := func(name string) string { return filepath.Join(dir, name) }
	half, err := os.Create(path("half"))
	do(t, err)
	_, err = half.WriteString("some")
	do(t, err)
	do(t, os.WriteFile(path("whole"), []byte("all"), 0o600))
	next(t, w, "whole") // and not half
	do(t, half.Close())
	next(t, w, "half")
	do(t, os.Rename(path("half"), path("renamed")))
	next(t, w, "renamed")
	do(t, os.Remove(path("renamed"))) // not asked for
	do(t, os.WriteFile(path("last"), nil, 0o600))
	next(t, w, "last")
}

func TestTellsOfLinksAndRemovals(t *testing.T) {
	dir, w := watch(t, dirwatch.Created|dirwatch.Removed)
	path := func(name string) string { return filepath.Join(dir, name) }
	do(t, os.Symlink("/elsewhere", path("link")))
	next(t, w, "link")
	do(t, os.Remove(path("link")))
	next(t, w, "link")
	do(t, os.WriteFile(path("a"), nil, 0o600))
	next(t, w, "a")
	do(t, os.Rename(path("a"), filepath.Join(filepath.Dir(dir), "a")))
	next(t, w, "a")
}

func TestEnds(t *testing.T) {
	for name, end := range map[string]struct {
		how  func(dir string, w *dirwatch.Watch) error
		want error
	}{
		"removed": {func(dir string, _ *dirwatch.Watch) error { return os.Remove(dir) }, dirwatch.ErrGone},
		"renamed": {func(dir string, _ *dirwatch.Watch) error { return os.Rename(dir, dir+"2") }, dirwatch.ErrGone},
		"closed":  {func(_ string, w *dirwatch.Watch) error { return w.Close() }, os.ErrClosed},
	} {
		t.Run(name, func(t *testing.T) {
			dir, w := watch(t, dirwatch.Written)
			ended := make(chan error)
			go func() {
				_, err := w.Next()
				ended <- err
			}()
			do(t, end.how(dir, w))
			if err := <-ended; !errors.Is(err, end.want) {
				t.Errorf("ended with %v, want %v", err, end.want)
			}
		})
	}
}

func TestNoFolder(t *testing.T) {
	if _, err := dirwatch.New(filepath.Join(t.TempDir(), "none"), dirwatch.Written); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a folder that is not there: %v", err)
	}
}

func TestBeingWritten(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	w, err := os.Create(path)
	do(t, err)
	r, err := os.Open(path)
	do(t, err)
	defer r.Close()
	if !dirwatch.BeingWritten(r) {
		t.Error("a file that is open for writing counts as complete")
	}
	do(t, w.Close())
	for range 2 { // asking changes nothing
		if dirwatch.BeingWritten(r) {
			t.Error("a closed file counts as being written")
		}
	}
	w, err = os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal("asking keeps writers out: ", err)
	}
	do(t, w.Close())
}
