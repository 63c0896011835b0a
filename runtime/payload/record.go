package payload

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"sync"

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
	// Boot is the boot in which the file was found intact, and may have been in
	// memory only. It is trusted until the next; then it is hashed as the disk
	// has it, and trusted for good.
	Boot string `json:"boot,omitempty"`
}

// record is safe for concurrent use.
type record struct {
	dir, boot string

	mu      sync.Mutex
	files   map[string]seen
	changed bool
}

// loadRecord returns an empty record where there is none, or a broken one:
// everything is then checked again.
func loadRecord(dir string) *record {
	r := &record{dir: dir, boot: bootID()}
	data, err := os.ReadFile(filepath.Join(dir, recordFile))
	if err != nil || json.Unmarshal(data, &r.files) != nil || r.files == nil {
		r.files = map[string]seen{}
	}
	return r
}

// bootID is another one after each start of the machine.
func bootID() string {
	id, _ := os.ReadFile("/proc/sys/kernel/random/boot_id")
	return strings.TrimSpace(string(id))
}

func (r *record) trusts(e Entry) bool {
	now, err := look(filepath.Join(r.dir, e.Name), e)
	if err != nil || now.Size != e.Size {
		return false
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	old := r.files[e.Name]
	return old.same(now) && (old.Boot == "" || old.Boot == r.boot)
}

// add remembers a file that was found intact just now.
func (r *record) add(e Entry) error {
	now, err := look(filepath.Join(r.dir, e.Name), e)
	if err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if old := r.files[e.Name]; !old.same(now) || old.Boot == r.boot {
		now.Boot = r.boot
	}
	r.files[e.Name] = now
	r.changed = true
	return nil
}

// same says whether both are of one state of one file.
func (s seen) same(other seen) bool {
	s.Boot, other.Boot = "", ""
	return s == other
}

func look(path string, e Entry) (seen, error) {
	info, err := os.Stat(path)
	if err != nil {
		return seen{}, err
	}
	ino, ctime := inode(info)
	return seen{SHA256: e.SHA256, Size: info.Size(), Inode: ino, Ctime: ctime}, nil
}

// save writes the record if it has changed.
func (r *record) save() error {
	if !r.changed {
		return nil
	}
	data, err := json.Marshal(r.files)
	if err != nil {
		return err
	}
	return atomicfile.Write(filepath.Join(r.dir, recordFile), data, 0o600)
}
