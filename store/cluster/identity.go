package cluster

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"skiff/atomicfile"
)

const identityFormat = 1

// identity says whose data directory it is.
type identity struct {
	Format  int    `json:"format"`
	Cluster string `json:"cluster"`
	Node    string `json:"node"`
}

// readIdentity returns nil if there is none.
func readIdentity(path string) (*identity, error) {
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var id identity
	if err := json.Unmarshal(b, &id); err != nil {
		return nil, fmt.Errorf("%s is damaged (%w): restore it from a backup", path, err)
	}
	if id.Format > identityFormat {
		return nil, fmt.Errorf("%s has format version %d, this skiff knows up to %d: start the newer version that wrote it", path, id.Format, identityFormat)
	}
	return &id, nil
}

func newIdentity(node string) *identity {
	return &identity{Format: identityFormat, Cluster: rand.Text(), Node: node}
}

// write makes the identity survive a power cut, whole or not at all.
func (id *identity) write(path string) error {
	b, err := json.Marshal(id)
	if err != nil {
		return err
	}
	return atomicfile.WriteSync(path, append(b, '\n'), 0o600)
}

// lockDir takes the lock of a data directory, which ends with the process.
func lockDir(dir string) (*os.File, error) {
	path := filepath.Join(dir, "lock")
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		_ = f.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, fmt.Errorf("the data directory %s is in use by another process: stop it first, or choose another data directory", dir)
		}
		return nil, fmt.Errorf("lock %s: %w", path, err)
	}
	return f, nil
}
