// Package metric keeps figures for Prometheus that cost next to nothing while
// nobody asks for them: numbers, of which Collect makes metrics. The library's own
// vectors keep ten times as much for each series, with all its labels spelt out,
// on boxes that most often nobody watches.
package metric

import (
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Histogram counts durations in buckets. It is not safe for concurrent use: its
// owner has a lock anyway.
type Histogram struct {
	limits []float64
	counts []uint64 // the last one is of what is above all limits
	sum    time.Duration
}

// NewHistogram returns an empty histogram. limits, in seconds and ascending, are
// not copied: all series of a metric share them.
func NewHistogram(limits []float64) Histogram {
	return Histogram{limits: limits, counts: make([]uint64, len(limits)+1)}
}

// Observe counts a duration.
func (h *Histogram) Observe(d time.Duration) {
	i, _ := slices.BinarySearch(h.limits, d.Seconds())
	h.counts[i]++
	h.sum += d
}

// Metric is the histogram as Prometheus has it.
func (h *Histogram) Metric(desc *prometheus.Desc, labels ...string) prometheus.Metric {
	upTo, total := make(map[float64]uint64, len(h.limits)), uint64(0)
	for i, limit := range h.limits {
		total += h.counts[i]
		upTo[limit] = total
	}
	total += h.counts[len(h.limits)]
	return prometheus.MustNewConstHistogram(desc, total, h.sum.Seconds(), upTo, labels...)
}

// Counter is a counter as Prometheus has it.
func Counter(desc *prometheus.Desc, n uint64, labels ...string) prometheus.Metric {
	return prometheus.MustNewConstMetric(desc, prometheus.CounterValue, float64(n), labels...)
}

// Gauge is a gauge as Prometheus has it.
func Gauge(desc *prometheus.Desc, v float64, labels ...string) prometheus.Metric {
	return prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, v, labels...)
}
