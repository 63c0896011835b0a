// Package cgroup makes the cgroups that pods run in: one per quality-of-service
// class and one per pod, below a configurable parent, on cgroup v1 and v2, by
// writing to the cgroup file system.
//
//	<parent>/kubepods                       guaranteed pods are directly below
//	<parent>/kubepods/burstable
//	<parent>/kubepods/besteffort/pod<UID>
//
// A controller that the machine lacks is left out, with one log line; what it
// would limit is then not limited.
package cgroup

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
)

// Config says where the cgroups are.
type Config struct {
	// Root is where the cgroup file systems are mounted, "" for /sys/fs/cgroup.
	Root string
	// Parent is the cgroup that kubepods is made in, as a path from the root of
	// the hierarchy; "" is the root itself.
	Parent string
	// Name is that of the cgroup of all pods, "" for kubepods. Several nodes on
	// one machine need different ones.
	Name string
	// NoCPULimits switches CFS quotas off.
	NoCPULimits bool
}

// wanted are the controllers that pods' cgroups use.
var wanted = []string{"cpu", "cpuacct", "cpuset", "memory", "pids", "hugetlb", "blkio"}

// Manager makes and removes cgroups. It keeps no state besides what it found at
// the start.
type Manager struct {
	root, parent, name string
	unified            bool
	noQuota            bool
	// dirs are v1's mount points, by controller, of those that pods' cgroups use.
	dirs map[string]string
	// mounts are all mount points. The container runtime makes pods' cgroups also
	// where the agent does not.
	mounts []string
	log    *slog.Logger
}

// New looks at what the machine has. It fails only if there is no cgroup file
// system at all.
func New(cfg Config, log *slog.Logger) (*Manager, error) {
	m := &Manager{root: cfg.Root, parent: path.Join("/", cfg.Parent), name: cfg.Name, noQuota: cfg.NoCPULimits, dirs: map[string]string{}, log: log}
	if m.root == "" {
		m.root = "/sys/fs/cgroup"
	}
	if m.name == "" {
		m.name = "kubepods"
	}
	if data, err := os.ReadFile(filepath.Join(m.root, "cgroup.controllers")); err == nil {
		m.unified, m.mounts = true, []string{m.root}
		m.reportMissing(strings.Fields(string(data)), []string{"cpu", "memory", "pids"})
		return m, nil
	}
	var have []string
	for _, controller := range wanted {
		dir := filepath.Join(m.root, controller)
		if info, err := os.Stat(dir); err == nil && info.IsDir() {
			m.dirs[controller] = dir
			have = append(have, controller)
		}
	}
	if len(have) == 0 {
		return nil, fmt.Errorf("cgroup: no hierarchy is mounted below %s", m.root)
	}
	m.reportMissing(have, []string{"cpu", "memory", "pids"})
	entries, err := os.ReadDir(m.root)
	if err != nil {
		return nil, fmt.Errorf("cgroup: %w", err)
	}
	for _, e := range entries {
		if e.IsDir() { // others are second names
			m.mounts = append(m.mounts, filepath.Join(m.root, e.Name()))
		}
	}
	return m, nil
}

func (m *Manager) reportMissing(have, need []string) {
	var missing []string
	for _, controller := range need {
		if !slices.Contains(have, controller) {
			missing = append(missing, controller)
		}
	}
	if len(missing) > 0 {
		m.log.Warn("cgroup controllers are missing, what they limit is not limited", "controllers", strings.Join(missing, ","))
	}
}

// Unified tells whether the machine has cgroup v2.
func (m *Manager) Unified() bool { return m.unified }

// KubePods is the path of the cgroup that holds all pods.
func (m *Manager) KubePods() string { return path.Join(m.parent, m.name) }

// qosPath is the cgroup of a class.
func (m *Manager) qosPath(qos corev1.PodQOSClass) string {
	switch qos {
	case corev1.PodQOSBurstable:
		return path.Join(m.KubePods(), "burstable")
	case corev1.PodQOSBestEffort:
		return path.Join(m.KubePods(), "besteffort")
	}
	return m.KubePods()
}

// PodPath is the path of a pod's cgroup from the root of the hierarchy, which is
// what the CRI takes as a sandbox's cgroup parent.
func (m *Manager) PodPath(uid types.UID, qos corev1.PodQOSClass) string {
	return path.Join(m.qosPath(qos), "pod"+string(uid))
}

