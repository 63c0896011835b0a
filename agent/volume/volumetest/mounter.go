// Package volumetest has a Mounter for tests that changes nothing on the machine.
package volumetest

import (
	"cmp"
	"path/filepath"
	"slices"
	"strings"
	"sync"
)

// Mounter remembers mounts. The zero value is ready for use.
type Mounter struct {
	mu     sync.Mutex
	points []string
	// Log has a line per mount and unmount.
	Log []string
	// Stuck makes Unmount do nothing.
	Stuck bool
}

// Mount implements volume.Mounter.
func (m *Mounter) Mount(source, target, fstype string, _ uintptr, data string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.points = append(m.points, filepath.Clean(target))
	m.Log = append(m.Log, strings.TrimSpace("mount "+cmp.Or(fstype, "bind")+" "+filepath.Base(target)+" "+data))
	return nil
}

// Unmount implements volume.Mounter.
func (m *Mounter) Unmount(target string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if i := slices.Index(m.points, filepath.Clean(target)); i >= 0 && !m.Stuck {
		m.points = slices.Delete(m.points, i, i+1)
		m.Log = append(m.Log, "unmount "+filepath.Base(target))
	}
	return nil
}

// IsMount implements volume.Mounter.
func (m *Mounter) IsMount(dir string) (bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Contains(m.points, filepath.Clean(dir)), nil
}

// Below implements volume.Mounter.
func (m *Mounter) Below(dir string) ([]string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	dir = filepath.Clean(dir)
	var out []string
	for _, p := range m.points {
		if p == dir || strings.HasPrefix(p, dir+"/") {
			out = append(out, p)
		}
	}
	return out, nil
}
