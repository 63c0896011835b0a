package client

import (
	"context"
	"net/url"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/client-go/tools/metrics"

	"skiff/metric"
)

// Metrics returns the figures of all clients of the process, which client-go
// counts in one place. The first call begins to count.
func Metrics() prometheus.Collector { return requests() }

var requests = sync.OnceValue(func() *requestMetrics {
	m := &requestMetrics{results: map[result]uint64{}, durations: map[call]*metric.Histogram{}}
	metrics.Register(metrics.RegisterOpts{RequestResult: m, RequestLatency: latency{m}})
	return m
})

// requestMetrics count requests.
type requestMetrics struct {
	mu        sync.Mutex
	results   map[result]uint64
	durations map[call]*metric.Histogram
}

type result struct{ code, method, host string }

type call struct{ verb, host string }

// durationBuckets are upstream's.
var durationBuckets = []float64{0.005, 0.025, 0.1, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 30.0, 60.0}

// Increment implements metrics.ResultMetric.
func (m *requestMetrics) Increment(_ context.Context, code, method, host string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.results[result{code, method, host}]++
}

// latency makes a metrics.LatencyMetric of them.
type latency struct{ m *requestMetrics }

// Observe implements metrics.LatencyMetric.
func (l latency) Observe(_ context.Context, verb string, u url.URL, took time.Duration) {
	l.m.mu.Lock()
	defer l.m.mu.Unlock()
	r := call{verb, u.Host}
	h := l.m.durations[r]
	if h == nil {
		empty := metric.NewHistogram(durationBuckets)
		h = &empty
		l.m.durations[r] = h
	}
	h.Observe(took)
}

var (
	descResults = prometheus.NewDesc("rest_client_requests_total",
		"Number of HTTP requests, partitioned by status code, method, and host.", []string{"code", "method", "host"}, nil)
	descTook = prometheus.NewDesc("rest_client_request_duration_seconds",
		"Request latency in seconds. Broken down by verb, and host.", []string{"verb", "host"}, nil)
)

// Describe implements prometheus.Collector.
func (m *requestMetrics) Describe(ch chan<- *prometheus.Desc) {
	ch <- descResults
	ch <- descTook
}

// Collect implements prometheus.Collector.
func (m *requestMetrics) Collect(ch chan<- prometheus.Metric) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for r, n := range m.results {
		ch <- metric.Counter(descResults, n, r.code, r.method, r.host)
	}
	for r, h := range m.durations {
		ch <- h.Metric(descTook, r.verb, r.host)
	}
}
