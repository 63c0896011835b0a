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
	for _, point := range h.mounts(in) {
		left = append(left, "mount "+point)
	}
	for _, dir := range cgroups(in) {
		left = append(left, "cgroup "+dir)
	}
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

// mounts are the mount points below the instance's folders, in the order that
// they were made.
func (h *Host) mounts(in instance.Instance) []string {
	mounts, err := h.place.mounts(func(m *mountinfo.Info) (skip, stop bool) {
		ours := strings.HasPrefix(m.Mountpoint, h.DataDir+"/") || strings.HasPrefix(m.Mountpoint, in.RunDir()+"/")
		return !ours, false
	})
	if err != nil {
		h.t.Error(err)
	}
	points := make([]string, len(mounts))
	for i, m := range mounts {
		points[i] = m.Mountpoint
	}
	return points
}

func describeProcess(pid int) string {
	cmdline, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	if err != nil {
		return fmt.Sprintf("process %d", pid)
	}
	return fmt.Sprintf("process %d, %s", pid, strings.ReplaceAll(strings.TrimRight(string(cmdline), "\x00"), "\x00", " "))
}
