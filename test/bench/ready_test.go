package bench

import (
	"testing"
	"time"

	"skiff/test/e2e/host"
)

// BenchmarkReadyEmpty is from the exec of `skiff server` without any data to its
// node's being Ready.
func BenchmarkReadyEmpty(b *testing.B) {
	h := newHost(b)
	var starts startTimes
	for b.Loop() {
		starts.add(b, h)
		h.Stop()
		h.Skiff("uninstall", "--yes")
	}
	starts.report(b)
}

// BenchmarkReadyWarm is the same on the data of an earlier run.
func BenchmarkReadyWarm(b *testing.B) {
	h := newHost(b)
	h.Start()
	h.Stop()
	var starts startTimes
	for b.Loop() {
		starts.add(b, h)
		h.Stop()
	}
	starts.report(b)
}

// startTimes are measured from outside.
type startTimes struct{ wall, cpu sample }

func (s *startTimes) add(b *testing.B, h *host.Host) {
	begin := time.Now()
	h.Start()
	s.wall = append(s.wall, time.Since(begin))
	s.cpu = append(s.cpu, processorTime(b, h.PID()))
}

func (s *startTimes) report(b *testing.B) {
	s.wall.report(b, "")
	s.cpu.reportMean(b, "cpu-ms")
}
