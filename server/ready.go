package server

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/record"

	"skiff/agent"
	"skiff/agent/cgroup"
	"skiff/agent/node"
	"skiff/proxy"
	"skiff/server/registry/podtemplate"
)

// awaitReady tells the observer when this box's node is Ready.
func (cp *controlPlane) awaitReady(ctx context.Context, observer Observer) error {
	if err := cp.writeKubeconfig(); err != nil {
		return fmt.Errorf("write-kubeconfig: %w", err)
	}
	if cp.node != nil && !cp.nodeReady(ctx) {
		return nil
	}
	summary := Summary{
		URL: cp.cfg.URL(), Kubeconfig: cp.cfg.WriteKubeconfig, Took: time.Since(started),
		Healthy: cp.healthy,
	}
	if cp.node != nil {
		summary.Node = cp.cfg.NodeName
	}
	observer.Ready(summary)
	return nil
}

// healthTimeout bounds the read that tells whether the store still answers.
const healthTimeout = 5 * time.Second

// healthy returns what keeps the store from answering: without it, nothing in
// the process can go on.
func (cp *controlPlane) healthy() error {
	ctx, cancel := context.WithTimeout(context.Background(), healthTimeout)
	defer cancel()
	if _, err := cp.state.store.Count(ctx, "namespaces/"); err != nil {
		return fmt.Errorf("the store does not answer: %w", err)
	}
	return nil
}

// nodeReady waits for the node's Ready condition, or for ctx to end.
func (cp *controlPlane) nodeReady(ctx context.Context) bool {
	ready := make(chan struct{}, 1)
	look := func(o any) {
		n, ok := o.(*corev1.Node)
		if !ok || n.Name != cp.cfg.NodeName {
			return
		}
		for _, c := range n.Status.Conditions {
			if c.Type == corev1.NodeReady && c.Status == corev1.ConditionTrue {
				select {
				case ready <- struct{}{}:
				default:
				}
			}
		}
	}
	nodes := cp.informers.Core().V1().Nodes().Informer()
	handler, err := nodes.AddEventHandler(cache.ResourceEventHandlerFuncs{AddFunc: look, UpdateFunc: func(_, o any) { look(o) }})
	if err != nil {
		return false
	}
	defer func() { _ = nodes.RemoveEventHandler(handler) }()
	slow := time.NewTimer(readyTimeout)
	defer slow.Stop()
	for {
		select {
		case <-ready:
			return true
		case <-slow.C:
			slog.Warn("the node is still not Ready; kubectl describe node says why", "node", cp.cfg.NodeName)
		case <-ctx.Done():
			return false
		}
	}
}

// nodeConfig is the configuration of this box's node.
func (c *Config) nodeConfig() node.Config {
	return node.Config{
		DataDir:         c.DataDir,
		RuntimeEndpoint: c.Node.ContainerRuntimeEndpoint,
		DisableProxy:    c.Disabled("proxy") && c.Disabled("dns"),
		Logger:          slog.Default(),
		Agent: agent.Config{
			NodeName: c.NodeName, NodeIPs: c.NodeIPs, Labels: c.Node.Labels, Taints: c.Node.Taints,
			ClusterDNS: c.ClusterDNS, ClusterDomain: c.ClusterDomain, DataDir: c.DataDir, Port: kubeletPort,
			Cgroup: cgroup.Config{},
		},
		Proxy: proxy.Config{
			NodeName: c.NodeName, NodeIPs: c.NodeIPs, PodCIDRs: c.ClusterCIDRs, ServiceCIDRs: c.ServiceCIDRs,
			ClusterDNS: c.ClusterDNS, ClusterDomain: c.ClusterDomain,
			DisableServices: c.Disabled("proxy"), DisableDNS: c.Disabled("dns"),
		},
	}
}

// defaultPod fills in a static pod's defaults, as the API server would.
func defaultPod(p *corev1.Pod) { podtemplate.DefaultSpec(&p.Spec) }

// schedulerEvents records the scheduler's events in the server's one sink.
type schedulerEvents struct{ record.EventRecorder }

// Eventf implements scheduler.Recorder.
func (e schedulerEvents) Eventf(regarding runtime.Object, eventType, reason, _, format string, args ...any) {
	e.EventRecorder.Eventf(regarding, eventType, reason, format, args...)
}
