package cluster_test

import (
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"skiff/store/cluster"
)

// TestIdle measures what a node's lease costs: bytes written to disk and CPU
// time, over the time given in SKIFF_IDLE. It asserts nothing.
func TestIdle(t *testing.T) {
	d, err := time.ParseDuration(os.Getenv("SKIFF_IDLE"))
	if err != nil {
		t.Skip("SKIFF_IDLE does not say for how long")
	}
	s := open(t, cluster.Config{Dir: t.TempDir()})
	put(t, s, "leases/a", "1", false)
	writes, cpu, start := written(t), cpuTime(), time.Now()
	end := time.After(d)
	for renewal := time.Tick(10 * time.Second); ; {
		put(t, s, "leases/kube-node-lease/a", strings.Repeat("x", 400), true)
		select {
		case <-renewal:
			continue
		case <-end:
		}
		break
	}
	hours := time.Since(start).Hours()
	t.Logf("%.1f MB an hour written, %.3f %% of a core", float64(written(t)-writes)/1e6/hours,
		100*(cpuTime()-cpu).Seconds()/time.Since(start).Seconds())
}

func written(t *testing.T) int64 {
	t.Helper()
	b, err := os.ReadFile("/proc/self/io")
	if err != nil {
		t.Skip(err)
	}
	for line := range strings.Lines(string(b)) {
		var n int64
		if _, err := fmt.Sscanf(line, "write_bytes: %d", &n); err == nil {
			return n
		}
	}
	return 0
}

func cpuTime() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
