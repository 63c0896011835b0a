package payload

import (
	"encoding/json"
	"os"
	"path/filepath"

	"skiff/atomicfile"
)

// recordFile remembers which staged files were found intact, and what their
// inodes looked like then. The change time cannot be set by a program, so any
// write to the file since shows.
const recordFile = ".checked.json"

type seen struct {
	SHA256 string `json:"sha256"`
	Size   int64  `json:"size"`
	Inode  uint64 `json:"inode"`
	Ctime  int64  `json:"ctime"`
}

type record map[string]seen

// loadRecord returns an empty record where there is none, or a broken one:
// everything is then checked again.
func loadRecord(dir string) record {
	r := record{}
	data, err := os.ReadFile(filepath.Join(dir, recordFile))
	if err != nil || json.Unmarshal(data, &r) != nil {
		return record{}
	}
	return r
}

func (r record) trusts(path string, e Entry) bool {
	now, err := look(path, e)
	return err == nil && now.Size == e.Size && r[e.Name] == now
}

func (r record) add(path string, e Entry) error {
	now, err := look(path, e)
	if err != nil {
		return err
	}
	r[e.Name] = now
	return nil
}

func look(path string, e Entry) (seen, error) {
	info, err := os.Stat(path)
	if err != nil {
		return seen{}, err
	}
	ino, ctime := inode(info)
	return seen{SHA256: e.SHA256, Size: info.Size(), Inode: ino, Ctime: ctime}, nil
}

func (r record) save(dir string) error {
	data, err := json.Marshal(r)
	if err != nil {
		return err
	}
	return atomicfile.Write(filepath.Join(dir, recordFile), data, 0o600)
}
