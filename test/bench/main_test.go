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
	for _, p := range []int{50, 95} {
		b.ReportMetric(milliseconds(s.percentile(p)), fmt.Sprintf("%sp%d-ms", name, p))
	}
	b.ReportMetric(0, "ns/op")
}

// percentile is the least that p percent do not exceed.
func (s sample) percentile(p int) time.Duration {
	return slices.Sorted(slices.Values(s))[(len(s)-1)*p/100]
}

// reportMean reports the sample's mean: of processor times, which the kernel
// tells in whole ticks.
func (s sample) reportMean(b *testing.B, unit string) { b.ReportMetric(s.mean(), unit) }

// mean is in milliseconds.
func (s sample) mean() float64 {
	var sum time.Duration
	for _, d := range s {
		sum += d
	}
	return milliseconds(sum) / float64(len(s))
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// tick is the unit of times in /proc/PID/stat: 100 to the second, whatever the
// kernel's own is (proc(5)).
const tick = 10 * time.Millisecond

// processorTime is what a process has used, user and system.
func processorTime(b *testing.B, pid int) time.Duration {
	b.Helper()
	return statTimes(b, pid, 2)
}

// processorTimeOfAll is the same with its children that have ended.
func processorTimeOfAll(b *testing.B, pid int) time.Duration {
	b.Helper()
	return statTimes(b, pid, 4)
}

// statTimes is the sum of so many of a process's times: utime, stime, cutime,
// cstime.
func statTimes(b *testing.B, pid, n int) time.Duration {
	b.Helper()
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		b.Fatal(err)
	}
	// The second field is a name in parentheses, which may hold blanks; the times
	// are the 14th and those behind it.
	_, rest, _ := strings.Cut(string(stat), ") ")
	fields := strings.Fields(rest)
	var ticks int
	for _, f := range fields[11 : 11+n] {
		n, err := strconv.Atoi(f)
		if err != nil {
			b.Fatalf("%s: %v", stat, err)
		}
		ticks += n
	}
	return time.Duration(ticks) * tick
}
