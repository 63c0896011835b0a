package containerd

import (
	"bytes"
	"os"
	"path/filepath"
)

// InUse returns whether a shim or container of the layout was started from
// executables in the given directory, and so needs them still. It serves
// payload.Prune.
func (l Layout) InUse(dir string) bool {
	needle := []byte(dir + "/")
	bundles, err := os.ReadDir(l.taskBundles())
	if err != nil {
		return !os.IsNotExist(err) // unknown: keep
	}
	for _, b := range bundles {
		// The shim's path, and the options that hold runc's.
		for _, file := range []string{"shim-binary-path", "options.json"} {
			data, err := os.ReadFile(filepath.Join(l.taskBundles(), b.Name(), file))
			if err == nil && bytes.Contains(data, needle) {
				return true
			}
		}
	}
	return false
}
