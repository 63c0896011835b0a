package host

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/moby/sys/mountinfo"

	"skiff/runtime/instance"
)

// Left is all that is on the machine of the host's skiff, a line each: after an
// uninstall, nothing. Links and rules that the test itself made count as well.
func (h *Host) Left() []string {
	h.t.Helper()
	var left []string
	for _, line := range h.State().Minus(h.empty) {
		left = append(left, line)
	}
	pids, err := h.place.processes()
	if err != nil {
		h.t.Error(err)
	}
	for _, pid := range pids {
		left = append(left, "in the network namespace: "+describeProcess(pid))
	}
	in := instance.Of(h.DataDir)
	left = append(left, h.leftMounts(in)...)
	left = append(left, h.leftCgroups(in)...)
	for _, path := range []string{h.DataDir + "/*", h.Kubeconfig, in.RunDir(), "/var/lib/cni/results/" + in.Network() + "-*"} {
		found, err := filepath.Glob(path)
		if err != nil {
			h.t.Error(err)
		}
		for _, f := range found {
			left = append(left, "file "+f)
		}
	}
	return left
}

func (h *Host) leftMounts(in instance.Instance) (left []string) {
	mounts, err := mountinfo.GetMounts(func(m *mountinfo.Info) (skip, stop bool) {
		ours := strings.HasPrefix(m.Mountpoint, h.DataDir+"/") || strings.HasPrefix(m.Mountpoint, in.RunDir()+"/")
		return !ours, false
	})
	if err != nil {
		h.t.Error(err)
	}
	for _, m := range mounts {
		left = append(left, "mount "+m.Mountpoint)
	}
	return left
}

// leftCgroups finds cgroups of both versions, with what runs in them.
func (h *Host) leftCgroups(in instance.Instance) (left []string) {
	for _, root := range []string{"/sys/fs/cgroup", "/sys/fs/cgroup/*"} {
		found, err := filepath.Glob(root + in.CgroupParent())
		if err != nil {
			h.t.Error(err)
		}
		for _, f := range found {
			left = append(left, "cgroup "+f)
		}
	}
	return left
}

func describeProcess(pid int) string {
	cmdline, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	if err != nil {
		return fmt.Sprintf("process %d", pid)
	}
	return fmt.Sprintf("process %d, %s", pid, strings.ReplaceAll(strings.TrimRight(string(cmdline), "\x00"), "\x00", " "))
}
