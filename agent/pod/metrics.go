package pod

import (
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"

	"skiff/metric"
)

// startBuckets are upstream's.
var startBuckets = []float64{
	0.5, 1, 2, 3, 4, 5, 6, 8, 10, 20, 30, 45, 60, 120, 180, 240, 300, 360, 480, 600, 900, 1200, 1800, 2700, 3600,
}

var (
	descPods  = prometheus.NewDesc("kubelet_running_pods", "Number of pods that have a running pod sandbox", nil, nil)
	descRuns  = prometheus.NewDesc("kubelet_running_containers", "Number of containers currently running", []string{"container_state"}, nil)
	descStart = prometheus.NewDesc("kubelet_pod_start_duration_seconds",
		"Duration in seconds from kubelet seeing a pod for the first time to the pod starting to run", nil, nil)
)

// starts are the times that pods took to run.
type starts struct {
	mu    sync.Mutex
	times metric.Histogram
}

// shown tells of a worker's state what the figures want to know: pods that ran
// when they were first seen were started by an earlier process.
func (s *starts) shown(before, now *shown, seen time.Time) {
	if before == nil || before.status.Phase != corev1.PodPending || now.status.Phase != corev1.PodRunning {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.times.Observe(time.Since(seen))
}

// Describe implements prometheus.Collector.
func (*Manager) Describe(ch chan<- *prometheus.Desc) {
	ch <- descPods
	ch <- descRuns
	ch <- descStart
}

// Collect implements prometheus.Collector.
func (m *Manager) Collect(ch chan<- prometheus.Metric) {
	pods, containers := 0, 0
	m.each(func(w *worker) {
		s := w.shown.Load()
		if s == nil {
			return
		}
		if s.sandbox != "" {
			pods++
		}
		for _, c := range s.containers {
			if c.running {
				containers++
			}
		}
	})
	ch <- metric.Gauge(descPods, float64(pods))
	ch <- metric.Gauge(descRuns, float64(containers), "running")
	m.starts.mu.Lock()
	defer m.starts.mu.Unlock()
	ch <- m.starts.times.Metric(descStart)
}
