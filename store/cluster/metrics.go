package cluster

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics are those that count as things happen; the others are read when they
// are collected.
type metrics struct {
	entries prometheus.Counter
	batches prometheus.Counter
	sync    prometheus.Histogram
}

func newMetrics() *metrics {
	return &metrics{
		entries: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "skiff_store_applied_entries_total", Help: "Raft log entries applied to the state.",
		}),
		batches: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "skiff_store_applied_batches_total", Help: "Batches in which Raft log entries were applied.",
		}),
		sync: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "skiff_store_fsync_duration_seconds", Help: "Time that an fsync of the Raft log took.",
			Buckets: prometheus.ExponentialBuckets(0.0001, 2, 15),
		}),
	}
}

func (m *metrics) synced(d time.Duration) { m.sync.Observe(d.Seconds()) }

func (m *metrics) applied(entries int) {
	m.entries.Add(float64(entries))
	m.batches.Inc()
}

var (
	descChanges  = prometheus.NewDesc("skiff_store_changes_total", "Keys changed since the start.", nil, nil)
	descRevision = prometheus.NewDesc("skiff_store_revision", "Revision of the last change.", nil, nil)
	descState    = prometheus.NewDesc("skiff_store_state_size_bytes", "Size of the state file.", nil, nil)
	descLog      = prometheus.NewDesc("skiff_store_log_size_bytes", "Size of the Raft log on disk.", nil, nil)
	descEvents   = prometheus.NewDesc("skiff_store_history_events", "Events kept for watches.", nil, nil)
	descHistory  = prometheus.NewDesc("skiff_store_history_size_bytes", "Memory that the events kept for watches take.", nil, nil)
	descLeader   = prometheus.NewDesc("skiff_store_leader", "1 if this server leads, 0 if not.", nil, nil)
)

// Describe implements prometheus.Collector.
func (s *Store) Describe(ch chan<- *prometheus.Desc) { prometheus.DescribeByCollect(s, ch) }

// Collect implements prometheus.Collector.
func (s *Store) Collect(ch chan<- prometheus.Metric) {
	s.metrics.entries.Collect(ch)
	s.metrics.batches.Collect(ch)
	s.metrics.sync.Collect(ch)
	gauge := func(d *prometheus.Desc, v float64) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v)
	}
	events, bytes := s.fsm.State().HistorySize()
	ready, _, _ := s.leadership.state()
	leader := 0.0
	if ready {
		leader = 1
	}
	ch <- prometheus.MustNewConstMetric(descChanges, prometheus.CounterValue, float64(s.fsm.Changes()))
	gauge(descRevision, float64(s.Revision()))
	gauge(descState, float64(s.fsm.Size()))
	gauge(descLog, float64(s.raftLog.Size()))
	gauge(descEvents, float64(events))
	gauge(descHistory, float64(bytes))
	gauge(descLeader, leader)
}
