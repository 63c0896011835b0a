package bench

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"skiff/test/e2e/host"
)

// newHost makes a host, or skips the benchmark where that is impossible.
func newHost(b *testing.B) *host.Host {
	b.Helper()
	if err := host.Usable(); err != nil {
		b.Skip(err)
	}
	return host.New(b, host.Config{})
}

// sample is what was measured, once per iteration.
type sample []time.Duration

// report reports the sample's percentiles in place of the time per iteration,
// in which the benchmark cleans up as well.
func (s sample) report(b *testing.B, name string) {
	slices.Sort(s)
	for _, p := range []int{50, 95} {
		b.ReportMetric(milliseconds(s[(len(s)-1)*p/100]), fmt.Sprintf("%sp%d-ms", name, p))
	}
	b.ReportMetric(0, "ns/op")
}

// reportMean reports the sample's mean: of processor times, which the kernel
// tells in whole ticks.
func (s sample) reportMean(b *testing.B, unit string) {
	var sum time.Duration
	for _, d := range s {
		sum += d
	}
	b.ReportMetric(milliseconds(sum)/float64(len(s)), unit)
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// tick is the unit of times in /proc/PID/stat: 100 to the second, whatever the
// kernel's own is (proc(5)).
const tick = 10 * time.Millisecond

// processorTime is what a process has used, user and system.
func processorTime(b *testing.B, pid int) time.Duration {
	b.Helper()
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		b.Fatal(err)
	}
	// The second field is a name in parentheses, which may hold blanks; utime and
	// stime are the 14th and 15th.
	_, rest, _ := strings.Cut(string(stat), ") ")
	fields := strings.Fields(rest)
	var ticks int
	for _, f := range fields[11:13] {
		n, err := strconv.Atoi(f)
		if err != nil {
			b.Fatalf("%s: %v", stat, err)
		}
		ticks += n
	}
	return time.Duration(ticks) * tick
}
