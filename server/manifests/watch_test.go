package manifests

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"skiff/dirwatch"
)

// TestWatch: what the loop is woken by, with the kernel's events.
func TestWatch(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "manifests")
	path := func(name string) string { return filepath.Join(dir, name) }
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(os.Mkdir(dir, 0o700))
	changed, ended := make(chan struct{}), make(chan error)
	go func() {
		ended <- watch(t.Context(), dir, func() { changed <- struct{}{} })
	}()
	<-changed // what was there before
	for _, change := range []func() error{
		func() error { return os.Symlink("..data/a.yaml", path("a.yaml")) },
		func() error { return os.Rename(path("a.yaml"), path("b.yml")) },
		func() error { return os.Remove(path("b.yml")) },
		func() error { return os.Symlink("..2026", path("..data")) }, // a volume's files are swapped
	} {
		must(os.WriteFile(path("notes.txt"), nil, 0o600)) // wakes nobody
		must(change())
		<-changed
	}
	go func() {
		for range changed {
		}
	}()
	must(os.RemoveAll(dir))
	if err := <-ended; !errors.Is(err, dirwatch.ErrGone) {
		t.Errorf("without its folder, watching ended with %v", err)
	}
	close(changed)
	ctx, cancel := context.WithCancel(t.Context())
	must(os.Mkdir(dir, 0o700))
	if err := watch(ctx, dir, cancel); ctx.Err() == nil || err == nil {
		t.Errorf("watching ended with %v", err)
	}
}
