package host

import (
	"path/filepath"
	"slices"
	"strings"

	"skiff/runtime/instance"
)

// HeldByPods is all that pods of the host hold on the machine, a line each:
// processes and their links, mounts, control groups, addresses, and what is kept of
// sandboxes, containers and volumes. Without a pod it is empty. Names of sockets are
// not counted: that of a shim whose daemon was killed stays until the next boot.
func (h *Host) HeldByPods() []string {
	h.t.Helper()
	var held []string
	pids, err := h.place.processes()
	if err != nil {
		h.t.Error(err)
	}
	for _, pid := range pids {
		if h.process == nil || pid != h.PID() {
			held = append(held, describeProcess(pid))
		}
	}
	for _, line := range h.State().Minus(h.empty) {
		if strings.HasPrefix(line, "link ") && strings.HasSuffix(line, "(veth)") {
			held = append(held, line)
		}
	}
	in := instance.Of(h.DataDir)
	for _, point := range h.mounts(in) {
		if point == filepath.Join(h.DataDir, "pods") {
			continue // the folder itself, which shares what is mounted in it
		}
		held = append(held, "mount "+point)
	}
	patterns := []string{
		filepath.Join(h.DataDir, "pods/*"), filepath.Join(h.DataDir, "logs/pods/*"),
		filepath.Join(in.RunDir(), "cni/[0-9]*"),
		filepath.Join(in.RunDir(), "containerd/*/k8s.io/*"), filepath.Join(in.RunDir(), "containerd/*/netns/*"),
		filepath.Join(in.RunDir(), "containerd/*/sandboxes/*"), filepath.Join(h.DataDir, "containerd/*/sandboxes/*"),
		filepath.Join(h.DataDir, "containerd/*/containers/*"), filepath.Join(h.DataDir, "containerd/*/k8s.io/*"),
	}
	for _, dir := range cgroups(in) {
		patterns = append(patterns, dir+"/pod*", dir+"/*/pod*")
	}
	for _, pattern := range patterns {
		found, err := filepath.Glob(pattern)
		if err != nil {
			h.t.Error(err)
		}
		held = append(held, found...)
	}
	slices.Sort(held)
	return held
}
