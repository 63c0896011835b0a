package images

import (
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"syscall"

	"skiff/atomicfile"
)

// imported is what is known of an archive: what the file looked like, and
// which images came out of it.
type imported struct {
	Size  int64    `json:"size"`
	Mtime int64    `json:"mtime"`
	Inode uint64   `json:"inode"`
	Names []string `json:"names,omitempty"`
	// Broken archives are tried again only when they change.
	Broken bool `json:"broken,omitempty"`
}

func (i imported) same(o imported) bool {
	return i.Size == o.Size && i.Mtime == o.Mtime && i.Inode == o.Inode
}

func fingerprint(info os.FileInfo) imported {
	i := imported{Size: info.Size(), Mtime: info.ModTime().UnixNano()}
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		i.Inode = st.Ino
	}
	return i
}

// record is by file name.
type record map[string]imported

// loadRecord returns nothing where there is no record, or a broken one: every
// archive is then imported again, which does no harm.
func loadRecord(path string) record {
	r := record{}
	data, err := os.ReadFile(path)
	if err != nil || json.Unmarshal(data, &r) != nil {
		return record{}
	}
	return r
}

// save writes the record if it differs from the old one.
func (r record) save(path string, old record) error {
	if maps.EqualFunc(r, old, func(a, b imported) bool {
		return a.same(b) && a.Broken == b.Broken && slices.Equal(a.Names, b.Names)
	}) {
		return nil
	}
	data, err := json.Marshal(r)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	return atomicfile.Write(path, data, 0o600)
}
