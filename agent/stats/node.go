package stats

import (
	"bytes"
	"context"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
	statsapi "k8s.io/kubelet/pkg/apis/stats/v1alpha1"
)

// userHZ is the unit of the times in /proc/stat.
const userHZ = 100

// node reads the whole machine's use from /proc.
func (c *Collector) node(ctx context.Context) statsapi.NodeStats {
	now := metav1.Now()
	out := statsapi.NodeStats{NodeName: c.NodeName, Memory: nodeMemory(now), Fs: fsStats(c.Dir, now), Network: nodeNetwork(now)}
	if used, boot, ok := processorTime(); ok {
		out.CPU = &statsapi.CPUStats{Time: now, UsageCoreNanoSeconds: &used, UsageNanoCores: c.rate("node", now.Time, used)}
		out.StartTime = metav1.NewTime(boot)
	}
	if c.Images != nil {
		out.Runtime = c.imageFs(ctx, now)
	}
	return out
}

// processorTime is the time that all processors were busy since the start, in
// nanoseconds, and when that was.
func processorTime() (used uint64, boot time.Time, ok bool) {
	data, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0, boot, false
	}
	for line := range strings.Lines(string(data)) {
		fields := strings.Fields(line)
		switch {
		case len(fields) >= 9 && fields[0] == "cpu":
			// user nice system idle iowait irq softirq steal
			for i, f := range fields[1:9] {
				if i != 3 && i != 4 {
					n, _ := strconv.ParseUint(f, 10, 64)
					used += n
				}
			}
		case len(fields) == 2 && fields[0] == "btime":
			n, _ := strconv.ParseInt(fields[1], 10, 64)
			boot = time.Unix(n, 0)
		}
	}
	return used * (1e9 / userHZ), boot, true
}

func nodeMemory(now metav1.Time) *statsapi.MemoryStats {
	data, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return nil
	}
	m := map[string]uint64{}
	for line := range bytes.Lines(data) {
		name, rest, ok := bytes.Cut(line, []byte(":"))
		if fields := bytes.Fields(rest); ok && len(fields) > 0 {
			n, _ := strconv.ParseUint(string(fields[0]), 10, 64)
			m[string(name)] = n << 10
		}
	}
	usage := m["MemTotal"] - m["MemFree"]
	available := m["MemAvailable"]
	working := m["MemTotal"] - available
	rss := m["AnonPages"]
	return &statsapi.MemoryStats{Time: now, AvailableBytes: &available, UsageBytes: &usage, WorkingSetBytes: &working, RSSBytes: &rss}
}

func fsStats(dir string, now metav1.Time) *statsapi.FsStats {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return nil
	}
	size := uint64(st.Bsize)
	available, capacity, used := st.Bavail*size, st.Blocks*size, (st.Blocks-st.Bfree)*size
	inodesUsed := st.Files - st.Ffree
	return &statsapi.FsStats{Time: now, AvailableBytes: &available, CapacityBytes: &capacity, UsedBytes: &used, Inodes: &st.Files, InodesFree: &st.Ffree, InodesUsed: &inodesUsed}
}

func (c *Collector) imageFs(ctx context.Context, now metav1.Time) *statsapi.RuntimeStats {
	resp, err := c.Images.ImageFsInfo(ctx, &runtimeapi.ImageFsInfoRequest{})
	if err != nil || len(resp.ImageFilesystems) == 0 {
		return nil
	}
	fs := fsStats(c.Dir, now)
	if fs == nil {
		fs = &statsapi.FsStats{Time: now}
	}
	fs.UsedBytes, fs.InodesUsed = value(resp.ImageFilesystems[0].UsedBytes), value(resp.ImageFilesystems[0].InodesUsed)
	return &statsapi.RuntimeStats{ImageFs: fs}
}

// podLinks begin the names of links that lead to pods, which are not the node's
// own traffic.
var podLinks = []string{"veth", "skv"}

// nodeNetwork sums up the interfaces; the first that is not loopback counts as
// the default one.
func nodeNetwork(now metav1.Time) *statsapi.NetworkStats {
	data, err := os.ReadFile("/proc/net/dev")
	if err != nil {
		return nil
	}
	out := &statsapi.NetworkStats{Time: now}
	for line := range strings.Lines(string(data)) {
		name, rest, ok := strings.Cut(line, ":")
		fields := strings.Fields(rest)
		name = strings.TrimSpace(name)
		ofPod := slices.ContainsFunc(podLinks, func(p string) bool { return strings.HasPrefix(name, p) })
		if !ok || name == "lo" || ofPod || len(fields) < 11 {
			continue
		}
		n := func(i int) *uint64 { v, _ := strconv.ParseUint(fields[i], 10, 64); return &v }
		out.Interfaces = append(out.Interfaces, statsapi.InterfaceStats{Name: name, RxBytes: n(0), RxErrors: n(2), TxBytes: n(8), TxErrors: n(10)})
	}
	if len(out.Interfaces) > 0 {
		out.InterfaceStats = out.Interfaces[0]
	}
	return out
}
