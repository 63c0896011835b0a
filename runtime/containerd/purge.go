package containerd

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/moby/sys/mountinfo"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"skiff/runtime/cni"
)

// PurgeConfig names what Purge takes away.
type PurgeConfig struct {
	Layout
	// Runc is tried first to end containers; what it leaves is killed through
	// the cgroups. It may be missing.
	Runc string
	// CgroupParent is the cgroup below which this instance's pods are, as
	// "/kubepods"; empty leaves cgroups alone.
	CgroupParent string
	// Network is removed too, unless its Bridge is empty.
	Network cni.Config
	// Mounts at and below these directories are removed, besides those below the
	// Layout's: the volumes of pods.
	Volumes []string
}

// CNICache is where libcni remembers results; the place is fixed there, and
// shared with whatever else on the box uses it.
const CNICache = "/var/lib/cni/results"

// Purge ends every container and shim that runs from the layout, and removes
// their mounts, cgroups, links, rules and directories, and nothing else. No
// daemon may run on the layout. It goes on after errors, and may be repeated.
func Purge(ctx context.Context, c PurgeConfig) error {
	errs := []error{
		deleteContainers(ctx, c),
		killShims(ctx, c),
		killCgroups(ctx, c.CgroupParent),
		unmount(c),
		removeCgroups(c.CgroupParent),
	}
	if c.Network.Bridge != "" {
		errs = append(errs, c.Network.Remove(), removeCNICache(c.Network.Network))
	}
	if mounted, err := mounts(c); err != nil || len(mounted) > 0 {
		// Never delete through a mount.
		errs = append(errs, err, fmt.Errorf("directories stay because of mounts: %v", mounted))
		return errors.Join(errs...)
	}
	for _, dir := range []string{c.State, c.SocketDir, c.Run, c.Root} {
		errs = append(errs, removeDir(dir))
	}
	return errors.Join(errs...)
}

// removeDir removes a directory, or, if its owner has mounted a disk there, what
// is on that.
func removeDir(dir string) error {
	err := os.RemoveAll(dir)
	if errors.Is(err, unix.EBUSY) {
		if left, readErr := os.ReadDir(dir); readErr == nil && len(left) == 0 {
			return nil
		}
	}
	return err
}

// deleteContainers has runc kill and delete every container that it knows.
func deleteContainers(ctx context.Context, c PurgeConfig) error {
	root := filepath.Join(c.runcRoot(), namespace)
	dirs, err := os.ReadDir(root)
	if errors.Is(err, fs.ErrNotExist) || c.Runc == "" {
		return nil
	}
	if err != nil {
		return err
	}
	if _, err := os.Stat(c.Runc); err != nil {
		return nil // killCgroups will do
	}
	errs := make([]error, len(dirs))
	var group errgroup.Group
	group.SetLimit(8) // each waits, mostly
	for i, d := range dirs {
		group.Go(func() error {
			out, err := exec.CommandContext(ctx, c.Runc, "--root", root, "delete", "--force", d.Name()).CombinedOutput()
			if err != nil {
				errs[i] = fmt.Errorf("delete container %s: %w: %s", d.Name(), err, bytes.TrimSpace(out))
			}
			return nil
		})
	}
	_ = group.Wait()
	return errors.Join(errs...)
}

// killShims ends the processes that were started for this layout: a shim is
// given the address of its daemon, which no other instance has.
func killShims(ctx context.Context, c PurgeConfig) error {
	address := (&Config{Layout: c.Layout}).grpcAddress()
	return killUntilGone(ctx, "shims", func() ([]int, error) { return shims(address) })
}

// shims are the processes that are shims of the daemon at an address.
func shims(address string) ([]int, error) {
	procs, err := os.ReadDir("/proc")
	if err != nil {
		return nil, err
	}
	var pids []int
	for _, p := range procs {
		pid, err := strconv.Atoi(p.Name())
		if err != nil {
			continue
		}
		cmdline, err := os.ReadFile(filepath.Join("/proc", p.Name(), "cmdline"))
		if err == nil && isShim(cmdline, address) && alive(pid) {
			pids = append(pids, pid)
		}
	}
	return pids, nil
}

func isShim(cmdline []byte, address string) bool {
	args := strings.Split(string(cmdline), "\x00")
	if filepath.Base(args[0]) != "containerd-shim-runc-v2" {
		return false
	}
	for i, a := range args[1:] {
		if (a == "-address" || a == "--address") && i+2 < len(args) && args[i+2] == address {
			return true
		}
	}
	return false
}

// alive is false for a zombie, which only its parent can remove.
func alive(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return false
	}
	// pid (comm) state: comm may hold anything, parentheses too.
	_, rest, ok := bytes.Cut(stat[bytes.LastIndexByte(stat, ')')+1:], []byte(" "))
	return ok && len(rest) > 0 && rest[0] != 'Z' && rest[0] != 'X'
}

// killUntilGone kills what list finds, until it finds nothing more.
func killUntilGone(ctx context.Context, what string, list func() ([]int, error)) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	for {
		pids, err := list()
		if err != nil || len(pids) == 0 {
			return err
		}
		for _, pid := range pids {
			if err := syscall.Kill(pid, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
				return fmt.Errorf("kill %s: process %d: %w", what, pid, err)
			}
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("kill %s: processes %v do not end: %w", what, pids, ctx.Err())
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// mounts lists those that the instance made.
func mounts(c PurgeConfig) ([]string, error) {
	below := func(path, dir string) bool { return dir != "" && strings.HasPrefix(path, dir+"/") }
	infos, err := mountinfo.GetMounts(func(i *mountinfo.Info) (skip, stop bool) {
		for _, d := range []string{c.Run, c.State, c.Root} {
			if below(i.Mountpoint, d) {
				return false, false
			}
		}
		for _, d := range c.Volumes {
			if i.Mountpoint == d || below(i.Mountpoint, d) {
				return false, false
			}
		}
		return true, false
	})
	if err != nil {
		return nil, fmt.Errorf("list mounts: %w", err)
	}
	points := make([]string, len(infos))
	for i, m := range infos {
		points[i] = m.Mountpoint
	}
	return points, nil
}

// unmount takes the mounts away, the latest first, since they may be stacked.
func unmount(c PurgeConfig) error {
	points, err := mounts(c)
	if err != nil {
		return err
	}
	var errs []error
	for _, point := range slices.Backward(points) {
		if err := unix.Unmount(point, unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW); err != nil && !errors.Is(err, unix.EINVAL) {
			errs = append(errs, fmt.Errorf("unmount %s: %w", point, err))
		}
	}
	return errors.Join(errs...)
}

// removeCNICache removes the results that libcni remembers of the network. The
// file names are ambiguous, so each file's content decides.
func removeCNICache(network string) error {
	files, err := filepath.Glob(filepath.Join(CNICache, network+"-*"))
	if err != nil {
		return err
	}
	var errs []error
	for _, f := range files {
		data, err := os.ReadFile(f)
		if err != nil {
			continue
		}
		var cached struct {
			NetworkName string `json:"networkName"`
		}
		if json.Unmarshal(data, &cached) == nil && cached.NetworkName == network {
			errs = append(errs, os.Remove(f))
		}
	}
	return errors.Join(errs...)
}
