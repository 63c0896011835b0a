package containerd

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

const cgroupMount = "/sys/fs/cgroup"

// hierarchies returns the mount points of cgroups: one with version 2, one per
// controller with version 1, and both on a hybrid layout.
func hierarchies() ([]string, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(cgroupMount, &st); err != nil {
		return nil, fmt.Errorf("look at %s: %w", cgroupMount, err)
	}
	if int64(st.Type) == unix.CGROUP2_SUPER_MAGIC {
		return []string{cgroupMount}, nil
	}
	entries, err := os.ReadDir(cgroupMount)
	if err != nil {
		return nil, err
	}
	var out []string
	for _, e := range entries {
		if e.IsDir() { // the others are links: cpu → cpu,cpuacct
			out = append(out, filepath.Join(cgroupMount, e.Name()))
		}
	}
	return out, nil
}

// cgroupDirs returns all cgroups at and below parent, children before parents.
func cgroupDirs(parent string) ([]string, error) {
	if strings.Trim(parent, "/.") == "" {
		return nil, nil
	}
	roots, err := hierarchies()
	if err != nil {
		return nil, err
	}
	var out []string
	for _, root := range roots {
		var found []string
		err := filepath.WalkDir(filepath.Join(root, parent), func(path string, d fs.DirEntry, err error) error {
			if errors.Is(err, fs.ErrNotExist) {
				return nil
			}
			if err == nil && d.IsDir() {
				found = append(found, path)
			}
			return err
		})
		if err != nil {
			return nil, err
		}
		for i := len(found) - 1; i >= 0; i-- {
			out = append(out, found[i])
		}
	}
	return out, nil
}

// killCgroups ends all processes in and below the cgroup.
func killCgroups(ctx context.Context, parent string) error {
	return killUntilGone(ctx, "containers", func() ([]int, error) {
		dirs, err := cgroupDirs(parent)
		if err != nil {
			return nil, err
		}
		var pids []int
		for _, dir := range dirs {
			data, err := os.ReadFile(filepath.Join(dir, "cgroup.procs"))
			if err != nil {
				continue // threaded, or just removed
			}
			for _, field := range strings.Fields(string(data)) {
				if pid, err := strconv.Atoi(field); err == nil && pid > 0 && alive(pid) {
					pids = append(pids, pid)
				}
			}
		}
		return pids, nil
	})
}

// removeCgroups removes the cgroup and all below it.
func removeCgroups(parent string) error {
	dirs, err := cgroupDirs(parent)
	if err != nil {
		return err
	}
	var errs []error
	for _, dir := range dirs {
		if err := unix.Rmdir(dir); err != nil && !errors.Is(err, unix.ENOENT) {
			errs = append(errs, fmt.Errorf("remove cgroup %s: %w", dir, err))
		}
	}
	return errors.Join(errs...)
}
