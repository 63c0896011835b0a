package agent

import (
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"skiff/metric/metrictest"
	"skiff/runtime/cri/metered"
)

// TestDocumentedMetrics: docs/metrics.md lists what the node's API tells.
func TestDocumentedMetrics(t *testing.T) {
	registry := prometheus.NewRegistry()
	registry.MustRegister((&Agent{meter: metered.New()}).collectors()...)
	metrictest.Page{
		Path: "../docs/metrics.md", All: []string{"Each node"}, Also: []string{"The server and each node"},
	}.Check(t, registry)
}
