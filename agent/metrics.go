package agent

import (
	"github.com/prometheus/client_golang/prometheus"

	"skiff/metric"
)

var descNode = prometheus.NewDesc("kubelet_node_name", "The node's name. The count is always 1.", []string{"node"}, nil)

// nodeName is the node's name as a metric.
type nodeName string

// Describe implements prometheus.Collector.
func (nodeName) Describe(ch chan<- *prometheus.Desc) { ch <- descNode }

// Collect implements prometheus.Collector.
func (n nodeName) Collect(ch chan<- prometheus.Metric) { ch <- metric.Gauge(descNode, 1, string(n)) }

// collectors are what the node's API tells of the agent, and of what runs beside
// it on the node.
func (a *Agent) collectors() []prometheus.Collector {
	return append([]prometheus.Collector{nodeName(a.cfg.NodeName), a.meter, a.pods, metric.BuildInfo()}, a.deps.Collectors...)
}
