// Package metered counts and times what a node asks of its container runtime,
// under the kubelet's names.
//
//	m := metered.New()
//	runtime, images = m.Runtime(runtime), m.Images(images)
//	registry.MustRegister(m)
package metered

import (
	"context"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"skiff/metric"
)

// Meter counts operations. It is a prometheus.Collector.
type Meter struct {
	mu         sync.Mutex
	operations map[string]*operation
}

// operation is what is known of one kind of them.
type operation struct {
	errors    uint64
	count     uint64
	durations metric.Histogram
}

// New returns a Meter that has counted nothing.
func New() *Meter { return &Meter{operations: map[string]*operation{}} }

// buckets are upstream's.
var buckets = prometheus.ExponentialBuckets(.005, 2.5, 14)

func (m *Meter) observe(name string, took time.Duration, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	o := m.operations[name]
	if o == nil {
		o = &operation{durations: metric.NewHistogram(buckets)}
		m.operations[name] = o
	}
	o.count++
	if err != nil {
		o.errors++
	}
	o.durations.Observe(took)
}

// measure calls f.
func measure[Q, R any](m *Meter, name string, f func(context.Context, *Q) (*R, error), ctx context.Context, q *Q) (*R, error) {
	begin := time.Now()
	r, err := f(ctx, q)
	m.observe(name, time.Since(begin), err)
	return r, err
}

var (
	labels     = []string{"operation_type"}
	descCount  = prometheus.NewDesc("kubelet_runtime_operations_total", "Cumulative number of runtime operations by operation type.", labels, nil)
	descErrors = prometheus.NewDesc("kubelet_runtime_operations_errors_total", "Cumulative number of runtime operation errors by operation type.", labels, nil)
	descTook   = prometheus.NewDesc("kubelet_runtime_operations_duration_seconds",
		"Duration in seconds of runtime operations. Broken down by operation type.", labels, nil)
)

// Describe implements prometheus.Collector.
func (m *Meter) Describe(ch chan<- *prometheus.Desc) {
	ch <- descCount
	ch <- descErrors
	ch <- descTook
}

// Collect implements prometheus.Collector.
func (m *Meter) Collect(ch chan<- prometheus.Metric) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for name, o := range m.operations {
		ch <- metric.Counter(descCount, o.count, name)
		ch <- o.durations.Metric(descTook, name)
		if o.errors > 0 {
			ch <- metric.Counter(descErrors, o.errors, name)
		}
	}
}
