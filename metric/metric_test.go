package metric

import (
	"net/http/httptest"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// collector collects what it is made of.
type collector []prometheus.Metric

func (c collector) Describe(ch chan<- *prometheus.Desc) { prometheus.DescribeByCollect(c, ch) }
func (c collector) Collect(ch chan<- prometheus.Metric) {
	for _, m := range c {
		ch <- m
	}
}

func TestMetrics(t *testing.T) {
	limits := []float64{0.1, 1}
	a, b := NewHistogram(limits), NewHistogram(limits)
	for _, d := range []time.Duration{time.Millisecond, 100 * time.Millisecond, 500 * time.Millisecond, time.Minute} {
		a.Observe(d)
	}
	desc := func(name string) *prometheus.Desc { return prometheus.NewDesc(name, "Help.", []string{"name"}, nil) }
	got := collector{
		a.Metric(desc("took_seconds"), "a"), b.Metric(desc("took_seconds"), "b"),
		Counter(desc("done_total"), 7, "a"), Gauge(desc("open"), -1, "a"),
	}
	const want = `
# HELP done_total Help.
# TYPE done_total counter
done_total{name="a"} 7
# HELP open Help.
# TYPE open gauge
open{name="a"} -1
# HELP took_seconds Help.
# TYPE took_seconds histogram
took_seconds_bucket{name="a",le="0.1"} 2
took_seconds_bucket{name="a",le="1"} 3
took_seconds_bucket{name="a",le="+Inf"} 4
took_seconds_sum{name="a"} 60.601
took_seconds_count{name="a"} 4
took_seconds_bucket{name="b",le="0.1"} 0
took_seconds_bucket{name="b",le="1"} 0
took_seconds_bucket{name="b",le="+Inf"} 0
took_seconds_sum{name="b"} 0
took_seconds_count{name="b"} 0
`
	registry := prometheus.NewRegistry()
	registry.MustRegister(got)
	rec := httptest.NewRecorder()
	promhttp.HandlerFor(registry, promhttp.HandlerOpts{}).ServeHTTP(rec, httptest.NewRequest("GET", "/", nil))
	if text := "\n" + rec.Body.String(); text != want {
		t.Errorf("got %s\nwant %s", text, want)
	}
}
