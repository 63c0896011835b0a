package tunnel_test

import (
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"skiff/metric/metrictest"
)

func values(t *testing.T, c prometheus.Collector) map[string]float64 {
	t.Helper()
	registry := prometheus.NewRegistry()
	registry.MustRegister(c)
	return metrictest.Values(t, registry)
}

func TestMetrics(t *testing.T) {
	w := newWorld(t, &loopback{})
	w.run(w.agentOf("one", echo))
	w.run(w.agentOf("two", echo))
	w.dial("one", "")
	w.dial("one", "10.42.0.5:80")
	w.dial("two", "")
	if _, err := w.server.Dial(t.Context(), "one", "10.43.0.1:80"); err == nil {
		t.Error("an address of another network was dialled")
	}
	got := values(t, w.server)
	for name, want := range map[string]float64{
		"skiff_tunnel_nodes": 2, "skiff_tunnel_connected_total": 2,
		"skiff_tunnel_dials_total connected": 3, "skiff_tunnel_dials_total refused": 1, "skiff_tunnel_dials_total failed": 0,
	} {
		if got[name] != want {
			t.Errorf("%s is %v, want %v", name, got[name], want)
		}
	}
	// The one that was refused may not be gone yet.
	if n := got["skiff_tunnel_streams"]; n < 3 || n > 4 {
		t.Errorf("%v streams are open", n)
	}
}
