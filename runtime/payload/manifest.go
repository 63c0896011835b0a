package payload

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"sync"
)

// Names of the executables, which are also their file names.
const (
	Runc    = "runc"
	Shim    = "containerd-shim-runc-v2"
	CNI     = "skiff-cni"
	Kubectl = "kubectl"
	pause   = "pause"
)

// ErrMissing means that this binary was built without its payload.
var ErrMissing = errors.New("this skiff was built without the executables that it needs to run containers; build it with `make build`")

// Entry describes one executable.
type Entry struct {
	Name string `json:"name"`
	// Version is that of the upstream project, or empty for our own.
	Version string `json:"version,omitempty"`
	// SHA256 and Size are those of the file as it is staged.
	SHA256 string `json:"sha256"`
	Size   int64  `json:"size"`
	// Stored is the file in the embedded directory, compressed with zstd.
	Stored string `json:"stored"`
}

type manifest struct {
	Entries []Entry `json:"entries"`
	// id names this set of executables: it changes with any of them.
	id string
}

func (m *manifest) find(name string) (Entry, error) {
	for _, e := range m.Entries {
		if e.Name == name {
			return e, nil
		}
	}
	return Entry{}, fmt.Errorf("no executable %q in the payload: %w", name, ErrMissing)
}

// source is a set of executables: the embedded one, or a test's.
type source struct {
	files    fs.FS
	manifest func() (*manifest, error)
}

func newSource(files fs.FS, dir string) *source {
	sub, err := fs.Sub(files, dir)
	return &source{files: sub, manifest: sync.OnceValues(func() (*manifest, error) {
		if err != nil {
			return nil, err
		}
		return readManifest(sub)
	})}
}

var builtin = newSource(embedded, filesDir)

func readManifest(files fs.FS) (*manifest, error) {
	data, err := fs.ReadFile(files, "manifest.json")
	if errors.Is(err, fs.ErrNotExist) {
		return nil, ErrMissing
	}
	if err != nil {
		return nil, err
	}
	m := &manifest{}
	if err := json.Unmarshal(data, m); err != nil {
		return nil, fmt.Errorf("read the payload's manifest: %w", err)
	}
	sum := sha256.Sum256(data)
	m.id = hex.EncodeToString(sum[:6])
	return m, nil
}

// Available returns nil if the executables are embedded, else ErrMissing.
func Available() error {
	_, err := builtin.manifest()
	return err
}

// Entries lists what is embedded, for `skiff version` and the like.
func Entries() ([]Entry, error) {
	m, err := builtin.manifest()
	if err != nil {
		return nil, err
	}
	return m.Entries, nil
}
