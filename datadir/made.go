package datadir

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"golang.org/x/sys/unix"
)

// makeAll is os.MkdirAll that returns the parents of path, but not path itself,
// that it made, outer ones first.
func makeAll(path string, mode fs.FileMode) ([]string, error) {
	parents := missingParents(path)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, err
	}
	if err := os.Mkdir(path, mode); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, err
	}
	return parents, nil
}

// missingParents are those above path that are not there, outer ones first.
func missingParents(path string) (missing []string) {
	for dir := filepath.Dir(path); ; dir = filepath.Dir(dir) {
		if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
			slices.Reverse(missing)
			return missing
		}
		missing = append(missing, dir)
	}
}

// RemoveMade removes the files, and those of the folders that are empty, inner
// ones first.
func RemoveMade(paths []string) error {
	var errs []error
	for _, path := range slices.Backward(paths) {
		err := os.Remove(path)
		if errors.Is(err, unix.ENOTEMPTY) || errors.Is(err, unix.EBUSY) || errors.Is(err, fs.ErrNotExist) {
			continue
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}
