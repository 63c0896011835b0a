package scheduler_test

import (
	"testing"
	"testing/synctest"

	"github.com/prometheus/client_golang/prometheus"

	"skiff/metric/metrictest"
)

func TestMetrics(t *testing.T) { synctest.Test(t, testMetrics) }

func testMetrics(t *testing.T) {
	c := start(t, node("a"))
	registry := prometheus.NewRegistry()
	registry.MustRegister(c.scheduler.Collector())
	for _, p := range []string{"one", "two"} {
		c.create(pod(p))
		c.next()
	}
	c.create(pod("huge", cpu("100")))
	c.next()
	synctest.Wait()
	got := metrictest.Values(t, registry)
	for name, want := range map[string]float64{
		"scheduler_schedule_attempts_total default-scheduler scheduled":                 2,
		"scheduler_schedule_attempts_total default-scheduler unschedulable":             1,
		"scheduler_scheduling_attempt_duration_seconds default-scheduler scheduled":     2,
		"scheduler_scheduling_attempt_duration_seconds default-scheduler unschedulable": 1,
		"scheduler_pending_pods active":                                                 0,
		"scheduler_pending_pods unschedulable":                                          1,
	} {
		if got[name] != want {
			t.Errorf("%s is %v, want %v (all: %v)", name, got[name], want, got)
		}
	}
}
