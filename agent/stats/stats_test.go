package stats

import (
	"context"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"skiff/agent/container"
)

// pods is a runtime that answers with the same each time.
type pods []*runtimeapi.PodSandboxStats

func (p pods) ListPodSandboxStats(context.Context, *runtimeapi.ListPodSandboxStatsRequest) (*runtimeapi.ListPodSandboxStatsResponse, error) {
	return &runtimeapi.ListPodSandboxStatsResponse{Stats: p}, nil
}

func number(n uint64) *runtimeapi.UInt64Value { return &runtimeapi.UInt64Value{Value: n} }

func TestSummary(t *testing.T) {
	at := time.Now().UnixNano()
	attributes := func(name string) *runtimeapi.ContainerAttributes {
		return &runtimeapi.ContainerAttributes{Id: name, Metadata: &runtimeapi.ContainerMetadata{Name: name}}
	}
	eth0 := &runtimeapi.NetworkInterfaceUsage{Name: "eth0", RxBytes: number(10), TxBytes: number(20)}
	started := metav1.NewTime(time.Unix(1000, 0))
	c := Collector{NodeName: "n1", Dir: t.TempDir(), Runtime: pods{
		{Attributes: &runtimeapi.PodSandboxAttributes{Labels: map[string]string{}}},
		{
			Attributes: &runtimeapi.PodSandboxAttributes{Labels: map[string]string{container.LabelPodName: "web", container.LabelPodNamespace: "ns", container.LabelPodUID: "u1"}},
			Linux: &runtimeapi.LinuxPodSandboxStats{
				Network: &runtimeapi.NetworkUsage{Timestamp: at, DefaultInterface: eth0, Interfaces: []*runtimeapi.NetworkInterfaceUsage{eth0, {Name: "net1"}}},
				Containers: []*runtimeapi.ContainerStats{
					{Attributes: attributes("dead"), WritableLayer: &runtimeapi.FilesystemUsage{UsedBytes: number(1)}},
					{Attributes: attributes("main"), Cpu: &runtimeapi.CpuUsage{Timestamp: at, UsageCoreNanoSeconds: number(5)}, Memory: &runtimeapi.MemoryUsage{WorkingSetBytes: number(7)}},
				},
			},
		},
	}, Pods: func() []*corev1.Pod {
		p := &corev1.Pod{Status: corev1.PodStatus{ContainerStatuses: []corev1.ContainerStatus{
			{Name: "main", State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: started}}},
		}}}
		p.UID = "u1"
		return []*corev1.Pod{p}
	}}
	s, err := c.Summary(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if s.Node.NodeName != "n1" || s.Node.Memory == nil || s.Node.Fs == nil {
		t.Errorf("node %+v", s.Node)
	}
	if len(s.Pods) != 1 || s.Pods[0].PodRef.Name != "web" {
		t.Fatalf("pods %+v", s.Pods)
	}
	if n := s.Pods[0].Network; len(n.Interfaces) != 2 || n.Name != "eth0" || *n.RxBytes != 10 || n.Interfaces[1].Name != "net1" {
		t.Errorf("network %+v", n)
	}
	if list := s.Pods[0].Containers; len(list) != 1 || list[0].Name != "main" || !list[0].StartTime.Equal(&started) || *list[0].Memory.WorkingSetBytes != 7 {
		t.Errorf("containers %+v", list)
	}
}

func TestRate(t *testing.T) {
	var c Collector
	at := time.Unix(1000, 0)
	for _, step := range []struct {
		after time.Duration
		used  uint64
		want  uint64 // 0 for not known
	}{
		{0, 100, 0},
		{2 * time.Second, 300, 100},
		{2*time.Second + time.Millisecond, 400, 100}, // too soon to tell
		{4 * time.Second, 1300, 500},
		{5 * time.Second, 10, 0}, // it began anew
	} {
		got := c.rate("x", at.Add(step.after), step.used)
		if (got == nil) != (step.want == 0) || got != nil && *got != step.want {
			t.Errorf("after %v: %v, want %d", step.after, got, step.want)
		}
	}
}
