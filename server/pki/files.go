package pki

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"

	"skiff/atomicfile"
)

// writeIfChanged writes path only if its content or mode differs: flash cards
// wear, and watchers of the file need not wake.
func writeIfChanged(path string, data []byte, mode os.FileMode) error {
	old, err := os.ReadFile(path)
	if err == nil && bytes.Equal(old, data) {
		if st, err := os.Stat(path); err == nil && st.Mode().Perm() == mode {
			return nil
		}
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return atomicfile.Write(path, data, mode)
}
