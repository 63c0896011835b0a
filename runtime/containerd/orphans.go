package containerd

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/containerd/containerd/v2/pkg/namespaces"
	"golang.org/x/sys/unix"
)

// A daemon that is killed while it makes sandboxes leaves shims whose bundle is
// not complete, and network namespaces that no sandbox has. Its successor forgets
// both, and nothing would ever end them.

// endOrphans ends shims and removes network namespaces that an earlier daemon left
// to nobody: shims older than this process, and those of the given namespaces,
// which were there before it began. So it may take its time while sandboxes are made.
func (d *Daemon) endOrphans(ctx context.Context, networks []string) error {
	born, err := startOf(os.Getpid())
	if err != nil {
		return err
	}
	return errors.Join(endShims(d.cfg.grpcAddress(), born), d.removeNetworks(ctx, networks))
}

// endShims kills the shims of this layout that began before a time, in ticks since
// the boot, have no bundle any more and no process to look after.
func endShims(address string, before uint64) error {
	procs, err := shims(address)
	if err != nil || len(procs) == 0 {
		return err
	}
	parents, err := parents()
	if err != nil {
		return err
	}
	var errs []error
	for _, pid := range procs {
		began, err := startOf(pid)
		if err != nil || began >= before || parents[pid] {
			continue
		}
		// A shim's directory is the bundle that it was started for.
		cwd, err := os.Readlink(filepath.Join("/proc", strconv.Itoa(pid), "cwd"))
		if err != nil || !strings.HasSuffix(cwd, " (deleted)") {
			continue
		}
		if err := unix.Kill(pid, unix.SIGKILL); err != nil && !errors.Is(err, unix.ESRCH) {
			errs = append(errs, fmt.Errorf("kill a shim that is left over: process %d: %w", pid, err))
		}
	}
	return errors.Join(errs...)
}

// parents are the processes that have children.
func parents() (map[int]bool, error) {
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return nil, err
	}
	found := map[int]bool{}
	for _, name := range stats {
		fields, err := statFields(name)
		if err == nil && len(fields) > 1 {
			if ppid, err := strconv.Atoi(fields[1]); err == nil {
				found[ppid] = true
			}
		}
	}
	return found, nil
}

// startOf is when a process began, in ticks since the boot.
func startOf(pid int) (uint64, error) {
	fields, err := statFields(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, err
	}
	if len(fields) < 20 {
		return 0, fmt.Errorf("/proc/%d/stat has %d fields", pid, len(fields))
	}
	return strconv.ParseUint(fields[19], 10, 64)
}

// statFields are the fields of /proc/PID/stat from the third, the state, on: the
// second may hold anything, blanks and parentheses too.
func statFields(name string) ([]string, error) {
	data, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	return strings.Fields(string(data[bytes.LastIndexByte(data, ')')+1:])), nil
}

// networks are the network namespaces of sandboxes, by the files that hold them.
func (l Layout) networks() ([]string, error) {
	dir := filepath.Join(l.State, "io.containerd.grpc.v1.cri", "netns")
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	paths := make([]string, len(entries))
	for i, e := range entries {
		paths[i] = filepath.Join(dir, e.Name())
	}
	return paths, nil
}

// removeNetworks removes those of the network namespaces that no sandbox knows.
func (d *Daemon) removeNetworks(ctx context.Context, paths []string) error {
	if len(paths) == 0 {
		return nil
	}
	known, err := d.bridge.client.SandboxStore().List(namespaces.WithNamespace(ctx, namespace))
	if err != nil {
		return fmt.Errorf("list sandboxes: %w", err)
	}
	var records [][]byte
	for i := range known {
		for _, extension := range known[i].Extensions {
			records = append(records, extension.GetValue())
		}
	}
	var errs []error
	for _, path := range paths {
		if slices.ContainsFunc(records, func(r []byte) bool { return bytes.Contains(r, []byte(path)) }) {
			continue
		}
		if err := unix.Unmount(path, unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW); err != nil && !errors.Is(err, unix.EINVAL) {
			errs = append(errs, fmt.Errorf("remove a network namespace that is left over: %w", err))
			continue
		}
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}
