package volume

import (
	"fmt"
	"os"
	"path/filepath"

	corev1 "k8s.io/api/core/v1"
)

// checkHostPath makes sure that the node's path is what the pod expects, and
// makes it where the type says so.
func checkHostPath(h *corev1.HostPathVolumeSource) error {
	if h.Type == nil || *h.Type == corev1.HostPathUnset {
		return nil
	}
	info, err := os.Stat(h.Path)
	exists := err == nil
	switch *h.Type {
	case corev1.HostPathDirectoryOrCreate:
		if !exists {
			return makeDir(h.Path)
		}
		return expect(info.IsDir(), "%s is not a directory", h.Path)
	case corev1.HostPathDirectory:
		return expect(exists && info.IsDir(), "%s is not a directory", h.Path)
	case corev1.HostPathFileOrCreate:
		if !exists {
			return makeFile(h.Path)
		}
		return expect(!info.IsDir(), "%s is not a file", h.Path)
	case corev1.HostPathFile:
		return expect(exists && !info.IsDir(), "%s is not a file", h.Path)
	case corev1.HostPathSocket:
		return expect(exists && info.Mode()&os.ModeSocket != 0, "%s is not a socket file", h.Path)
	case corev1.HostPathCharDev:
		return expect(exists && info.Mode()&os.ModeCharDevice != 0, "%s is not a character device", h.Path)
	case corev1.HostPathBlockDev:
		return expect(exists && info.Mode()&os.ModeDevice != 0 && info.Mode()&os.ModeCharDevice == 0, "%s is not a block device", h.Path)
	}
	return fmt.Errorf("%s is an invalid volume type", *h.Type)
}

func expect(ok bool, format, path string) error {
	if ok {
		return nil
	}
	return fmt.Errorf("hostPath type check failed: "+format, path)
}

func makeDir(path string) error {
	if err := os.MkdirAll(path, 0o755); err != nil {
		return err
	}
	return os.Chmod(path, 0o755)
}

func makeFile(path string) error {
	if _, err := os.Stat(filepath.Dir(path)); err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDONLY, 0o644)
	if err != nil {
		return err
	}
	return f.Close()
}
