package controller

import (
	"sync"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"

	"skiff/metric"
)

// Metrics are the figures of the loops: upstream's of their queues, by the
// loop's name, and how their reconciles ended. They are read where they are
// counted, when somebody asks.
type Metrics struct {
	mu    sync.Mutex
	loops map[string]*loop
}

// NewMetrics registers the metrics with r.
func NewMetrics(r prometheus.Registerer) (*Metrics, error) {
	m := &Metrics{loops: map[string]*loop{}}
	return m, r.Register(m)
}

// add counts a loop, in place of one that had its name: those of an earlier Run.
func (m *Metrics) add(l *loop) {
	if m == nil {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.loops[l.Name] = l
}

var (
	queueLabel = []string{"name"}

	descDepth   = prometheus.NewDesc("workqueue_depth", "Current depth of workqueue", queueLabel, nil)
	descAdds    = prometheus.NewDesc("workqueue_adds_total", "Total number of adds handled by workqueue", queueLabel, nil)
	descRetries = prometheus.NewDesc("workqueue_retries_total", "Total number of retries handled by workqueue", queueLabel, nil)
	descWaited  = prometheus.NewDesc("workqueue_queue_duration_seconds",
		"How long in seconds an item stays in workqueue before being requested.", queueLabel, nil)
	descWorked = prometheus.NewDesc("workqueue_work_duration_seconds",
		"How long in seconds processing an item from workqueue takes.", queueLabel, nil)
	descUnfinished = prometheus.NewDesc("workqueue_unfinished_work_seconds",
		"How many seconds of work is in progress and hasn't been observed by work_duration. Large values indicate stuck loops.", queueLabel, nil)
	descLongest = prometheus.NewDesc("workqueue_longest_running_processor_seconds",
		"How many seconds the longest running item of workqueue has been processed.", queueLabel, nil)
	descReconciles = prometheus.NewDesc("skiff_controller_reconciles_total",
		"Reconciles by controller and result (ok, conflict, error).", []string{"controller", "result"}, nil)
)

// Describe implements prometheus.Collector.
func (m *Metrics) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{descDepth, descAdds, descRetries, descWaited, descWorked, descUnfinished, descLongest, descReconciles} {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (m *Metrics) Collect(ch chan<- prometheus.Metric) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for name, l := range m.loops {
		l.queue.collect(ch, name)
		for i, result := range []string{"ok", "conflict", "error"} {
			ch <- metric.Counter(descReconciles, l.results[i].Load(), name, result)
		}
	}
}

// results count how reconciles ended: ok, conflict, error.
type results [3]atomic.Uint64

func (r *results) count(err error) {
	switch {
	case err == nil:
		r[0].Add(1)
	case quiet(err):
		r[1].Add(1)
	default:
		r[2].Add(1)
	}
}

// queueBuckets are upstream's, from ten nanoseconds to ten seconds.
var queueBuckets = prometheus.ExponentialBuckets(10e-9, 10, 10)

// counts are what a queue counts.
type counts struct {
	adds, retries  uint64
	waited, worked metric.Histogram
}

func newCounts() counts {
	return counts{waited: metric.NewHistogram(queueBuckets), worked: metric.NewHistogram(queueBuckets)}
}

func (q *queue) collect(ch chan<- prometheus.Metric, name string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	var unfinished, longest float64
	for _, since := range q.active {
		took := q.clock.Since(since).Seconds()
		unfinished += took
		longest = max(longest, took)
	}
	ch <- metric.Gauge(descDepth, float64(len(q.fifo)), name)
	ch <- metric.Counter(descAdds, q.counted.adds, name)
	ch <- metric.Counter(descRetries, q.counted.retries, name)
	ch <- q.counted.waited.Metric(descWaited, name)
	ch <- q.counted.worked.Metric(descWorked, name)
	ch <- metric.Gauge(descUnfinished, unfinished, name)
	ch <- metric.Gauge(descLongest, longest, name)
}
