package volume

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// dataLink is the symbolic link to the directory with the current content.
const dataLink = "..data"

// file is one file of a volume's content.
type file struct {
	data []byte
	mode int32
	// user owns the file, nil for root.
	user *int64
}

// writeAtomically makes files the content of dir, in one step for whoever reads
// them: everything lies in a new directory, to which ..data is switched by a
// rename, and the names that the pod sees are links through ..data.
//
//	dir/..2026_11_24_05_00_00.123/a/b
//	dir/..data -> ..2026_11_24_05_00_00.123
//	dir/a      -> ..data/a
//
// Nothing is written if the content is the same already.
func writeAtomically(dir string, files map[string]file, group *int64) error {
	for name := range files {
		if !filepath.IsLocal(name) || strings.HasPrefix(name, "..") {
			return fmt.Errorf("invalid path %q", name)
		}
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	old, err := os.Readlink(filepath.Join(dir, dataLink))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if old != "" && same(filepath.Join(dir, old), files) {
		return link(dir, files)
	}
	fresh, err := writeContent(dir, files, group)
	if err != nil {
		return err
	}
	tmp := filepath.Join(dir, "..data_tmp")
	os.Remove(tmp)
	if err := os.Symlink(filepath.Base(fresh), tmp); err != nil {
		return err
	}
	if err := os.Rename(tmp, filepath.Join(dir, dataLink)); err != nil {
		return err
	}
	if err := link(dir, files); err != nil {
		return err
	}
	return removeOld(dir, filepath.Base(fresh))
}

// same tells whether the directory holds exactly these files.
func same(dir string, files map[string]file) bool {
	count := 0
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		name, _ := filepath.Rel(dir, path)
		want, ok := files[name]
		if !ok {
			return errDiffers
		}
		have, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		if !bytes.Equal(have, want.data) {
			return errDiffers
		}
		count++
		return nil
	})
	return err == nil && count == len(files)
}

var errDiffers = errors.New("content differs")

// writeContent writes the files into a new directory with their modes and owners.
func writeContent(dir string, files map[string]file, group *int64) (string, error) {
	fresh, err := os.MkdirTemp(dir, time.Now().UTC().Format("..2006_01_02_15_04_05."))
	if err != nil {
		return "", err
	}
	if err := os.Chmod(fresh, 0o755); err != nil {
		return "", err
	}
	for name, f := range files {
		path := filepath.Join(fresh, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return "", err
		}
		if err := os.WriteFile(path, f.data, 0o600); err != nil {
			return "", err
		}
		if err := os.Chmod(path, fs.FileMode(f.mode)); err != nil {
			return "", err
		}
		if f.user != nil {
			if err := os.Chown(path, int(*f.user), -1); err != nil {
				return "", err
			}
		}
	}
	return fresh, setOwner(fresh, group, true, "")
}

// link makes the names that the pod sees and removes those that are no more.
func link(dir string, files map[string]file) error {
	wanted := map[string]bool{}
	for name := range files {
		first, _, _ := strings.Cut(name, "/")
		wanted[first] = true
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		switch name := e.Name(); {
		case strings.HasPrefix(name, ".."):
		case wanted[name]:
			delete(wanted, name)
		default:
			if err := os.Remove(filepath.Join(dir, name)); err != nil {
				return err
			}
		}
	}
	for name := range wanted {
		if err := os.Symlink(filepath.Join(dataLink, name), filepath.Join(dir, name)); err != nil {
			return err
		}
	}
	return nil
}

// removeOld removes every content directory but the current one, those that a
// crash left included.
func removeOld(dir, current string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if e.IsDir() && strings.HasPrefix(e.Name(), "..") && e.Name() != current {
			if err := os.RemoveAll(filepath.Join(dir, e.Name())); err != nil {
				return err
			}
		}
	}
	return nil
}
