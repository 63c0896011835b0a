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

// How long a fleet is left alone before it is looked at, and over which time the
// server's processor is: two renewals of each lease.
const (
	fleetSettle = 15 * time.Second
	fleetWindow = 20 * time.Second
)

// fleetSizes are the points of the curve.
var fleetSizes = []int{0, 1, 10, 100, 300, 1000}

// BenchmarkFleet is what agents cost a server that have nothing to do: its memory
// and its share of a processor, with so many of them connected. `make fleet` runs
// it; it prints the table of docs/scale.md and draws the curve there.
func BenchmarkFleet(b *testing.B) {
	h := newHost(b)
	// The default range has room for 256 nodes.
	h.Start("--cluster-cidr", "10.64.0.0/12")
	fleet, err := hollow.New(b.Context(), hollow.Config{REST: h.RESTConfig(), DataDir: h.DataDir, Dial: h.Dial})
	if err != nil {
		b.Fatal(err)
	}
	var curve fleetCurve
	for b.Loop() {
		for _, n := range fleetSizes {
			growFleet(b, h, fleet, curve.last().agents, n)
			curve = append(curve, costOf(b, h, n))
		}
	}
	b.ReportMetric(0, "ns/op")
	if err := fleet.Stop(); err != nil {
		b.Error(err)
	}
	curve.print(os.Stdout)
	if err := os.WriteFile("../../docs/scale.svg", curve.plot(), 0o644); err != nil {
		b.Error(err)
	}
}

// costOf measures a server with n agents.
func costOf(b *testing.B, h *host.Host, n int) fleetCost {
	b.Helper()
	time.Sleep(fleetSettle)
	cpu := processorTime(b, h.PID())
	time.Sleep(fleetWindow)
	cpu = processorTime(b, h.PID()) - cpu
	c := fleetCost{agents: n, processor: 100 * cpu.Seconds() / fleetWindow.Seconds()}
	c.resident, c.anonymous = memory(b, h.PID())
	return c
}

// growFleet connects hollow agents, a few at a time, until there are n of them.
func growFleet(b *testing.B, h *host.Host, fleet *hollow.Fleet, from, n int) {
	b.Helper()
	var group errgroup.Group
	group.SetLimit(16)
	for i := from; i < n; i++ {
		group.Go(func() error { return fleet.Add(fmt.Sprintf("hollow-%04d", i)) })
	}
	if err := group.Wait(); err != nil {
		b.Fatal(err)
	}
	awaitBlocks(b, h, n)
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
