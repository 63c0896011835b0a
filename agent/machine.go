package agent

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"skiff/agent/cgroup"
)

// machine is what does not change about the box while the agent runs.
type machine struct {
	cpus                                     int
	memory                                   int64
	swap                                     int64
	kernel, osImage, machineID, uuid, bootID string
	hugepages                                corev1.ResourceList
}

// inspect reads /proc and /sys.
func inspect() (machine, error) {
	m := machine{cpus: runtime.NumCPU(), hugepages: hugepages("/sys/kernel/mm/hugepages")}
	var err error
	if m.memory, m.swap, err = readMeminfo("/proc/meminfo"); err != nil {
		return m, err
	}
	var uts unix.Utsname
	if err := unix.Uname(&uts); err != nil {
		return m, fmt.Errorf("uname: %w", err)
	}
	m.kernel = string(bytes.TrimRight(uts.Release[:], "\x00"))
	m.osImage = osName("/etc/os-release")
	m.machineID = readWord("/etc/machine-id", "/var/lib/dbus/machine-id")
	m.uuid = readWord("/sys/class/dmi/id/product_uuid", "/proc/device-tree/vm,uuid", "/etc/machine-id")
	m.bootID = readWord("/proc/sys/kernel/random/boot_id")
	return m, nil
}

func readWord(paths ...string) string {
	for _, p := range paths {
		if data, err := os.ReadFile(p); err == nil {
			if s := strings.Trim(string(data), " \n\x00"); s != "" {
				return s
			}
		}
	}
	return ""
}

// readMeminfo returns the memory and the swap in bytes.
func readMeminfo(path string) (memory, swap int64, err error) {
	f, err := os.Open(path)
	if err != nil {
		return 0, 0, err
	}
	defer f.Close()
	for s := bufio.NewScanner(f); s.Scan(); {
		fields := strings.Fields(s.Text())
		if len(fields) < 2 {
			continue
		}
		n, _ := strconv.ParseInt(fields[1], 10, 64)
		switch fields[0] {
		case "MemTotal:":
			memory = n << 10
		case "SwapTotal:":
			swap = n << 10
		}
	}
	if memory == 0 {
		return 0, 0, fmt.Errorf("%s does not tell the size of the memory", path)
	}
	return memory, swap, nil
}

func osName(path string) string {
	data, err := os.ReadFile(path)
	if err != nil {
		return runtime.GOOS
	}
	for line := range strings.Lines(string(data)) {
		if v, ok := strings.CutPrefix(line, "PRETTY_NAME="); ok {
			return strings.Trim(strings.TrimSpace(v), `"'`)
		}
	}
	return runtime.GOOS
}

// hugepages returns the preallocated huge pages by resource name.
func hugepages(dir string) corev1.ResourceList {
	out := corev1.ResourceList{}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return out
	}
	for _, e := range entries {
		size, ok := strings.CutPrefix(e.Name(), "hugepages-")
		kb, err := strconv.ParseInt(strings.TrimSuffix(size, "kB"), 10, 64)
		if !ok || err != nil {
			continue
		}
		count, _ := strconv.ParseInt(readWord(filepath.Join(dir, e.Name(), "nr_hugepages")), 10, 64)
		page := resource.NewQuantity(kb<<10, resource.BinarySI)
		out[corev1.ResourceName(corev1.ResourceHugePagesPrefix+page.String())] = *resource.NewQuantity(count*kb<<10, resource.BinarySI)
	}
	return out
}

// capacity is all that the node has.
func (a *Agent) capacity() corev1.ResourceList {
	out := corev1.ResourceList{
		corev1.ResourceCPU:    *resource.NewQuantity(int64(a.machine.cpus), resource.DecimalSI),
		corev1.ResourceMemory: *resource.NewQuantity(a.machine.memory, resource.BinarySI),
		corev1.ResourcePods:   *resource.NewQuantity(int64(a.cfg.MaxPods), resource.DecimalSI),
	}
	var st unix.Statfs_t
	if err := unix.Statfs(a.cfg.DataDir, &st); err == nil {
		out[corev1.ResourceEphemeralStorage] = *resource.NewQuantity(int64(st.Blocks)*int64(st.Bsize), resource.BinarySI)
	}
	for name, q := range a.machine.hugepages {
		out[name] = q
	}
	return out
}

// allocatable is what pods may use: the capacity less what is reserved, and a
// tenth of the disk, which is where eviction will begin.
func (a *Agent) allocatable() corev1.ResourceList {
	out := a.capacity()
	if disk, ok := out[corev1.ResourceEphemeralStorage]; ok {
		out[corev1.ResourceEphemeralStorage] = *resource.NewQuantity(disk.Value()/10*9, resource.BinarySI)
	}
	memory := out[corev1.ResourceMemory]
	for name, q := range a.machine.hugepages {
		if !q.IsZero() && strings.HasPrefix(string(name), corev1.ResourceHugePagesPrefix) {
			memory.Sub(q)
		}
	}
	out[corev1.ResourceMemory] = memory
	for name, q := range a.cfg.Reserved {
		have, ok := out[name]
		if !ok {
			continue
		}
		have.Sub(q)
		if have.Sign() < 0 {
			have = resource.Quantity{Format: have.Format}
		}
		out[name] = have
	}
	return out
}

// allocatableCgroup bounds all pods together.
func (a *Agent) allocatableCgroup() cgroup.Resources {
	out := a.allocatable()
	return cgroup.Resources{CPUShares: cgroup.SharesOf(out.Cpu().MilliValue()), Memory: out.Memory().Value()}
}
