package cgroup

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
)

// RemovePod kills what still runs in the pod's cgroups and removes them. It
// returns an error if some are not empty yet; try again.
func (m *Manager) RemovePod(uid types.UID) error {
	var errs []error
	for _, qos := range []corev1.PodQOSClass{corev1.PodQOSGuaranteed, corev1.PodQOSBurstable, corev1.PodQOSBestEffort} {
		errs = append(errs, m.remove(m.PodPath(uid, qos)))
	}
	return errors.Join(errs...)
}

func (m *Manager) remove(cg string) error {
	var errs []error
	for _, mount := range m.mounts {
		errs = append(errs, removeTree(filepath.Join(mount, cg)))
	}
	return errors.Join(errs...)
}

// removeTree removes a cgroup directory from its leaves up. Only directories can
// be removed in the cgroup file system.
func removeTree(dir string) error {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("cgroup: %w", err)
	}
	for _, e := range entries {
		if e.IsDir() {
			if err := removeTree(filepath.Join(dir, e.Name())); err != nil {
				return err
			}
		}
	}
	killAll(dir)
	if err := syscall.Rmdir(dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("cgroup: remove %s: %w", dir, err)
	}
	return nil
}

func killAll(dir string) {
	data, err := os.ReadFile(filepath.Join(dir, "cgroup.procs"))
	if err != nil {
		return
	}
	for word := range strings.FieldsSeq(string(data)) {
		if pid, err := strconv.Atoi(word); err == nil && pid > 1 {
			syscall.Kill(pid, syscall.SIGKILL)
		}
	}
}

// Pods returns the UIDs of the pods that have a cgroup, in whatever hierarchy: one
// that was killed may have removed some.
func (m *Manager) Pods() map[types.UID]corev1.PodQOSClass {
	pods := map[types.UID]corev1.PodQOSClass{}
	for _, qos := range []corev1.PodQOSClass{corev1.PodQOSGuaranteed, corev1.PodQOSBurstable, corev1.PodQOSBestEffort} {
		for _, mount := range m.mounts {
			entries, _ := os.ReadDir(filepath.Join(mount, m.qosPath(qos))) // there is none before the first pod
			for _, e := range entries {
				if uid, ok := strings.CutPrefix(e.Name(), "pod"); ok && e.IsDir() {
					pods[types.UID(uid)] = qos
				}
			}
		}
	}
	return pods
}

// RemoveAll removes the cgroup of all pods, kubepods, if it is empty.
func (m *Manager) RemoveAll() error { return m.remove(m.KubePods()) }
