package dns

import (
	"time"

	"github.com/miekg/dns"
	"github.com/prometheus/client_golang/prometheus"
)

// metrics are the server's; names are those of CoreDNS where it has them.
type metrics struct {
	responses *prometheus.CounterVec
	duration  prometheus.Histogram
	hits      prometheus.Counter
	misses    prometheus.Counter
	failures  prometheus.Counter
}

func newMetrics() *metrics {
	return &metrics{
		responses: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "coredns_dns_responses_total", Help: "DNS answers, by response code.",
		}, []string{"rcode"}),
		duration: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "coredns_dns_request_duration_seconds", Help: "Time to answer a DNS question.",
			Buckets: prometheus.ExponentialBuckets(0.00005, 8, 7),
		}),
		hits: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "coredns_cache_hits_total", Help: "Questions about other zones that the cache answered.",
		}),
		misses: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "coredns_cache_misses_total", Help: "Questions about other zones that the cache did not answer.",
		}),
		failures: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "skiff_dns_forward_failures_total", Help: "Questions that no upstream server answered.",
		}),
	}
}

func (m *metrics) served(rcode int, took time.Duration) {
	m.responses.WithLabelValues(dns.RcodeToString[rcode]).Inc()
	m.duration.Observe(took.Seconds())
}

func (m *metrics) hit()    { m.hits.Inc() }
func (m *metrics) missed() { m.misses.Inc() }
func (m *metrics) failed() { m.failures.Inc() }

// Describe implements prometheus.Collector.
func (s *Server) Describe(ch chan<- *prometheus.Desc) {
	m := s.handler.metrics
	m.responses.Describe(ch)
	m.duration.Describe(ch)
	m.hits.Describe(ch)
	m.misses.Describe(ch)
	m.failures.Describe(ch)
}

// Collect implements prometheus.Collector.
func (s *Server) Collect(ch chan<- prometheus.Metric) {
	m := s.handler.metrics
	m.responses.Collect(ch)
	m.duration.Collect(ch)
	m.hits.Collect(ch)
	m.misses.Collect(ch)
	m.failures.Collect(ch)
}