// Setup makes the classes' cgroups and bounds all pods together to what the
// node has for them. Zero values of allocatable are not enforced.
func (m *Manager) Setup(allocatable Resources) error {
	allocatable.CPUPeriod, allocatable.CPUQuota = 0, 0
	if err := m.ensure(m.KubePods(), allocatable); err != nil {
		return err
	}
	if err := m.ensure(m.qosPath(corev1.PodQOSBurstable), Resources{CPUShares: minShares}); err != nil {
		return err
	}
	return m.ensure(m.qosPath(corev1.PodQOSBestEffort), Resources{CPUShares: minShares})
}

// SetBurstableShares gives all burstable pods together their weight against
// guaranteed ones: the sum of their requests.
func (m *Manager) SetBurstableShares(milliCPU int64) error {
	return m.apply(m.qosPath(corev1.PodQOSBurstable), Resources{CPUShares: SharesOf(milliCPU)})
}

// EnsurePod makes the pod's cgroup with its limits. It is idempotent.
func (m *Manager) EnsurePod(pod *corev1.Pod, qos corev1.PodQOSClass) error {
	r := PodResources(pod, qos)
	if m.noQuota {
		r.CPUQuota = 0
	}
	return m.ensure(m.PodPath(pod.UID, qos), r)
}

// Exists tells whether the pod's cgroup is there.
func (m *Manager) Exists(uid types.UID, qos corev1.PodQOSClass) bool {
	_, err := os.Stat(m.anyDir(m.PodPath(uid, qos)))
	return err == nil
}

// anyDir is the directory of a cgroup in one of the hierarchies.
func (m *Manager) anyDir(cg string) string {
	for _, controller := range wanted {
		if dir := m.Dir(controller, cg); dir != "" {
			return dir
		}
	}
	return ""
}

// Dir is the directory of a cgroup in a controller's hierarchy, "" if there is
// no such controller.
func (m *Manager) Dir(controller, cg string) string {
	if m.unified {
		return filepath.Join(m.root, cg)
	}
	if dir := m.dirs[controller]; dir != "" {
		return filepath.Join(dir, cg)
	}
	return ""
}

func (m *Manager) ensure(cg string, r Resources) error {
	if m.unified {
		if err := m.makeUnified(cg); err != nil {
			return err
		}
	} else if err := m.makeLegacy(cg); err != nil {
		return err
	}
	return m.apply(cg, r)
}

// makeLegacy makes the directory in every v1 hierarchy, from the top, because a
// new cpuset is empty until it gets its parent's processors and memory nodes.
func (m *Manager) makeLegacy(cg string) error {
	for controller, mount := range m.dirs {
		dir := mount
		for part := range strings.SplitSeq(strings.Trim(cg, "/"), "/") {
			parent := dir
			dir = filepath.Join(dir, part)
			if err := os.Mkdir(dir, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
				return fmt.Errorf("cgroup: %w", err)
			}
			if controller == "cpuset" {
				if err := inheritCpuset(parent, dir); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

func inheritCpuset(parent, dir string) error {
	for _, name := range []string{"cpuset.cpus", "cpuset.mems"} {
		own, err := os.ReadFile(filepath.Join(dir, name))
		if err == nil && strings.TrimSpace(string(own)) != "" {
			continue
		}
		value, err := os.ReadFile(filepath.Join(parent, name))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return fmt.Errorf("cgroup: %w", err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), value, 0o644); err != nil {
			return fmt.Errorf("cgroup: %w", err)
		}
	}
	return nil
}

// makeUnified makes the directory and enables the controllers on the way down;
// a cgroup has only those that all its ancestors pass on.
func (m *Manager) makeUnified(cg string) error {
	dir := m.root
	for part := range strings.SplitSeq(strings.Trim(cg, "/"), "/") {
		m.enableControllers(dir)
		dir = filepath.Join(dir, part)
		if err := os.Mkdir(dir, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
			return fmt.Errorf("cgroup: %w", err)
		}
	}
	m.enableControllers(dir)
	return nil
}

// enableControllers passes on to dir's children what it has. One that cannot be
// passed on is left out: New has reported what the machine lacks.
func (m *Manager) enableControllers(dir string) {
	data, err := os.ReadFile(filepath.Join(dir, "cgroup.controllers"))
	if err != nil {
		return
	}
	enabled, _ := os.ReadFile(filepath.Join(dir, "cgroup.subtree_control"))
	on := strings.Fields(string(enabled))
	for _, controller := range strings.Fields(string(data)) {
		if slices.Contains(on, controller) {
			continue
		}
		if err := os.WriteFile(filepath.Join(dir, "cgroup.subtree_control"), []byte("+"+controller), 0o644); err != nil {
			m.log.Debug("cgroup controller cannot be enabled", "controller", controller, "cgroup", dir, "err", err)
		}
	}
}
