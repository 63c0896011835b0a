package payload

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"github.com/klauspost/compress/zstd"
	"golang.org/x/sync/errgroup"
)

// stagers bounds the executables that are unpacked at once: each takes the 8 MB
// that its compression looks back.
const stagers = 2

// Stage makes the named executables exist below binDir, in a directory of
// their own per build, and returns that directory. A file that is already
// there and unchanged since it was checked costs one stat; any other is hashed,
// and replaced if it is not what was embedded. Files appear atomically, so
// several processes may stage at once.
//
// It does not wait for the disk, which on a memory card would take longer than
// all else of a first start: what a power cut damages is found by its hash, see
// record.
func Stage(binDir string, names ...string) (string, error) {
	return builtin.stage(binDir, names...)
}

func (s *source) stage(binDir string, names ...string) (string, error) {
	m, err := s.manifest()
	if err != nil {
		return "", err
	}
	dir := filepath.Join(binDir, m.id)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	rec := loadRecord(dir)
	var g errgroup.Group
	g.SetLimit(stagers)
	for _, name := range names {
		e, err := m.find(name)
		if err != nil {
			return "", errors.Join(err, g.Wait())
		}
		if !rec.trusts(e) {
			g.Go(func() error { return s.stageOne(dir, e, rec) })
		}
	}
	if err := g.Wait(); err != nil {
		return "", err
	}
	return dir, rec.save()
}

func (s *source) stageOne(dir string, e Entry, rec *record) error {
	if !intact(filepath.Join(dir, e.Name), e) {
		if err := s.extract(dir, e); err != nil {
			return fmt.Errorf("stage %s into %s: %w", e.Name, dir, err)
		}
	}
	return rec.add(e)
}

// intact says whether the file at path is what e describes.
func intact(path string, e Entry) bool {
	f, err := os.Open(path)
	if err != nil {
		return false
	}
	defer f.Close()
	if info, err := f.Stat(); err != nil || info.Size() != e.Size || info.Mode().Perm()&0o111 == 0 {
		return false
	}
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return false
	}
	return hex.EncodeToString(h.Sum(nil)) == e.SHA256
}

// extract writes the executable under a temporary name and renames it, so that
// whoever stages at the same time sees nothing or all of it.
func (s *source) extract(dir string, e Entry) (err error) {
	tmp, err := os.CreateTemp(dir, "."+e.Name+"-")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			tmp.Close()
			os.Remove(tmp.Name())
		}
	}()
	sum, err := s.copyTo(tmp, e)
	if err != nil {
		return err
	}
	if sum != e.SHA256 {
		return fmt.Errorf("embedded %s is damaged: hash %s, expected %s", e.Stored, sum, e.SHA256)
	}
	if err := errors.Join(tmp.Chmod(0o755), tmp.Close()); err != nil {
		return err
	}
	return os.Rename(tmp.Name(), filepath.Join(dir, e.Name))
}

// copyTo decompresses the executable into w and returns its hash.
func (s *source) copyTo(w io.Writer, e Entry) (string, error) {
	src, err := s.files.Open(e.Stored)
	if err != nil {
		return "", err
	}
	defer src.Close()
	// Small buffers: this runs once, on boxes with little memory.
	dec, err := zstd.NewReader(src, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true))
	if err != nil {
		return "", err
	}
	defer dec.Close()
	h := sha256.New()
	if _, err := io.Copy(io.MultiWriter(w, h), dec); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// Prune removes the directories of other builds below binDir, except those
// that inUse still needs: containers started by an earlier skiff are served by
// its shim and runc until they end.
func Prune(binDir, current string, inUse func(dir string) bool) error {
	entries, err := os.ReadDir(binDir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	var errs []error
	for _, e := range entries {
		dir := filepath.Join(binDir, e.Name())
		if !e.IsDir() || dir == current || inUse(dir) {
			continue
		}
		errs = append(errs, os.RemoveAll(dir))
	}
	return errors.Join(errs...)
}

func inode(info os.FileInfo) (ino uint64, ctime int64) {
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		return st.Ino, st.Ctim.Nano()
	}
	return 0, 0
}
