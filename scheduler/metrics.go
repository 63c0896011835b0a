package scheduler

import (
	"errors"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"skiff/scheduler/queue"
)

// The results of an attempt, as upstream's metrics name them.
const (
	resultScheduled     = "scheduled"
	resultUnschedulable = "unschedulable"
	resultError         = "error"
)

func resultOf(err error) string {
	if fit := (*fitError)(nil); errors.As(err, &fit) {
		return resultUnschedulable
	}
	return resultError
}

// metrics are the scheduler's; names and labels are upstream's.
type metrics struct {
	queue    *queue.Queue
	pending  *prometheus.Desc
	attempts *prometheus.CounterVec
	duration *prometheus.HistogramVec
}

func newMetrics(q *queue.Queue) *metrics {
	return &metrics{
		queue:   q,
		pending: prometheus.NewDesc("scheduler_pending_pods", "Number of pending pods, by the queue that they are in.", []string{"queue"}, nil),
		attempts: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "scheduler_schedule_attempts_total",
			Help: "Number of attempts to schedule pods, by the result. 'unschedulable' means a pod could not be scheduled, while 'error' means an internal scheduler problem.",
		}, []string{"result", "profile"}),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "scheduler_scheduling_attempt_duration_seconds",
			Help:    "Scheduling attempt latency in seconds, the binding included.",
			Buckets: prometheus.ExponentialBuckets(0.001, 2, 15),
		}, []string{"result", "profile"}),
	}
}

// attempt begins an attempt; the returned function ends it.
func (m *metrics) attempt() func(result string) {
	begin := time.Now()
	return func(result string) {
		m.attempts.WithLabelValues(result, Name).Inc()
		m.duration.WithLabelValues(result, Name).Observe(time.Since(begin).Seconds())
	}
}

// Describe implements prometheus.Collector.
func (m *metrics) Describe(ch chan<- *prometheus.Desc) {
	ch <- m.pending
	m.attempts.Describe(ch)
	m.duration.Describe(ch)
}

// Collect implements prometheus.Collector.
func (m *metrics) Collect(ch chan<- prometheus.Metric) {
	active, backoff, unschedulable, gated := m.queue.Len()
	for name, n := range map[string]int{"active": active, "backoff": backoff, "unschedulable": unschedulable, "gated": gated} {
		ch <- prometheus.MustNewConstMetric(m.pending, prometheus.GaugeValue, float64(n), name)
	}
	m.attempts.Collect(ch)
	m.duration.Collect(ch)
}

// Collector returns the scheduler's metrics.
func (s *Scheduler) Collector() prometheus.Collector { return s.metrics }
