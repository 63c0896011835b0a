package images

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"skiff/dirwatch"
)

// Importer imports archives into the container runtime.
type Importer interface {
	// ImportPinned imports the archive at path and keeps its images from being
	// collected as garbage: no registry could bring them back. It returns
	// their names.
	ImportPinned(ctx context.Context, path string) ([]string, error)
	// Present says whether the runtime has all images of these names.
	Present(ctx context.Context, names []string) bool
}

// Watcher imports archives (.tar, .tar.gz, .tgz, .tar.zst) from a directory.
type Watcher struct {
	// Dir is created if need be.
	Dir string
	// Record is a file that remembers what was imported, so that a start with
	// nothing new reads no archive.
	Record   string
	Importer Importer
	Logger   *slog.Logger
}

// Run imports what is there and new, and then every archive that appears
// completely written: closed after writing, or renamed into place. It returns
// when ctx ends, or if the directory cannot be watched. An archive that cannot
// be imported is logged, and does not stop the others.
func (w *Watcher) Run(ctx context.Context) error {
	if err := os.MkdirAll(w.Dir, 0o755); err != nil {
		return fmt.Errorf("create the images directory: %w", err)
	}
	// Watching before looking, so that nothing appears in between.
	changes, err := dirwatch.New(w.Dir, dirwatch.Written)
	if err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, func() { changes.Close() })
	defer stop()
	defer changes.Close()
	w.log(ctx, w.Sync(ctx))
	for {
		names, err := changes.Next()
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if errors.Is(err, dirwatch.ErrGone) {
			w.Logger.Warn("the images folder was removed; make it again and restart to have its images imported", "folder", w.Dir)
			<-ctx.Done()
			return ctx.Err()
		}
		if err != nil {
			return fmt.Errorf("watch %s: %w", w.Dir, err)
		}
		if slices.ContainsFunc(names, func(n string) bool { return n == "" || isArchive(n) }) {
			w.log(ctx, w.Sync(ctx))
		}
	}
}

// Sync imports every archive of the directory that changed since it was last
// imported, or whose images are gone. Its error joins one per broken archive,
// each naming its file.
func (w *Watcher) Sync(ctx context.Context) error {
	entries, err := os.ReadDir(w.Dir)
	if err != nil {
		return fmt.Errorf("read the images directory: %w", err)
	}
	rec := loadRecord(w.Record)
	seen := record{}
	var errs []error
	for _, e := range entries {
		path := filepath.Join(w.Dir, e.Name())
		info, err := os.Stat(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			errs = append(errs, err)
			continue
		}
		if !isArchive(e.Name()) || !info.Mode().IsRegular() {
			continue
		}
		now := fingerprint(info)
		if old, ok := rec[e.Name()]; ok && old.same(now) && (old.Broken || w.Importer.Present(ctx, old.Names)) {
			seen[e.Name()] = old
			continue
		}
		now.Names, err = w.Importer.ImportPinned(ctx, path)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			now.Broken = true
			errs = append(errs, err)
		} else {
			w.Logger.Info("imported images", "file", path, "images", now.Names)
		}
		seen[e.Name()] = now
	}
	return errors.Join(append(errs, seen.save(w.Record, rec))...)
}

// log reports each broken archive in a line of its own.
func (w *Watcher) log(ctx context.Context, err error) {
	if err == nil || ctx.Err() != nil {
		return
	}
	var joined interface{ Unwrap() []error }
	if !errors.As(err, &joined) {
		w.Logger.Error("images not imported", "err", err)
		return
	}
	for _, e := range joined.Unwrap() {
		w.Logger.Error("images not imported", "err", e)
	}
}

func isArchive(name string) bool {
	if strings.HasPrefix(name, ".") {
		return false // what rsync and the like write before they rename
	}
	for _, ext := range []string{".tar", ".tar.gz", ".tgz", ".tar.zst"} {
		if strings.HasSuffix(name, ext) {
			return true
		}
	}
	return false
}
