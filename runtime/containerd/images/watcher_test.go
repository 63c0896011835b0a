package images

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
)

// fakeImporter takes files that say "image NAME", and fails on any other.
type fakeImporter struct {
	mu    sync.Mutex
	calls []string
	have  map[string]bool
	wake  chan struct{}
}

func newImporter() *fakeImporter {
	return &fakeImporter{have: map[string]bool{}, wake: make(chan struct{}, 100)}
}

func (f *fakeImporter) ImportPinned(_ context.Context, path string) ([]string, error) {
	defer func() { f.wake <- struct{}{} }()
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls = append(f.calls, filepath.Base(path))
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	name, ok := strings.CutPrefix(string(data), "image ")
	if !ok {
		return nil, fmt.Errorf("import %s: truncated", path)
	}
	f.have[name] = true
	return []string{name}, nil
}

func (f *fakeImporter) Present(_ context.Context, names []string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return !slices.ContainsFunc(names, func(n string) bool { return !f.have[n] })
}

func (f *fakeImporter) taken() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	calls := f.calls
	f.calls = nil
	return calls
}

func newWatcher(t *testing.T, f *fakeImporter) *Watcher {
	dir := t.TempDir()
	w := &Watcher{Dir: filepath.Join(dir, "images"), Record: filepath.Join(dir, "state", "record"), Importer: f, Logger: slog.New(slog.DiscardHandler)}
	if err := os.Mkdir(w.Dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return w
}

func put(t *testing.T, w *Watcher, name, content string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(w.Dir, name), []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestSyncImportsOnlyWhatChanged(t *testing.T) {
	f := newImporter()
	w := newWatcher(t, f)
	put(t, w, "a.tar", "image a")
	put(t, w, "b.tar.zst", "image b")
	put(t, w, "broken.tar.gz", "imag")
	put(t, w, "notes.txt", "image no")
	put(t, w, ".c.tar", "image no")
	sync := func(wantErr bool, want ...string) {
		t.Helper()
		err := w.Sync(context.Background())
		if (err != nil) != wantErr {
			t.Fatalf("Sync: error %v, want one: %v", err, wantErr)
		}
		if err != nil && !strings.Contains(err.Error(), "broken.tar.gz") {
			t.Errorf("error %q does not name the file", err)
		}
		if got := f.taken(); !reflect.DeepEqual(got, want) {
			t.Errorf("imported %v, want %v", got, want)
		}
	}
	sync(true, "a.tar", "b.tar.zst", "broken.tar.gz")
	sync(false) // nothing new: nothing read
	put(t, w, "a.tar", "image a2")
	put(t, w, "broken.tar.gz", "image mended")
	sync(false, "a.tar", "broken.tar.gz")
	delete(f.have, "b")
	sync(false, "b.tar.zst") // its image went away
	if err := os.Remove(w.Record); err != nil {
		t.Fatal(err)
	}
	sync(false, "a.tar", "b.tar.zst", "broken.tar.gz")
}

func TestRunImportsWhatAppearsComplete(t *testing.T) {
	f := newImporter()
	w := newWatcher(t, f)
	put(t, w, "first.tar", "image first")
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error)
	go func() { ended <- w.Run(ctx) }()
	<-f.wake

	half, err := os.Create(filepath.Join(w.Dir, "slow.tar"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := half.WriteString("image "); err != nil {
		t.Fatal(err)
	}
	put(t, w, ".x.partial", "image moved")
	if err := os.Rename(filepath.Join(w.Dir, ".x.partial"), filepath.Join(w.Dir, "moved.tar")); err != nil {
		t.Fatal(err)
	}
	<-f.wake // for moved.tar; slow.tar may be looked at then, and fails
	if _, err := half.WriteString("slow"); err != nil {
		t.Fatal(err)
	}
	if err := half.Close(); err != nil {
		t.Fatal(err)
	}
	for !f.Present(ctx, []string{"first", "moved", "slow"}) {
		<-f.wake
	}
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("Run ended with %v", err)
	}
}
