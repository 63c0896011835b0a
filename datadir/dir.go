package datadir

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"

	"skiff/atomicfile"
)

// Dir is a data folder that this process works in.
type Dir struct {
	path   string
	role   Role
	lock   *os.File
	marker Marker
}

// Open makes the folder if it is missing, locks it, and marks it as used by this
// version. It returns an InUseError if another process works in it, and,
// without having changed anything, a NewerError if a newer version did, and a
// RoleError if one with another role did.
func Open(path string, as Role) (*Dir, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	made, err := makeAll(path, 0o700)
	if err != nil {
		return nil, err
	}
	d := &Dir{path: path, role: as}
	if d.lock, err = Lock(path, as); err != nil {
		return nil, err
	}
	if err := d.open(made); err != nil {
		d.Close()
		return nil, err
	}
	return d, nil
}

func (d *Dir) open(made []string) error {
	m, err := ReadMarker(d.path)
	if err != nil {
		return err
	}
	var foreign []string
	if m == nil {
		m = &Marker{}
		if foreign, err = foreignNames(d.path); err != nil {
			return err
		}
	}
	if err := m.check(d.path, d.role); err != nil {
		return err
	}
	d.marker = *m
	return d.Update(func(m *Marker) {
		m.setVersion()
		m.Place = here()
		m.addMade(made...)
		m.Foreign = append(m.Foreign, foreign...)
	})
}

// Path returns the folder's absolute path.
func (d *Dir) Path() string { return d.path }

// Marker returns what is known of the folder.
func (d *Dir) Marker() Marker { return d.marker.clone() }

// Update changes the marker; it writes nothing if that makes no difference.
// Calls must not overlap.
func (d *Dir) Update(change func(*Marker)) error {
	m := d.Marker()
	change(&m)
	if reflect.DeepEqual(m, d.marker) {
		return nil
	}
	b, err := m.encode()
	if err != nil {
		return err
	}
	// A folder without a marker counts as one of an older version, so that a
	// power cut may take the first one. A raised version must be on disk before
	// anything is written that the older one cannot read.
	write := atomicfile.Write
	if d.marker.Format != 0 && d.marker.Format != m.Format {
		write = atomicfile.WriteSync
	}
	if err := write(markerFile(d.path), b, 0o600); err != nil {
		return fmt.Errorf("mark the data folder: %w", err)
	}
	d.marker = m
	return nil
}

// MakeOutside makes a folder elsewhere, and notes it if it was missing.
func (d *Dir) MakeOutside(path string) error {
	if _, err := os.Stat(path); err == nil {
		return nil
	}
	if err := d.NoteOutside(append(missingParents(path), path)...); err != nil {
		return err
	}
	return os.MkdirAll(path, 0o755)
}

// NoteOutside notes files and folders that are to be made elsewhere: before, as
// one that is noted and was not made costs nothing.
func (d *Dir) NoteOutside(paths ...string) error {
	return d.Update(func(m *Marker) { m.addMade(paths...) })
}

// Close gives the folder up.
func (d *Dir) Close() error { return d.lock.Close() }
