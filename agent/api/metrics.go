package api

import (
	"bytes"
	"fmt"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	statsapi "k8s.io/kubelet/pkg/apis/stats/v1alpha1"
)

// metrics are the node's, and those of the process: of Go, and of the container
// runtime in it.
func metrics(list []prometheus.Collector) http.Handler {
	node := prometheus.NewRegistry()
	node.MustRegister(list...)
	return promhttp.HandlerFor(prometheus.Gatherers{node, prometheus.DefaultGatherer}, promhttp.HandlerOpts{})
}

// text writes metrics in the Prometheus text format, one family after another.
type text struct{ bytes.Buffer }

func (t *text) family(name, help, kind string) {
	fmt.Fprintf(t, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, kind)
}

// sample writes one value with the time when it was measured, in milliseconds.
func (t *text) sample(name, labels string, value float64, at time.Time) {
	if labels != "" {
		labels = "{" + labels + "}"
	}
	fmt.Fprintf(t, "%s%s %g", name, labels, value)
	if !at.IsZero() && at.Unix() > 0 {
		fmt.Fprintf(t, " %d", at.UnixMilli())
	}
	t.WriteByte('\n')
}

func (t *text) serve(w http.ResponseWriter) {
	w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
	w.Write(t.Bytes())
}

// resourceMetrics are what metrics servers and autoscalers read (KEP-727).
func (s *Server) resourceMetrics(w http.ResponseWriter, r *http.Request) {
	sum, err := s.stats.Summary(r.Context())
	var t text
	failed := 0.0
	if err != nil {
		failed = 1
		sum = &statsapi.Summary{}
	}
	writeContainers(&t, sum)
	if c := sum.Node.CPU; c != nil && c.UsageCoreNanoSeconds != nil {
		t.family("node_cpu_usage_seconds_total", "[STABLE] Cumulative cpu time consumed by the node in core-seconds", "counter")
		t.sample("node_cpu_usage_seconds_total", "", seconds(c), c.Time.Time)
	}
	if m := sum.Node.Memory; m != nil && m.WorkingSetBytes != nil {
		t.family("node_memory_working_set_bytes", "[STABLE] Current working set of the node in bytes", "gauge")
		t.sample("node_memory_working_set_bytes", "", float64(*m.WorkingSetBytes), m.Time.Time)
	}
	t.family("pod_cpu_usage_seconds_total", "[STABLE] Cumulative cpu time consumed by the pod in core-seconds", "counter")
	for i := range sum.Pods {
		if c := sum.Pods[i].CPU; c != nil && c.UsageCoreNanoSeconds != nil {
			t.sample("pod_cpu_usage_seconds_total", podLabels(&sum.Pods[i]), seconds(c), c.Time.Time)
		}
	}
	t.family("pod_memory_working_set_bytes", "[STABLE] Current working set of the pod in bytes", "gauge")
	for i := range sum.Pods {
		if m := sum.Pods[i].Memory; m != nil && m.WorkingSetBytes != nil {
			t.sample("pod_memory_working_set_bytes", podLabels(&sum.Pods[i]), float64(*m.WorkingSetBytes), m.Time.Time)
		}
	}
	t.family("resource_scrape_error", "[STABLE] 1 if there was an error while getting container metrics, 0 otherwise", "gauge")
	t.sample("resource_scrape_error", "", failed, time.Time{})
	t.serve(w)
}

func writeContainers(t *text, sum *statsapi.Summary) {
	each := func(fn func(labels string, c *statsapi.ContainerStats)) {
		for i := range sum.Pods {
			p := &sum.Pods[i]
			for j := range p.Containers {
				fn(fmt.Sprintf("container=%q,namespace=%q,pod=%q", p.Containers[j].Name, p.PodRef.Namespace, p.PodRef.Name), &p.Containers[j])
			}
		}
	}
	t.family("container_cpu_usage_seconds_total", "[STABLE] Cumulative cpu time consumed by the container in core-seconds", "counter")
	each(func(labels string, c *statsapi.ContainerStats) {
		if c.CPU != nil && c.CPU.UsageCoreNanoSeconds != nil {
			t.sample("container_cpu_usage_seconds_total", labels, seconds(c.CPU), c.CPU.Time.Time)
		}
	})
	t.family("container_memory_working_set_bytes", "[STABLE] Current working set of the container in bytes", "gauge")
	each(func(labels string, c *statsapi.ContainerStats) {
		if c.Memory != nil && c.Memory.WorkingSetBytes != nil {
			t.sample("container_memory_working_set_bytes", labels, float64(*c.Memory.WorkingSetBytes), c.Memory.Time.Time)
		}
	})
	t.family("container_start_time_seconds", "[STABLE] Start time of the container since unix epoch in seconds", "gauge")
	each(func(labels string, c *statsapi.ContainerStats) {
		if !c.StartTime.IsZero() {
			t.sample("container_start_time_seconds", labels, float64(c.StartTime.Unix()), time.Time{})
		}
	})
}

func podLabels(p *statsapi.PodStats) string {
	return fmt.Sprintf("namespace=%q,pod=%q", p.PodRef.Namespace, p.PodRef.Name)
}

func seconds(c *statsapi.CPUStats) float64 { return float64(*c.UsageCoreNanoSeconds) / 1e9 }

// cadvisorMetrics are the container metrics that dashboards use, under
// cAdvisor's names and as far as the runtime knows them.
func (s *Server) cadvisorMetrics(w http.ResponseWriter, r *http.Request) {
	sum, err := s.stats.Summary(r.Context())
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	var t text
	writeContainers(&t, sum)
	t.family("container_network_receive_bytes_total", "Cumulative count of bytes received", "counter")
	for i := range sum.Pods {
		if n := sum.Pods[i].Network; n != nil && n.RxBytes != nil {
			t.sample("container_network_receive_bytes_total", fmt.Sprintf("interface=%q,%s", n.Name, podLabels(&sum.Pods[i])), float64(*n.RxBytes), n.Time.Time)
		}
	}
	t.family("container_network_transmit_bytes_total", "Cumulative count of bytes transmitted", "counter")
	for i := range sum.Pods {
		if n := sum.Pods[i].Network; n != nil && n.TxBytes != nil {
			t.sample("container_network_transmit_bytes_total", fmt.Sprintf("interface=%q,%s", n.Name, podLabels(&sum.Pods[i])), float64(*n.TxBytes), n.Time.Time)
		}
	}
	t.serve(w)
}
