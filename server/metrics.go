package server

import (
	"fmt"

	"github.com/prometheus/client_golang/prometheus"

	"skiff/server/client"
	"skiff/server/controller"
)

// registerMetrics adds the figures of all parts to those of the API server, at
// /metrics. docs/metrics.md lists them.
func (cp *controlPlane) registerMetrics() error {
	list := []prometheus.Collector{cp.state.store, cp.tunnels, cp.webhooks}
	if cp.scheduler != nil {
		list = append(list, cp.scheduler.Collector())
	}
	if cp.node != nil {
		list = append(list, cp.node.Collectors()...)
	} else {
		list = append(list, client.Metrics())
	}
	registry := cp.api.Metrics()
	for _, c := range list {
		if err := registry.Register(c); err != nil {
			return fmt.Errorf("register metrics: %w", err)
		}
	}
	var err error
	if cp.loops, err = controller.NewMetrics(registry); err != nil {
		return fmt.Errorf("register metrics: %w", err)
	}
	return nil
}
