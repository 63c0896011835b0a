package api

import (
	"context"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apiserver/pkg/endpoints/request"

	"skiff/metric"
	"skiff/server/registry"
)

// component is what upstream calls this server, in the label of that name.
const component = "apiserver"

var (
	// seriesLabels are upstream's, without dry_run and code, which not all have.
	seriesLabels = []string{"verb", "group", "version", "resource", "subresource", "scope", "component"}

	descRequests = prometheus.NewDesc("apiserver_request_total",
		"Counter of apiserver requests broken out for each verb, dry run value, group, version, resource, scope, component, and HTTP response code.",
		append(slices.Clone(seriesLabels), "dry_run", "code"), nil)
	descDurations = prometheus.NewDesc("apiserver_request_duration_seconds",
		"Response latency distribution in seconds for each verb, dry run value, group, version, resource, subresource, scope and component.",
		append(slices.Clone(seriesLabels), "dry_run"), nil)
	descLong = prometheus.NewDesc("apiserver_longrunning_requests",
		"Gauge of all active long-running apiserver requests broken out by verb, group, version, resource, scope and component.",
		seriesLabels, nil)
)

// buckets are upstream's, in seconds: dashboards and alerts name them.
var buckets = []float64{
	0.005, 0.025, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0, 1.25, 1.5, 2, 3, 4, 5, 6, 8, 10, 15, 20, 30, 45, 60,
}

// requestMetrics count requests.
type requestMetrics struct {
	mu     sync.Mutex
	series map[seriesKey]*series
}

type seriesKey struct {
	gvr                      schema.GroupVersionResource
	verb, sub, scope, dryRun string
}

func (k *seriesKey) labels(more ...string) []string {
	return append([]string{k.verb, k.gvr.Group, k.gvr.Version, k.gvr.Resource, k.sub, k.scope, component}, more...)
}

type series struct {
	durations metric.Histogram
	codes     []codeCount
	// long are those that are under way; wasLong that there ever were any.
	long    int
	wasLong bool
}

type codeCount struct {
	code int
	n    uint64
}

func newRequestMetrics() *requestMetrics {
	return &requestMetrics{series: map[seriesKey]*series{}}
}

// of returns a call's series; the lock is held.
func (m *requestMetrics) of(k seriesKey) *series {
	s := m.series[k]
	if s == nil {
		s = &series{durations: metric.NewHistogram(buckets)}
		m.series[k] = s
	}
	return s
}

// key names a call's series, as upstream would.
func (c *call) key() seriesKey {
	k := seriesKey{gvr: c.endpoint.gvr, scope: scope(c.info), dryRun: dryRun(c.values["dryRun"])}
	if c.sub != nil {
		k.sub = c.sub.Name
	}
	k.verb = metricVerb(c.r, c.info, k.scope)
	return k
}

func scope(info *request.RequestInfo) string {
	switch {
	case info.Name != "" || info.Verb == "create":
		return "resource"
	case info.Namespace != "":
		return "namespace"
	}
	return "cluster"
}

// metricVerb is the method, but for what clients do with it.
func metricVerb(r *http.Request, info *request.RequestInfo, scope string) string {
	switch info.Subresource {
	case "log", "exec", "attach", "portforward", "proxy":
		return "CONNECT"
	}
	switch {
	case info.Verb == "watch":
		return "WATCH"
	case info.Verb == "proxy":
		return "PROXY"
	case (r.Method == http.MethodGet || r.Method == http.MethodHead) && scope != "resource":
		return "LIST"
	case r.Method == http.MethodHead:
		return http.MethodGet
	case r.Method == http.MethodPatch && strings.HasPrefix(r.Header.Get("Content-Type"), string(types.ApplyPatchType)):
		return "APPLY"
	case methodVerbs[r.Method] == "":
		return "other"
	}
	return r.Method
}

func dryRun(values []string) string {
	switch {
	case len(values) == 0:
		return ""
	case slices.ContainsFunc(values, func(v string) bool { return v != "All" }):
		return "invalid"
	}
	return "All"
}

// observe counts a finished call.
func (m *requestMetrics) observe(k seriesKey, code int, took time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	s := m.of(k)
	s.durations.Observe(took)
	for i := range s.codes {
		if s.codes[i].code == code {
			s.codes[i].n++
			return
		}
	}
	s.codes = append(s.codes, codeCount{code, 1})
}

// stay adds n to the long-running calls under way.
func (m *requestMetrics) stay(k seriesKey, n int) {
	k.dryRun = ""
	m.mu.Lock()
	defer m.mu.Unlock()
	s := m.of(k)
	s.long += n
	s.wasLong = true
}

// Describe implements prometheus.Collector.
func (m *requestMetrics) Describe(ch chan<- *prometheus.Desc) {
	ch <- descRequests
	ch <- descDurations
	ch <- descLong
}

// Collect implements prometheus.Collector.
func (m *requestMetrics) Collect(ch chan<- prometheus.Metric) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for k, s := range m.series {
		if s.wasLong {
			ch <- metric.Gauge(descLong, float64(s.long), k.labels()...)
		}
		if len(s.codes) == 0 {
			continue
		}
		for _, c := range s.codes {
			ch <- metric.Counter(descRequests, c.n, k.labels(k.dryRun, strconv.Itoa(c.code))...)
		}
		ch <- s.durations.Metric(descDurations, k.labels(k.dryRun)...)
	}
}

// objectMetrics count the stored objects, when somebody asks.
type objectMetrics struct{ s *Server }

var (
	descObjects = prometheus.NewDesc("apiserver_resource_objects",
		"Number of stored objects split by kind. In case of a fetching error, the value will be -1.", []string{"group", "resource"}, nil)
	descStorageObjects = prometheus.NewDesc("apiserver_storage_objects",
		"Number of stored objects split by kind, under the name that it had before apiserver_resource_objects.", []string{"resource"}, nil)
)

// Describe implements prometheus.Collector.
func (m objectMetrics) Describe(ch chan<- *prometheus.Desc) {
	ch <- descObjects
	ch <- descStorageObjects
}

// Collect implements prometheus.Collector.
func (m objectMetrics) Collect(ch chan<- prometheus.Metric) {
	for _, r := range m.s.routes.Load().resources {
		if r.StoredAs != nil || !r.Serves("list") {
			continue
		}
		gr := r.GroupResource()
		n, err := m.s.cfg.Store.Count(context.Background(), registry.KeyPrefix(gr))
		if err != nil {
			n = -1
		}
		ch <- metric.Gauge(descObjects, float64(n), gr.Group, gr.Resource)
		ch <- metric.Gauge(descStorageObjects, float64(n), gr.String())
	}
}
