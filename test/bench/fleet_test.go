package bench

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"skiff/test/bench/hollow"
	"skiff/test/e2e/host"
)

// How long a fleet is left alone before the server's memory is looked at, and
// over which time its processor is.
const (
	fleetSettle = 20 * time.Second
	fleetWindow = 40 * time.Second
)

// BenchmarkFleet is what agents cost the server that have nothing to do: its
// memory and its share of a processor, with so many of them connected. `make
// fleet` runs it.
func BenchmarkFleet(b *testing.B) {
	for _, n := range []int{0, 100, 250, 500, 1000} {
		b.Run(fmt.Sprintf("agents=%d", n), func(b *testing.B) {
			h := newHost(b)
			// The default range has room for 256 nodes.
			h.Start("--cluster-cidr", "10.64.0.0/12")
			fleet := startFleet(b, h, n)
			for b.Loop() {
				time.Sleep(fleetSettle)
				resident, anonymous := memory(b, h.PID())
				cpu := processorTime(b, h.PID())
				time.Sleep(fleetWindow)
				cpu = processorTime(b, h.PID()) - cpu
				b.ReportMetric(resident, "resident-MiB")
				b.ReportMetric(anonymous, "anonymous-MiB")
				b.ReportMetric(100*cpu.Seconds()/fleetWindow.Seconds(), "cpu-%")
				b.ReportMetric(0, "ns/op")
			}
			if err := fleet.Stop(); err != nil {
				b.Error(err)
			}
		})
	}
}

// startFleet connects n hollow agents, a few at a time.
func startFleet(b *testing.B, h *host.Host, n int) *hollow.Fleet {
	b.Helper()
	fleet, err := hollow.New(b.Context(), hollow.Config{REST: h.RESTConfig(), DataDir: h.DataDir, Dial: h.Dial})
	if err != nil {
		b.Fatal(err)
	}
	var group errgroup.Group
	group.SetLimit(16)
	for i := range n {
		group.Go(func() error { return fleet.Add(fmt.Sprintf("hollow-%04d", i)) })
	}
	if err := group.Wait(); err != nil {
		b.Fatal(err)
	}
	awaitBlocks(b, h, n)
	return fleet
}

// awaitBlocks waits until n nodes besides the server's have their address blocks:
// the last thing that is written when a node joins.
func awaitBlocks(b *testing.B, h *host.Host, n int) {
	b.Helper()
	ctx, cancel := context.WithTimeout(b.Context(), patience)
	defer cancel()
	client, err := kubernetes.NewForConfig(h.RESTConfig())
	if err != nil {
		b.Fatal(err)
	}
	nodes, err := client.CoreV1().Nodes().Watch(ctx, metav1.ListOptions{ResourceVersion: "0"})
	if err != nil {
		b.Fatal(err)
	}
	defer nodes.Stop()
	served := map[string]bool{}
	for e := range nodes.ResultChan() {
		if node, ok := e.Object.(*corev1.Node); ok && len(node.Spec.PodCIDRs) > 0 {
			served[node.Name] = true
		}
		if len(served) == n+1 {
			return
		}
	}
	b.Fatalf("%d of %d nodes have an address block after %s", len(served), n+1, patience)
}

// memory is what a process has in memory, in MiB: all of it, and what is its own
// and not a file's.
func memory(b *testing.B, pid int) (resident, anonymous float64) {
	b.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
	if err != nil {
		b.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		fields := strings.Fields(line)
		if len(fields) < 3 || fields[0] != "Rss:" && fields[0] != "Anonymous:" {
			continue
		}
		kib, err := strconv.Atoi(fields[1])
		if err != nil {
			b.Fatalf("%s: %v", line, err)
		}
		if fields[0] == "Rss:" {
			resident = float64(kib) / 1024
		} else {
			anonymous = float64(kib) / 1024
		}
	}
	return resident, anonymous
}
