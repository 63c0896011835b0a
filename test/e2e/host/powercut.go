package host

import (
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"skiff/runtime/instance"
)

// PowerCut leaves of the host what a box has after its power was cut: its disk.
// Every process is killed at once, and all that the kernel held is gone: mounts,
// cgroups, links, rules, and what was below /run. The clock and the boot ID stay
// the machine's.
func (h *Host) PowerCut() {
	h.t.Helper()
	if h.process != nil {
		h.Kill()
	}
	in := instance.Of(h.DataDir)
	if err := errors.Join(h.killAll(in), h.renewView(), h.unmountAll(in), h.removeCgroups(in), os.RemoveAll(in.RunDir()), h.renewNamespace()); err != nil {
		h.t.Fatalf("cut the power of %s: %v", h.Name, err)
	}
}

// killAll kills what runs in the namespace and in the containers, until nothing
// does.
func (h *Host) killAll(in instance.Instance) error {
	for deadline := time.Now().Add(stopTimeout); ; time.Sleep(10 * time.Millisecond) {
		pids, err := h.place.processes()
		if err != nil {
			return err
		}
		for _, dir := range cgroups(in) {
			pids = append(pids, processesBelow(dir)...)
		}
		if len(pids) == 0 {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("processes do not end: %v", pids)
		}
		for _, pid := range pids {
			_ = unix.Kill(pid, unix.SIGKILL) // it may have ended
		}
	}
}

// cgroups are the folders of the instance's pods, one in each hierarchy.
func cgroups(in instance.Instance) []string {
	var dirs []string
	for _, root := range []string{"/sys/fs/cgroup", "/sys/fs/cgroup/*"} {
		found, err := filepath.Glob(root + in.CgroupParent())
		if err == nil {
			dirs = append(dirs, found...)
		}
	}
	return dirs
}

func processesBelow(dir string) (pids []int) {
	_ = filepath.WalkDir(dir, func(path string, _ fs.DirEntry, _ error) error {
		if filepath.Base(path) != "cgroup.procs" {
			return nil
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return nil // the cgroup is gone
		}
		for field := range strings.FieldsSeq(string(text)) {
			if pid, err := strconv.Atoi(field); err == nil {
				pids = append(pids, pid)
			}
		}
		return nil
	})
	return pids
}

// renewView drops the mounts of a host that has its own: the last process that
// held them is gone.
func (h *Host) renewView() error {
	if h.place.view == nil {
		return nil
	}
	return h.place.view.renew()
}

// unmountAll takes the latest mounts first, since they may be stacked.
func (h *Host) unmountAll(in instance.Instance) error {
	var errs []error
	for _, point := range slices.Backward(h.mounts(in)) {
		if err := unix.Unmount(point, unix.MNT_DETACH); err != nil {
			errs = append(errs, fmt.Errorf("unmount %s: %w", point, err))
		}
	}
	return errors.Join(errs...)
}

// removeCgroups removes empty ones, the innermost first.
func (h *Host) removeCgroups(in instance.Instance) error {
	var errs []error
	for _, root := range cgroups(in) {
		var dirs []string
		err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
			if err == nil && entry.IsDir() {
				dirs = append(dirs, path)
			}
			return err
		})
		errs = append(errs, err)
		for _, dir := range slices.Backward(dirs) {
			errs = append(errs, os.Remove(dir))
		}
	}
	return errors.Join(errs...)
}

// renewNamespace replaces the network namespace by a new one with the same
// address.
func (h *Host) renewNamespace() error {
	if err := errors.Join(h.place.deleteNamespace(), h.place.makeNamespace()); err != nil {
		return err
	}
	return h.connect()
}

// connect gives the host's namespace its link to the world, with the host's
// address; a new host gets one.
func (h *Host) connect() error {
	if h.network == nil {
		h.Addr = alone.Addr()
		return h.place.linkToNowhere()
	}
	addr := netip.PrefixFrom(h.Addr, h.network.prefix.Bits())
	if !h.Addr.IsValid() {
		addr = h.network.next()
		h.Addr = addr.Addr()
	}
	return h.network.attach(h.place, addr, h.way())
}
