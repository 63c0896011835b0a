package tunnel

import (
	"errors"
	"maps"
	"slices"

	"github.com/prometheus/client_golang/prometheus"

	"skiff/metric"
	"skiff/server/tunnel/wire"
)

// counts are totals since the start.
type counts struct {
	connected uint64
	// The ends of dials.
	dialled, refused, failed uint64
}

func (s *Server) count(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, refused := errors.AsType[*wire.Refusal](err)
	switch {
	case err == nil:
		s.counts.dialled++
	case refused:
		s.counts.refused++
	default:
		s.counts.failed++
	}
}

var (
	descNodes     = prometheus.NewDesc("skiff_tunnel_nodes", "Number of nodes that have a tunnel to this server.", nil, nil)
	descConnected = prometheus.NewDesc("skiff_tunnel_connected_total", "Number of tunnels that nodes have opened.", nil, nil)
	descStreams   = prometheus.NewDesc("skiff_tunnel_streams", "Number of connections open through tunnels.", nil, nil)
	descDials     = prometheus.NewDesc("skiff_tunnel_dials_total", "Number of connections asked for through tunnels, by how that ended.", []string{"result"}, nil)
)

// Describe implements prometheus.Collector.
func (s *Server) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{descNodes, descConnected, descStreams, descDials} {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (s *Server) Collect(ch chan<- prometheus.Metric) {
	s.mu.Lock()
	open, counts := slices.Collect(maps.Values(s.tunnels)), s.counts
	s.mu.Unlock()
	streams := 0
	for _, t := range open {
		streams += t.session.NumStreams() // may wait for a connection that is stuck
	}
	ch <- metric.Gauge(descNodes, float64(len(open)))
	ch <- metric.Counter(descConnected, counts.connected)
	ch <- metric.Gauge(descStreams, float64(streams))
	ch <- metric.Counter(descDials, counts.dialled, "connected")
	ch <- metric.Counter(descDials, counts.refused, "refused")
	ch <- metric.Counter(descDials, counts.failed, "failed")
}
