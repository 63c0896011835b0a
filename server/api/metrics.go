package api

import (
	"net/http"
	"strconv"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"skiff/metric"
)

// metrics are the server's figures, under upstream's names and labels.
type metrics struct {
	registry   *prometheus.Registry
	requests   *requestMetrics
	terminated *prometheus.CounterVec
}

func newMetrics(s *Server) *metrics {
	m := &metrics{
		registry: prometheus.NewRegistry(),
		requests: newRequestMetrics(),
		terminated: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "apiserver_request_terminations_total",
			Help: "Number of requests which apiserver terminated in self-defense.",
		}, append(seriesLabels[:len(seriesLabels):len(seriesLabels)], "code")),
	}
	m.registry.MustRegister(m.requests, m.terminated, objectMetrics{s}, metric.BuildInfo(),
		inflight("readOnly", s.reads.Load), inflight("mutating", s.writes.Load),
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

func inflight(kind string, value func() int64) prometheus.Collector {
	return prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name:        "apiserver_current_inflight_requests",
		Help:        "Number of currently used inflight request limit of this apiserver per request kind.",
		ConstLabels: prometheus.Labels{"request_kind": kind},
	}, func() float64 { return float64(value()) })
}

// Metrics is the server's metrics registry: other parts of the process may add
// their own to /metrics.
func (s *Server) Metrics() *prometheus.Registry { return s.metrics.registry }

func (m *metrics) handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{})
}

// observe counts a finished call. What is not served is not counted: its names
// are the clients'.
func (m *metrics) observe(c *call, code int) {
	if c.endpoint != nil {
		m.requests.observe(c.key(), code, c.s.cfg.Now().Sub(c.start))
	}
}

// long counts the call while it is under way, if it is one that stays.
func (m *metrics) long(c *call) (end func()) {
	if !c.long {
		return func() {}
	}
	k := c.key()
	m.requests.stay(k, 1)
	return func() { m.requests.stay(k, -1) }
}

// streamed counts a stream that ended.
func (m *metrics) streamed(s *stream) {
	m.requests.stay(s.key, -1)
	m.requests.observe(s.key, http.StatusOK, s.s.cfg.Now().Sub(s.start))
}

// terminate counts a call that was refused before it was looked at.
func (m *metrics) terminate(c *call, code int) {
	k := seriesKey{gvr: schema.GroupVersionResource{Group: c.info.APIGroup, Version: c.info.APIVersion, Resource: c.info.Resource}, scope: scope(c.info)}
	if c.s.routes.Load().endpoints[k.gvr] == nil {
		k.gvr = schema.GroupVersionResource{}
	}
	k.verb = metricVerb(c.r, c.info, k.scope)
	m.terminated.WithLabelValues(k.labels(strconv.Itoa(code))...).Inc()
}
