package manifests

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"skiff/dirwatch"
)

// maxFile bounds a file's size. The largest manifests in use, of operators with
// all their custom resource definitions, have a quarter of that.
const maxFile = 16 << 20

// errBusy is the state of a file that some program is writing.
var errBusy = errors.New("is being written, and is applied when that is done")

// file is what the folder has under a name.
type file struct {
	name string
	// documents are the file's objects, unless there is a problem.
	documents []document
	// problem is why the file's content is not known; what it last said holds on.
	problem error
}

// isManifest tells by its name whether a file is one. Names that begin with a dot
// are those of files in the making, by rsync and the like.
func isManifest(name string) bool {
	if strings.HasPrefix(name, ".") {
		return false
	}
	switch filepath.Ext(name) {
	case ".yaml", ".yml", ".json":
		return true
	}
	return false
}

// readFolder returns the folder's manifests, sorted by name. What cannot be read
// is a file with a problem.
func readFolder(dir string) ([]file, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var files []file
	for _, e := range entries {
		if !isManifest(e.Name()) {
			continue
		}
		f := file{name: e.Name()}
		data, err := readFile(filepath.Join(dir, e.Name()))
		if errors.Is(err, fs.ErrNotExist) {
			if e.Type()&fs.ModeSymlink == 0 {
				continue // removed just now
			}
			err = errors.New("is a link to what is not there")
		}
		if err == nil {
			f.documents, err = parse(data)
		}
		f.problem = err
		files = append(files, f)
	}
	return files, nil
}

// readFile returns the content of a file that nobody is writing to.
func readFile(path string) ([]byte, error) {
	// Without O_NONBLOCK, a named pipe would be waited for.
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	before, err := f.Stat()
	switch {
	case err != nil:
		return nil, err
	case !before.Mode().IsRegular():
		return nil, errors.New("is not a regular file")
	case before.Size() > maxFile:
		return nil, fmt.Errorf("has %d MiB, more than the %d MiB that a manifest may have; split it", before.Size()>>20, maxFile>>20)
	case dirwatch.BeingWritten(f):
		return nil, errBusy
	}
	var data bytes.Buffer
	if _, err := io.Copy(&data, io.LimitReader(f, maxFile)); err != nil {
		return nil, err
	}
	// Somebody may have begun to write meanwhile.
	after, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if dirwatch.BeingWritten(f) || after.Size() != before.Size() || !after.ModTime().Equal(before.ModTime()) {
		return nil, errBusy
	}
	return data.Bytes(), nil
}
