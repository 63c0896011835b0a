// Package stats collects what the node, its pods and containers use, on demand,
// in the shape of the kubelet's stats/summary API.
package stats

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
	statsapi "k8s.io/kubelet/pkg/apis/stats/v1alpha1"

	"skiff/agent/container"
)

// Runtime is what the statistics of pods come from.
type Runtime interface {
	ListPodSandboxStats(context.Context, *runtimeapi.ListPodSandboxStatsRequest) (*runtimeapi.ListPodSandboxStatsResponse, error)
}

// Images is what the statistics of the image file system come from.
type Images interface {
	ImageFsInfo(context.Context, *runtimeapi.ImageFsInfoRequest) (*runtimeapi.ImageFsInfoResponse, error)
}

// Collector collects statistics. It is safe for concurrent use.
type Collector struct {
	NodeName string
	// Dir is on the file system that counts as the node's.
	Dir     string
	Runtime Runtime
	Images  Images
	// Pods are the node's pods.
	Pods func() []*corev1.Pod

	mu   sync.Mutex
	last map[string]sample
}

// sample is a counter of processor time at a moment, to tell the present use.
type sample struct {
	at   time.Time
	used uint64
	rate *uint64
}

// Summary collects everything.
func (c *Collector) Summary(ctx context.Context) (*statsapi.Summary, error) {
	resp, err := c.Runtime.ListPodSandboxStats(ctx, &runtimeapi.ListPodSandboxStatsRequest{})
	if err != nil {
		return nil, fmt.Errorf("list the pods' statistics: %w", err)
	}
	s := &statsapi.Summary{Node: c.node(ctx)}
	started := map[string]*corev1.Pod{}
	for _, p := range c.Pods() {
		started[string(p.UID)] = p
	}
	for _, p := range resp.Stats {
		if ps, ok := c.pod(p, started); ok {
			s.Pods = append(s.Pods, ps)
		}
	}
	slices.SortFunc(s.Pods, func(a, b statsapi.PodStats) int {
		return strings.Compare(a.PodRef.Namespace+"/"+a.PodRef.Name, b.PodRef.Namespace+"/"+b.PodRef.Name)
	})
	c.trim()
	return s, nil
}

func (c *Collector) pod(p *runtimeapi.PodSandboxStats, pods map[string]*corev1.Pod) (statsapi.PodStats, bool) {
	labels := p.GetAttributes().GetLabels()
	uid := labels[container.LabelPodUID]
	if uid == "" {
		return statsapi.PodStats{}, false
	}
	out := statsapi.PodStats{
		PodRef:     statsapi.PodReference{Name: labels[container.LabelPodName], Namespace: labels[container.LabelPodNamespace], UID: uid},
		CPU:        c.cpu(uid, p.GetLinux().GetCpu()),
		Memory:     memory(p.GetLinux().GetMemory()),
		Network:    network(p.GetLinux().GetNetwork()),
		Containers: []statsapi.ContainerStats{},
	}
	pod := pods[uid]
	if pod != nil && pod.Status.StartTime != nil {
		out.StartTime = *pod.Status.StartTime
	}
	if n := p.GetLinux().GetProcess().GetProcessCount(); n != nil {
		out.ProcessStats = &statsapi.ProcessStats{ProcessCount: &n.Value}
	}
	for _, one := range p.GetLinux().GetContainers() {
		if one.Cpu == nil && one.Memory == nil {
			continue // it does not run
		}
		out.Containers = append(out.Containers, c.container(one, pod))
	}
	return out, true
}

func (c *Collector) container(s *runtimeapi.ContainerStats, pod *corev1.Pod) statsapi.ContainerStats {
	name := s.GetAttributes().GetMetadata().GetName()
	out := statsapi.ContainerStats{Name: name, CPU: c.cpu(s.GetAttributes().GetId(), s.Cpu), Memory: memory(s.Memory)}
	if pod != nil {
		for _, st := range slices.Concat(pod.Status.ContainerStatuses, pod.Status.InitContainerStatuses) {
			if st.Name == name && st.State.Running != nil {
				out.StartTime = st.State.Running.StartedAt
			}
		}
	}
	if w := s.WritableLayer; w != nil {
		out.Rootfs = &statsapi.FsStats{Time: when(w.Timestamp), UsedBytes: value(w.UsedBytes), InodesUsed: value(w.InodesUsed)}
	}
	return out
}

// cpu fills in the present use if the runtime tells only the sum.
func (c *Collector) cpu(key string, u *runtimeapi.CpuUsage) *statsapi.CPUStats {
	if u == nil {
		return nil
	}
	out := &statsapi.CPUStats{Time: when(u.Timestamp), UsageCoreNanoSeconds: value(u.UsageCoreNanoSeconds), UsageNanoCores: value(u.UsageNanoCores)}
	if out.UsageNanoCores == nil && out.UsageCoreNanoSeconds != nil {
		out.UsageNanoCores = c.rate(key, time.Unix(0, u.Timestamp), *out.UsageCoreNanoSeconds)
	}
	return out
}

// rate is the use between this and the sample before, in nanoseconds a second.
func (c *Collector) rate(key string, at time.Time, used uint64) *uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.last == nil {
		c.last = map[string]sample{}
	}
	before, ok := c.last[key]
	if ok && at.Sub(before.at) < 100*time.Millisecond {
		return before.rate
	}
	now := sample{at: at, used: used}
	if ok && used >= before.used {
		r := uint64(float64(used-before.used) / at.Sub(before.at).Seconds())
		now.rate = &r
	}
	c.last[key] = now
	return now.rate
}

// trim forgets what was not seen for long.
func (c *Collector) trim() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for key, s := range c.last {
		if time.Since(s.at) > 10*time.Minute {
			delete(c.last, key)
		}
	}
}

func memory(u *runtimeapi.MemoryUsage) *statsapi.MemoryStats {
	if u == nil {
		return nil
	}
	return &statsapi.MemoryStats{
		Time: when(u.Timestamp), AvailableBytes: value(u.AvailableBytes), UsageBytes: value(u.UsageBytes), WorkingSetBytes: value(u.WorkingSetBytes),
		RSSBytes: value(u.RssBytes), PageFaults: value(u.PageFaults), MajorPageFaults: value(u.MajorPageFaults),
	}
}

func network(u *runtimeapi.NetworkUsage) *statsapi.NetworkStats {
	if u == nil {
		return nil
	}
	out := &statsapi.NetworkStats{Time: when(u.Timestamp)}
	add := func(i *runtimeapi.NetworkInterfaceUsage) {
		out.Interfaces = append(out.Interfaces, statsapi.InterfaceStats{
			Name: i.Name, RxBytes: value(i.RxBytes), RxErrors: value(i.RxErrors), TxBytes: value(i.TxBytes), TxErrors: value(i.TxErrors),
		})
	}
	if u.DefaultInterface != nil {
		add(u.DefaultInterface)
		out.InterfaceStats = out.Interfaces[0]
	}
	for _, i := range u.Interfaces {
		if i.Name != u.DefaultInterface.GetName() { // runtimes differ in whether it is among these
			add(i)
		}
	}
	return out
}

func value(v *runtimeapi.UInt64Value) *uint64 {
	if v == nil {
		return nil
	}
	return &v.Value
}

func when(ns int64) metav1.Time { return metav1.NewTime(time.Unix(0, ns)) }
