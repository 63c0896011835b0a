package fsm

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"skiff/atomicfile"
)

// formatVersion is that of the state file, the mark and the snapshots.
const formatVersion = 1

// mark says what the state file beside it is worth. It is replaced by a rename,
// and synced, before the state file is written for the first time in a boot.
type mark struct {
	Format  int    `json:"format"`
	Cluster string `json:"cluster"`
	// Boot identifies the boot of the kernel that the state file was last
	// written in. What is in the page cache survives the process, not the boot.
	Boot string `json:"boot"`
	// Clean tells that the state file was synced and not written since.
	Clean bool `json:"clean"`
	// Jump tells that volatile changes may have been lost, and that the revision
	// has not been moved past theirs yet.
	Jump bool `json:"jump,omitempty"`
}

// BootID returns the kernel's identifier of this boot, "" if it has none.
func BootID() string {
	b, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(b))
}

func readMark(path string) (*mark, error) {
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var m mark
	if err := json.Unmarshal(b, &m); err != nil {
		// Not a reason to stop: without its mark the state file is rebuilt.
		return nil, nil
	}
	return &m, nil
}

func (m *mark) check(path, cluster string) error {
	if m.Format > formatVersion {
		return fmt.Errorf("%s has format version %d, this skiff knows up to %d: start the newer version that wrote it", path, m.Format, formatVersion)
	}
	if m.Cluster != cluster {
		return fmt.Errorf("%s belongs to cluster %s, the raft log beside it to cluster %s: give each cluster a data directory of its own, or remove %s to rebuild it from the raft log",
			path, m.Cluster, cluster, filepath.Dir(path))
	}
	return nil
}

func (m *mark) write(path string) error {
	b, err := json.Marshal(m)
	if err != nil {
		return err
	}
	return atomicfile.WriteSync(path, append(b, '\n'), 0o600)
}
