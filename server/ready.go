package server

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/record"

	"skiff/agent"
	"skiff/agent/cgroup"
	"skiff/agent/node"
	"skiff/proxy"
	"skiff/resident"
	"skiff/server/registry/podtemplate"
)

// awaitReady tells the observer when a pod that is applied would run.
func (cp *controlPlane) awaitReady(ctx context.Context, observer Observer) error {
	if cp.kubeconfig != nil {
		if err := cp.kubeconfig.Write(); err != nil {
			return fmt.Errorf("write-kubeconfig: %w", err)
		}
	}
	if !cp.ready(ctx) {
		return nil
	}
	summary := Summary{
		URL: cp.url(), Kubeconfig: cp.cfg.WriteKubeconfig, Took: time.Since(started),
		Token: cp.state.token.String(), TokenFile: cp.cfg.tokenFile(),
		Healthy: cp.alive,
	}
	if cp.node != nil {
		summary.Node = cp.cfg.NodeName
	}
	observer.Ready(summary)
	resident.Settle()
	resident.Pace()
	return nil
}

// alive returns what is wrong with the process, which a start may mend.
func (cp *controlPlane) alive() error {
	if err := cp.healthy(); err != nil || cp.node == nil {
		return err
	}
	return cp.node.Healthy()
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

// ready waits until this box's node takes pods and the default namespace lets
// them in, or for ctx to end. It waits for what this server runs alone: without
// controllers, somebody else's may be long in coming.
func (cp *controlPlane) ready(ctx context.Context) bool {
	controllers := !cp.cfg.Disabled("controllers")
	if controllers && !await(ctx, cp.informers.Core().V1().ServiceAccounts().Informer(), isDefaultAccount, func() {
		slog.Warn("the default service account is still not there; the log says why")
	}) {
		return false
	}
	if cp.node == nil {
		return true
	}
	slow := func() {
		slog.Warn("the node is still not Ready; kubectl describe node says why", "node", cp.cfg.NodeName)
	}
	// Until the node has spoken, its object says what the last run left there.
	return awaitClosed(ctx, cp.nodeReady, slow) && await(ctx, cp.informers.Core().V1().Nodes().Informer(), func(o any) bool {
		n, ok := o.(*corev1.Node)
		return ok && n.Name == cp.cfg.NodeName && takesPods(n, controllers)
	}, slow)
}

// isDefaultAccount tells whether o is what pods in the default namespace run as.
func isDefaultAccount(o any) bool {
	a, ok := o.(*corev1.ServiceAccount)
	return ok && a.Namespace == metav1.NamespaceDefault && a.Name == "default"
}

// takesPods tells whether a node is Ready. Where controllers take it off, the
// taint of a node that is not must have gone too.
func takesPods(n *corev1.Node, tainted bool) bool {
	notReady := func(t corev1.Taint) bool { return t.Key == corev1.TaintNodeNotReady }
	if tainted && slices.ContainsFunc(n.Spec.Taints, notReady) {
		return false
	}
	return slices.ContainsFunc(n.Status.Conditions, func(c corev1.NodeCondition) bool {
		return c.Type == corev1.NodeReady && c.Status == corev1.ConditionTrue
	})
}

// await waits until an object of the informer is as wanted, or for ctx to end. It
// calls slow once if that takes long.
func await(ctx context.Context, informer cache.SharedIndexInformer, wanted func(any) bool, slow func()) bool {
	found := make(chan struct{})
	once := sync.OnceFunc(func() { close(found) })
	look := func(o any) {
		if wanted(o) {
			once()
		}
	}
	handler, err := informer.AddEventHandler(cache.ResourceEventHandlerFuncs{AddFunc: look, UpdateFunc: func(_, o any) { look(o) }})
	if err != nil {
		return false
	}
	defer func() { _ = informer.RemoveEventHandler(handler) }()
	return awaitClosed(ctx, found, slow)
}

// awaitClosed waits until done is closed, or for ctx to end. It calls slow once if
// that takes long.
func awaitClosed(ctx context.Context, done <-chan struct{}, slow func()) bool {
	late := time.NewTimer(readyTimeout)
	defer late.Stop()
	for {
		select {
		case <-done:
			return true
		case <-late.C:
			slow()
		case <-ctx.Done():
			return false
		}
	}
}

// nodeConfig is the configuration of this box's node, with its addresses at start.
func (c *Config) nodeConfig(ips []netip.Addr) node.Config {
	return node.Config{
		DataDir:         c.DataDir,
		RuntimeEndpoint: c.Node.ContainerRuntimeEndpoint,
		DisableProxy:    c.Disabled("proxy") && c.Disabled("dns"),
		Overlay:         string(c.Overlay),
		MTU:             c.Node.MTU,
		Logger:          slog.Default(),
		Agent: agent.Config{
			NodeName: c.NodeName, NodeIPs: ips, Labels: c.Node.Labels, Taints: c.Node.Taints,
			ClusterDNS: c.ClusterDNS, ClusterDomain: c.ClusterDomain, DataDir: c.DataDir, Port: kubeletPort,
			LeaseDuration: c.NodeLoss.MonitorGrace,
			Cgroup:        cgroup.Config{},
		},
		Proxy: proxy.Config{
			NodeName: c.NodeName, NodeIPs: ips, PodCIDRs: c.ClusterCIDRs, ServiceCIDRs: c.ServiceCIDRs,
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
