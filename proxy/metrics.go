package proxy

import (
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"skiff/proxy/service"
)

const (
	prefix      = "kubeproxy_"
	labelFamily = "ip_family"
)

func familyName(v6 bool) string {
	if v6 {
		return "IPv6"
	}
	return "IPv4"
}

// metrics are kube-proxy's, as far as they tell of something that is there.
// Families are handled together, and have the same figures where the labels ask
// for one of each.
type metrics struct {
	families []string

	duration, programming *prometheus.HistogramVec
	failures              *prometheus.CounterVec
	synced, queued        *prometheus.GaugeVec
	noLocal               *prometheus.GaugeVec
}

func newMetrics(families []string) *metrics {
	return &metrics{
		families:    families,
		duration:    newHistogram("sync_proxy_rules_duration_seconds", "Time to carry out a set of service changes in the kernel.", syncBuckets()),
		programming: newHistogram("network_programming_duration_seconds", "Time from the change of a pod or service, by the clock of the server, until this node's rules follow.", programmingBuckets()),
		failures:    newCounter("sync_proxy_rules_nftables_sync_failures_total", "Sets of service changes that the kernel did not take."),
		synced:      newGauge("sync_proxy_rules_last_timestamp_seconds", "When service changes were last carried out, in seconds since 1970."),
		queued:      newGauge("sync_proxy_rules_last_queued_timestamp_seconds", "When a service change was last seen, in seconds since 1970."),
		noLocal:     newGauge("sync_proxy_rules_no_local_endpoints_total", "Services that keep traffic local and have endpoints, but none on this node.", "traffic_policy"),
	}
}

// newHistogram, newCounter and newGauge make a metric of kube-proxy's, with a figure
// for each address family.
func newHistogram(name, help string, buckets []float64) *prometheus.HistogramVec {
	return prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: prefix + name, Help: help, Buckets: buckets}, []string{labelFamily})
}

func newCounter(name, help string) *prometheus.CounterVec {
	return prometheus.NewCounterVec(prometheus.CounterOpts{Name: prefix + name, Help: help}, []string{labelFamily})
}

func newGauge(name, help string, labels ...string) *prometheus.GaugeVec {
	return prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: prefix + name, Help: help}, append([]string{labelFamily}, labels...))
}

// syncBuckets are for what is done to the kernel's tables, from 1 ms on.
func syncBuckets() []float64 { return prometheus.ExponentialBuckets(0.001, 2, 15) }

// programmingBuckets are those of Kubernetes' service level objective.
func programmingBuckets() []float64 {
	return slices.Concat(
		prometheus.LinearBuckets(0.25, 0.25, 2),
		prometheus.LinearBuckets(1, 1, 59),
		prometheus.LinearBuckets(60, 5, 12),
		prometheus.LinearBuckets(120, 30, 7),
	)
}

func (m *metrics) collectors() []prometheus.Collector {
	return []prometheus.Collector{m.duration, m.programming, m.failures, m.synced, m.queued, m.noLocal}
}

// carriedOut records a set of changes that is in force, and since when they were
// due.
func (m *metrics) carriedOut(took time.Duration, due []time.Time) {
	for _, f := range m.families {
		m.duration.WithLabelValues(f).Observe(took.Seconds())
		m.synced.WithLabelValues(f).SetToCurrentTime()
		for _, t := range due {
			m.programming.WithLabelValues(f).Observe(time.Since(t).Seconds())
		}
	}
}

func (m *metrics) failed() {
	for _, f := range m.families {
		m.failures.WithLabelValues(f).Inc()
	}
}

func (m *metrics) changeSeen() {
	for _, f := range m.families {
		m.queued.WithLabelValues(f).SetToCurrentTime()
	}
}

// changed counts the services without a local endpoint anew, when a service's
// rules change.
func (m *metrics) changed(old, now service.Rules) {
	for policy := range withoutLocal(old) {
		m.noLocal.WithLabelValues(policy.family, policy.name).Dec()
	}
	for policy := range withoutLocal(now) {
		m.noLocal.WithLabelValues(policy.family, policy.name).Inc()
	}
}

type policy struct{ family, name string }

// withoutLocal are the policies under which a service's packets are dropped.
func withoutLocal(rules service.Rules) map[policy]bool {
	found := map[policy]bool{}
	for f, b := range rules {
		if b.Action != service.Drop {
			continue
		}
		name := "internal"
		if b.Masquerade == service.MasqueradeNever {
			name = "external"
		}
		found[policy{familyName(f.Addr.Is6()), name}] = true
	}
	return found
}
