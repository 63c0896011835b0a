package volume

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"k8s.io/apimachinery/pkg/types"
)

// Unset unmounts everything of a pod and removes its directory. It never
// removes through a mount: if one cannot be undone, files stay and the error
// says so.
func (m *Manager) Unset(uid types.UID) error {
	m.tokens.forget(uid)
	dir := m.dir(uid)
	if _, err := os.Lstat(dir); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err := unmountBelow(m.cfg.Mounter, dir); err != nil {
		return err
	}
	left, err := m.cfg.Mounter.Below(dir)
	if err != nil {
		return err
	}
	if len(left) > 0 {
		return fmt.Errorf("cannot remove the files of pod %s: %s is still mounted", uid, left[0])
	}
	if err := os.RemoveAll(dir); err != nil {
		return fmt.Errorf("remove the files of pod %s: %w", uid, err)
	}
	return nil
}

// Pods returns the UIDs of the pods that have files.
func (m *Manager) Pods() ([]types.UID, error) {
	entries, err := os.ReadDir(m.cfg.PodsDir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	var pods []types.UID
	for _, e := range entries {
		if e.IsDir() {
			pods = append(pods, types.UID(e.Name()))
		}
	}
	return pods, nil
}
