package webhook

import (
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Metrics are upstream's figures of webhooks. The nil value counts nothing. It is a
// prometheus.Collector.
type Metrics struct {
	duration                      *prometheus.HistogramVec
	requests, rejections, ignored *prometheus.CounterVec
}

// NewMetrics returns figures that count from nothing.
func NewMetrics() *Metrics {
	const prefix = "apiserver_admission_webhook_"
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: prefix + name, Help: help}, append([]string{"name", "type"}, labels...))
	}
	return &Metrics{
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    prefix + "admission_duration_seconds",
			Help:    "How long webhooks took, by name, type (validating or admit), operation, and whether the write was refused.",
			Buckets: []float64{0.005, 0.025, 0.1, 0.5, 1, 2.5, 10, 25},
		}, []string{"name", "type", "operation", "rejected"}),
		requests: counter("request_total", "Calls of webhooks, also by the HTTP status code of the answer.", "operation", "code", "rejected"),
		rejections: counter("rejection_count", "Writes that webhooks ended, also by the kind of error (calling_webhook_error, "+
			"apiserver_internal_error, no_error) and the HTTP status code.", "operation", "error_type", "rejection_code"),
		ignored: counter("fail_open_count", "Failures of webhooks that were ignored by their failure policy."),
	}
}

func (m *Metrics) collectors() []prometheus.Collector {
	return []prometheus.Collector{m.duration, m.requests, m.rejections, m.ignored}
}

// Describe implements prometheus.Collector.
func (m *Metrics) Describe(ch chan<- *prometheus.Desc) {
	for _, c := range m.collectors() {
		c.Describe(ch)
	}
}

// Collect implements prometheus.Collector.
func (m *Metrics) Collect(ch chan<- prometheus.Metric) {
	for _, c := range m.collectors() {
		c.Collect(ch)
	}
}

// observe counts a call; reason is "" if it does not end the write.
func (m *Metrics) observe(inv *invocation, w *write, took time.Duration, code int, reason string) {
	if m == nil {
		return
	}
	kind, op, rejected := inv.metricType(), string(w.Operation), strconv.FormatBool(reason != "")
	// What a webhook makes up is one code for all.
	status := strconv.Itoa(min(code, 600))
	m.duration.WithLabelValues(inv.name, kind, op, rejected).Observe(took.Seconds())
	m.requests.WithLabelValues(inv.name, kind, op, status, rejected).Inc()
	if reason != "" {
		m.rejections.WithLabelValues(inv.name, kind, op, reason, status).Inc()
	}
}

func (m *Metrics) failOpen(inv *invocation) {
	if m != nil {
		m.ignored.WithLabelValues(inv.name, inv.metricType()).Inc()
	}
}
