package cgroup

import (
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// files that the kernel would make in each new cgroup, by hierarchy.
var legacyFiles = map[string][]string{
	"cpu":     {"cpu.shares", "cpu.cfs_quota_us", "cpu.cfs_period_us"},
	"memory":  {"memory.limit_in_bytes"},
	"hugetlb": {"hugetlb.2MB.limit_in_bytes"},
	"cpuset":  {"cpuset.cpus", "cpuset.mems"},
	"pids":    {},
}

var unifiedFiles = []string{"cgroup.controllers", "cgroup.subtree_control", "cpu.weight", "cpu.max", "memory.max", "hugetlb.2MB.max", "hugetlb.2MB.rsvd.max"}

// touch plays the kernel: it puts the files into all directories that lack them.
func touch(t *testing.T, dir string, files []string, content map[string]string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.IsDir() {
			return err
		}
		for _, f := range files {
			name := filepath.Join(path, f)
			if _, err := os.Stat(name); err != nil {
				if err := os.WriteFile(name, []byte(content[f]), 0o644); err != nil {
					return err
				}
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, parts ...string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(parts...))
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func testPod() *corev1.Pod {
	list := func(cpu, memory string) corev1.ResourceList {
		return corev1.ResourceList{corev1.ResourceCPU: resource.MustParse(cpu), corev1.ResourceMemory: resource.MustParse(memory)}
	}
	return &corev1.Pod{ObjectMeta: metav1.ObjectMeta{UID: "u1"}, Spec: corev1.PodSpec{Containers: []corev1.Container{
		{Name: "a", Resources: corev1.ResourceRequirements{Requests: list("250m", "32Mi"), Limits: list("500m", "64Mi")}},
		{Name: "b", Resources: corev1.ResourceRequirements{Requests: list("250m", "32Mi"), Limits: list("1", "64Mi")}},
	}}}
}

func TestLegacy(t *testing.T) {
	root := t.TempDir()
	for controller, files := range legacyFiles {
		if err := os.Mkdir(filepath.Join(root, controller), 0o755); err != nil {
			t.Fatal(err)
		}
		touch(t, filepath.Join(root, controller), files, map[string]string{"cpuset.cpus": "0-1", "cpuset.mems": "0"})
	}
	m, err := New(Config{Root: root, Parent: "box"}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	if m.Unified() {
		t.Error("a machine with v1 hierarchies counts as v2")
	}
	pod := testPod()
	if got, want := m.PodPath(pod.UID, corev1.PodQOSBurstable), "/box/kubepods/burstable/podu1"; got != want {
		t.Errorf("PodPath = %q, want %q", got, want)
	}
	if got, want := m.PodPath(pod.UID, corev1.PodQOSGuaranteed), "/box/kubepods/podu1"; got != want {
		t.Errorf("PodPath = %q, want %q", got, want)
	}
	// The first pass makes the directories, the second finds the kernel's files.
	for range 2 {
		if err := m.Setup(Resources{CPUShares: 2048, Memory: 1 << 30}); err != nil {
			t.Fatal(err)
		}
		if err := m.EnsurePod(pod, corev1.PodQOSBurstable); err != nil {
			t.Fatal(err)
		}
		for controller, files := range legacyFiles {
			touch(t, filepath.Join(root, controller, "box"), files, nil)
		}
	}
	dir := "box/kubepods/burstable/podu1"
	for _, c := range []struct{ controller, file, want string }{
		{"cpu", "cpu.shares", "512"},
		{"cpu", "cpu.cfs_quota_us", "150000"},
		{"cpu", "cpu.cfs_period_us", "100000"},
		{"memory", "memory.limit_in_bytes", "134217728"},
		{"hugetlb", "hugetlb.2MB.limit_in_bytes", "0"},
		{"cpuset", "cpuset.cpus", "0-1"},
		{"cpuset", "cpuset.mems", "0"},
	} {
		if got := read(t, root, c.controller, dir, c.file); got != c.want {
			t.Errorf("%s/%s = %q, want %q", c.controller, c.file, got, c.want)
		}
	}
	if got := read(t, root, "memory", "box/kubepods/memory.limit_in_bytes"); got != "1073741824" {
		t.Errorf("limit of all pods = %q", got)
	}
	if got := read(t, root, "cpu", "box/kubepods/besteffort/cpu.shares"); got != "2" {
		t.Errorf("weight of best-effort pods = %q", got)
	}
	if pods := m.Pods(); len(pods) != 1 || pods["u1"] != corev1.PodQOSBurstable {
		t.Errorf("Pods = %v", pods)
	}
	remove(t, m, root, pod.UID)
}

// remove plays the kernel, in whose directories files vanish with them.
func remove(t *testing.T, m *Manager, root string, uid types.UID) {
	t.Helper()
	filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() && strings.Contains(path, "pod"+string(uid)) {
			os.Remove(path)
		}
		return nil
	})
	for range 2 { // idempotent
		if err := m.RemovePod(uid); err != nil {
			t.Fatal(err)
		}
	}
	if _, left := m.Pods()[uid]; left {
		t.Errorf("after removal: %v", m.Pods())
	}
}

// TestRuntimesHierarchies: pods' cgroups go also where only the container runtime makes
// them, and where a removal that was broken off has left them.
func TestRuntimesHierarchies(t *testing.T) {
	root := t.TempDir()
	for _, dir := range []string{"cpu/kubepods", "memory", "devices/kubepods/besteffort/podu1/sandbox", "unified/kubepods/podu2"} {
		if err := os.MkdirAll(filepath.Join(root, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	m, err := New(Config{Root: root}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	if pods := m.Pods(); len(pods) != 2 || pods["u1"] != corev1.PodQOSBestEffort || pods["u2"] != corev1.PodQOSGuaranteed {
		t.Errorf("Pods = %v", pods)
	}
	remove(t, m, root, "u1")
	remove(t, m, root, "u2")
	for _, dir := range []string{"devices/kubepods/besteffort/podu1", "unified/kubepods/podu2"} {
		if _, err := os.Stat(filepath.Join(root, dir)); err == nil {
			t.Errorf("%s is still there", dir)
		}
	}
}

func TestUnified(t *testing.T) {
	root := t.TempDir()
	content := map[string]string{"cgroup.controllers": "cpuset cpu memory pids hugetlb"}
	touch(t, root, unifiedFiles, content)
	m, err := New(Config{Root: root, Parent: "/box"}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	if !m.Unified() {
		t.Fatal("a machine with cgroup.controllers does not count as v2")
	}
	pod := testPod()
	for range 2 {
		if err := m.Setup(Resources{CPUShares: 2048, Memory: 1 << 30}); err != nil {
			t.Fatal(err)
		}
		if err := m.EnsurePod(pod, corev1.PodQOSBurstable); err != nil {
			t.Fatal(err)
		}
		touch(t, root, unifiedFiles, content)
	}
	dir := filepath.Join(root, "box/kubepods/burstable/podu1")
	for _, c := range []struct{ file, want string }{
		{"cpu.weight", "59"},
		{"cpu.max", "150000 100000"},
		{"memory.max", "134217728"},
		{"hugetlb.2MB.max", "0"},
		{"hugetlb.2MB.rsvd.max", ""},
	} {
		if got := read(t, dir, c.file); got != c.want {
			t.Errorf("%s = %q, want %q", c.file, got, c.want)
		}
	}
	if got := read(t, root, "cgroup.subtree_control"); !strings.HasPrefix(got, "+") {
		t.Errorf("no controller was passed on: %q", got)
	}
	remove(t, m, root, pod.UID)
}

func TestMissingControllersAreReportedOnce(t *testing.T) {
	root := t.TempDir()
	if _, err := New(Config{Root: root}, slog.New(slog.DiscardHandler)); err == nil {
		t.Error("a machine without cgroups was accepted")
	}
	if err := os.Mkdir(filepath.Join(root, "memory"), 0o755); err != nil {
		t.Fatal(err)
	}
	var log strings.Builder
	m, err := New(Config{Root: root}, slog.New(slog.NewTextHandler(&log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(log.String(), "\n"); n != 1 || !strings.Contains(log.String(), "cpu,pids") {
		t.Errorf("%d log lines: %s", n, log.String())
	}
	if err := m.EnsurePod(testPod(), corev1.PodQOSBurstable); err != nil {
		t.Errorf("EnsurePod without a cpu controller: %v", err)
	}
	if m.Dir("cpu", "/x") != "" || m.Dir("memory", "/x") != filepath.Join(root, "memory", "x") {
		t.Error("Dir does not tell which hierarchies there are")
	}
}

func TestConversions(t *testing.T) {
	for _, c := range []struct{ milli, shares, weight int64 }{{0, 2, 1}, {1, 2, 1}, {100, 102, 17}, {1000, 1024, 100}, {1000000, 262144, 10000}} {
		if got := SharesOf(c.milli); got != c.shares {
			t.Errorf("SharesOf(%d) = %d, want %d", c.milli, got, c.shares)
		}
		if got := WeightOf(c.shares); got != c.weight {
			t.Errorf("WeightOf(%d) = %d, want %d", c.shares, got, c.weight)
		}
	}
	for _, c := range []struct{ milli, want int64 }{{0, 0}, {1, 1000}, {500, 50000}, {2500, 250000}} {
		if got := QuotaOf(c.milli, DefaultPeriod); got != c.want {
			t.Errorf("QuotaOf(%d) = %d, want %d", c.milli, got, c.want)
		}
	}
	for size, want := range map[string]string{"2Mi": "2MB", "1Gi": "1GB", "64Ki": "64KB"} {
		if got, err := HugepageName(size); err != nil || got != want {
			t.Errorf("HugepageName(%q) = %q, %v, want %q", size, got, err, want)
		}
	}
	unlimited := testPod()
	unlimited.Spec.Containers[1].Resources.Limits = nil
	if r := PodResources(unlimited, corev1.PodQOSBurstable); r.CPUQuota != 0 || r.Memory != 0 || r.CPUShares != 512 {
		t.Errorf("a pod with an unlimited container is limited: %+v", r)
	}
	if r := PodResources(testPod(), corev1.PodQOSBestEffort); r.CPUShares != 2 || r.Memory != 0 {
		t.Errorf("a best-effort pod: %+v", r)
	}
}
