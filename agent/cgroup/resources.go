package cgroup

import (
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	resourcehelper "k8s.io/component-helpers/resource"
)

const (
	minShares      = 2
	maxShares      = 262144
	sharesPerCPU   = 1024
	minQuota       = 1000
	DefaultPeriod  = 100000
	milliCPUPerCPU = 1000
)

// Resources are limits of a cgroup; zero leaves the kernel's default.
type Resources struct {
	// CPUShares is the weight, in cgroup v1's unit of 1024 a processor.
	CPUShares int64
	// CPUQuota and CPUPeriod bound the processor time, in microseconds.
	CPUQuota, CPUPeriod int64
	// Memory is the limit in bytes.
	Memory int64
	// Hugepages are limits in bytes by page size ("2MB"). A nil map sets none;
	// in any other, sizes that are missing are forbidden.
	Hugepages map[string]int64
}

// SharesOf converts a processor request.
func SharesOf(milliCPU int64) int64 {
	return min(max(milliCPU*sharesPerCPU/milliCPUPerCPU, minShares), maxShares)
}

// QuotaOf converts a processor limit into a quota for a period, both in
// microseconds; 0 is no limit.
func QuotaOf(milliCPU, period int64) int64 {
	if milliCPU == 0 {
		return 0
	}
	return max(milliCPU*period/milliCPUPerCPU, minQuota)
}

// WeightOf converts cgroup v1 shares [2..262144] to a cgroup v2 weight
// [1..10000], so that the defaults 1024 and 100 correspond (the curve of runc
// and crun since 2025).
func WeightOf(shares int64) int64 {
	switch {
	case shares == 0:
		return 0
	case shares <= minShares:
		return 1
	case shares >= maxShares:
		return 10000
	}
	l := math.Log2(float64(shares))
	return int64(math.Ceil(math.Pow(10, (l*l+125*l)/612.0-7.0/34.0)))
}

// PodResources are the limits of a pod's cgroup. Processor and memory are bounded
// only if every container is (KEP-2837: or the pod as a whole).
func PodResources(pod *corev1.Pod, qos corev1.PodQOSClass) Resources {
	requests := resourcehelper.PodRequests(pod, resourcehelper.PodResourcesOptions{})
	limits := resourcehelper.PodLimits(pod, resourcehelper.PodResourcesOptions{})
	cpuLimited, memoryLimited := allLimited(pod)
	if qos == corev1.PodQOSBestEffort {
		return Resources{CPUShares: minShares, Hugepages: map[string]int64{}}
	}
	r := Resources{CPUShares: SharesOf(requests.Cpu().MilliValue()), Hugepages: hugepages(limits)}
	if cpuLimited {
		r.CPUPeriod = DefaultPeriod
		r.CPUQuota = QuotaOf(limits.Cpu().MilliValue(), DefaultPeriod)
	}
	if memoryLimited {
		r.Memory = limits.Memory().Value()
	}
	return r
}

// allLimited tells whether the processor and the memory of the whole pod are bounded.
func allLimited(pod *corev1.Pod) (cpu, memory bool) {
	cpu, memory = true, true
	for _, containers := range [][]corev1.Container{pod.Spec.InitContainers, pod.Spec.Containers} {
		for i := range containers {
			limits := containers[i].Resources.Limits
			cpu = cpu && !limits.Cpu().IsZero()
			memory = memory && !limits.Memory().IsZero()
		}
	}
	if r := pod.Spec.Resources; r != nil {
		cpu = cpu || !r.Limits.Cpu().IsZero()
		memory = memory || !r.Limits.Memory().IsZero()
	}
	return cpu, memory
}

// hugepages returns the limits by the kernel's names of page sizes.
func hugepages(limits corev1.ResourceList) map[string]int64 {
	out := map[string]int64{}
	for name, quantity := range limits {
		if size, ok := strings.CutPrefix(string(name), corev1.ResourceHugePagesPrefix); ok {
			if name, err := HugepageName(size); err == nil {
				out[name] = quantity.Value()
			}
		}
	}
	return out
}

// HugepageName returns the kernel's name of a page size given as a quantity:
// "2Mi" is "2MB".
func HugepageName(size string) (string, error) {
	q, err := resource.ParseQuantity(size)
	if err != nil {
		return "", fmt.Errorf("hugepage size %q: %w", size, err)
	}
	n := q.Value()
	for _, unit := range []string{"B", "KB", "MB", "GB", "TB"} {
		if n < 1024 {
			return strconv.FormatInt(n, 10) + unit, nil
		}
		n /= 1024
	}
	return "", fmt.Errorf("hugepage size %q is too large", size)
}

// apply writes r into the cgroup's files. A file that is missing belongs to a
// controller that the machine lacks.
func (m *Manager) apply(cg string, r Resources) error {
	if m.unified {
		return m.applyUnified(cg, r)
	}
	var errs []error
	set := func(controller, file string, value int64) {
		if dir := m.Dir(controller, cg); dir != "" && value != 0 {
			errs = append(errs, write(dir, file, strconv.FormatInt(value, 10)))
		}
	}
	set("cpu", "cpu.shares", r.CPUShares)
	set("cpu", "cpu.cfs_period_us", r.CPUPeriod)
	set("cpu", "cpu.cfs_quota_us", r.CPUQuota)
	set("memory", "memory.limit_in_bytes", r.Memory)
	if dir := m.Dir("hugetlb", cg); dir != "" && r.Hugepages != nil {
		errs = append(errs, setHugepages(dir, ".limit_in_bytes", r.Hugepages))
	}
	return errors.Join(errs...)
}

func (m *Manager) applyUnified(cg string, r Resources) error {
	dir := filepath.Join(m.root, cg)
	var errs []error
	if r.CPUShares != 0 {
		errs = append(errs, write(dir, "cpu.weight", strconv.FormatInt(WeightOf(r.CPUShares), 10)))
	}
	if r.CPUQuota != 0 {
		errs = append(errs, write(dir, "cpu.max", fmt.Sprintf("%d %d", r.CPUQuota, r.CPUPeriod)))
	}
	if r.Memory != 0 {
		errs = append(errs, write(dir, "memory.max", strconv.FormatInt(r.Memory, 10)))
	}
	if r.Hugepages != nil {
		errs = append(errs, setHugepages(dir, ".max", r.Hugepages))
	}
	return errors.Join(errs...)
}

// setHugepages bounds every page size that the kernel has.
func setHugepages(dir, suffix string, limits map[string]int64) error {
	files, err := filepath.Glob(filepath.Join(dir, "hugetlb.*"+suffix))
	if err != nil {
		return fmt.Errorf("cgroup: %w", err)
	}
	var errs []error
	for _, file := range files {
		size := strings.TrimSuffix(strings.TrimPrefix(filepath.Base(file), "hugetlb."), suffix)
		if strings.Contains(size, ".") {
			continue // the reservation limits, hugetlb.2MB.rsvd.*
		}
		errs = append(errs, write(dir, filepath.Base(file), strconv.FormatInt(limits[size], 10)))
	}
	return errors.Join(errs...)
}

// write sets a value, without touching the file if it holds it already.
func write(dir, file, value string) error {
	name := filepath.Join(dir, file)
	f, err := os.OpenFile(name, os.O_WRONLY, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("cgroup: %w", err)
	}
	defer f.Close()
	if _, err := f.WriteString(value); err != nil {
		return fmt.Errorf("cgroup: write %q to %s: %w", value, name, err)
	}
	return nil
}
