package controller

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Metrics count what the loops do.
type Metrics struct {
	reconciles *prometheus.CounterVec
	seconds    *prometheus.CounterVec
}

// NewMetrics registers the metrics with r.
func NewMetrics(r prometheus.Registerer) (*Metrics, error) {
	m := &Metrics{
		reconciles: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "skiff_controller_reconciles_total",
			Help: "Reconciles by controller and result (ok, conflict, error).",
		}, []string{"controller", "result"}),
		seconds: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "skiff_controller_reconcile_seconds_total",
			Help: "Time spent in reconciles by controller.",
		}, []string{"controller"}),
	}
	for _, c := range []prometheus.Collector{m.reconciles, m.seconds} {
		if err := r.Register(c); err != nil {
			return nil, err
		}
	}
	return m, nil
}

func (m *Metrics) observe(name string, d time.Duration, err error) {
	if m == nil {
		return
	}
	result := "ok"
	switch {
	case err == nil:
	case quiet(err):
		result = "conflict"
	default:
		result = "error"
	}
	m.reconciles.WithLabelValues(name, result).Inc()
	m.seconds.WithLabelValues(name).Add(d.Seconds())
}
