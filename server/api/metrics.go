package api

import (
	"net/http"
	"strconv"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// metrics are the server's figures, under upstream's names. Labels are few:
// every combination costs memory for good.
type metrics struct {
	registry  *prometheus.Registry
	requests  *prometheus.CounterVec
	durations *prometheus.HistogramVec
	refused   *prometheus.CounterVec
	watchers  prometheus.Gauge
}

func newMetrics() *metrics {
	m := &metrics{
		registry: prometheus.NewRegistry(),
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "apiserver_request_total",
			Help: "Counter of apiserver requests broken out for each verb, group, version, resource, subresource and HTTP response code.",
		}, []string{"verb", "group", "version", "resource", "subresource", "code"}),
		durations: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "apiserver_request_duration_seconds",
			Help:    "Response latency distribution in seconds for each verb and resource, without long-running requests.",
			Buckets: []float64{0.001, 0.005, 0.025, 0.1, 0.5, 2, 10},
		}, []string{"verb", "resource"}),
		refused: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "apiserver_dropped_requests_total",
			Help: "Number of requests dropped with 'Try again later' response.",
		}, []string{"request_kind"}),
		watchers: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "apiserver_longrunning_requests",
			Help: "Gauge of all active watches.",
		}),
	}
	m.registry.MustRegister(m.requests, m.durations, m.refused, m.watchers,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

// inflight adds the gauges that read the server's own counters.
func (m *metrics) inflight(s *Server) {
	gauge := func(kind string, value func() int64) {
		m.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name:        "apiserver_current_inflight_requests",
			Help:        "Number of currently used inflight request limit of this apiserver per request kind.",
			ConstLabels: prometheus.Labels{"request_kind": kind},
		}, func() float64 { return float64(value()) }))
	}
	gauge("readOnly", s.reads.Load)
	gauge("mutating", s.writes.Load)
}

// Metrics is the server's metrics registry: other parts of the process may add
// their own to /metrics.
func (s *Server) Metrics() *prometheus.Registry { return s.metrics.registry }

func (m *metrics) handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{})
}

var verbNames = map[string]string{
	"get": "GET", "list": "LIST", "watch": "WATCH", "create": "POST", "update": "PUT", "patch": "PATCH",
	"delete": "DELETE", "deletecollection": "DELETECOLLECTION",
}

// observe counts a finished call. Paths that are not served are counted
// together: their names are the clients'.
func (m *metrics) observe(c *call, code int) {
	if c.info == nil || c.endpoint == nil {
		return
	}
	verb, ok := verbNames[c.info.Verb]
	if !ok {
		verb = "other"
	}
	sub := ""
	if c.sub != nil {
		sub = c.sub.Name
	}
	e := c.endpoint
	m.requests.WithLabelValues(verb, e.gvr.Group, e.gvr.Version, e.gvr.Resource, sub, strconv.Itoa(code)).Inc()
	if !c.long {
		m.durations.WithLabelValues(verb, e.gvr.Resource).Observe(c.s.cfg.Now().Sub(c.start).Seconds())
	}
}

func (m *metrics) watching(n float64) { m.watchers.Add(n) }

func (m *metrics) dropped(read bool) {
	kind := "mutating"
	if read {
		kind = "readOnly"
	}
	m.refused.WithLabelValues(kind).Inc()
}
