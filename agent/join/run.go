package join

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"

	"skiff/server/clusterinfo"
)

const (
	// checkInterval is short enough for any jump of the clock to be noticed in
	// good time.
	checkInterval = time.Hour
	// A renewal that fails is tried again after some seconds, and more and more
	// seldom.
	firstRenewal, lastRenewal = time.Second, 10 * time.Minute
)

// Run renews the certificates and follows what is to be known of the cluster,
// until ctx ends.
func (m *Member) Run(ctx context.Context) error {
	clients, err := kubernetes.NewForConfig(m.RESTConfig())
	if err != nil {
		return err
	}
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { m.followInfo(ctx, clients); return nil })
	g.Go(func() error { m.keepCertificates(ctx, clients); return nil })
	return g.Wait()
}

// followInfo watches the ConfigMap of the cluster.
func (m *Member) followInfo(ctx context.Context, clients kubernetes.Interface) {
	only := informers.WithTweakListOptions(func(o *metav1.ListOptions) {
		o.FieldSelector = fields.OneTermEqualSelector(metav1.ObjectNameField, clusterinfo.Name).String()
	})
	factory := informers.NewSharedInformerFactoryWithOptions(clients, 0, only, informers.WithNamespace(clusterinfo.Namespace))
	informer := factory.Core().V1().ConfigMaps().Informer()
	// That the server is away is told elsewhere.
	quiet := func(_ context.Context, _ *cache.Reflector, err error) {
		if apierrors.IsForbidden(err) || apierrors.IsUnauthorized(err) {
			m.log.Warn("news of the cluster cannot be read, trying on", "err", oneLine(err.Error()))
		}
	}
	if err := informer.SetWatchErrorHandlerWithContext(quiet); err != nil {
		m.log.Error("news of the cluster are not followed", "err", err)
		return
	}
	take := func(obj any) {
		cm, ok := obj.(*corev1.ConfigMap)
		if !ok {
			return
		}
		i, err := clusterinfo.FromConfigMap(cm)
		if err == nil {
			err = m.learn(i)
		}
		if err != nil {
			m.log.Warn("what the server says of the cluster is not taken", "err", oneLine(err.Error()))
		}
	}
	if _, err := informer.AddEventHandler(cache.ResourceEventHandlerFuncs{AddFunc: take, UpdateFunc: func(_, o any) { take(o) }}); err != nil {
		m.log.Error("news of the cluster are not followed", "err", err)
		return
	}
	informer.RunWithContext(ctx)
}

// keepCertificates renews what is due, until ctx ends.
func (m *Member) keepCertificates(ctx context.Context, clients kubernetes.Interface) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for failures := 0; ; {
		select {
		case <-ctx.Done():
			return
		case <-m.wake:
		case <-timer.C:
		}
		wait := checkInterval
		if err := m.renewDue(ctx, clients); err != nil && ctx.Err() == nil {
			wait = min(firstRenewal<<min(failures, 10), lastRenewal)
			// What the server's absence explains is told as that.
			if failures++; failures == 3 || isRefusal(err) {
				m.log.Warn("the node's certificate could not be renewed, trying on", "err", err)
			}
			if isRefusal(err) {
				wait = lastRenewal
			}
		} else {
			failures = 0
		}
		timer.Reset(wait)
	}
}

// renewDue asks for the certificates that are due, or missing, or for other
// addresses than the node's.
func (m *Member) renewDue(ctx context.Context, clients kubernetes.Interface) error {
	now := m.clock.now()
	if c := m.client.Load(); c.due(now, m.share) {
		if err := m.renewClient(ctx); err != nil {
			return err
		}
		m.renewed(clientFile)
	}
	m.mu.Lock()
	ips := slices.Clone(m.addresses)
	m.mu.Unlock()
	if c := m.serving.Load(); c != nil && !c.due(now, m.share) && c.isFor(ips) {
		return nil
	}
	chain, err := servingRequest(m.cfg.NodeName, ips).submit(ctx, clients, m.key)
	if err != nil {
		return fmt.Errorf("the certificate of the node's API: %w", err)
	}
	c, err := newIssued(chain, m.key, m.clock.now())
	if err != nil {
		return fmt.Errorf("the certificate of the node's API: %w", err)
	}
	had := m.serving.Swap(c)
	if had != nil {
		m.renewed(servingFile)
	}
	return m.kept.write(servingFile, chain, 0o644)
}

// renewClient proves itself by the certificate that is to be renewed. If that is
// of no use any more, the token may still be.
func (m *Member) renewClient(ctx context.Context) error {
	err := m.requestClient(ctx, m.restConfig())
	if err == nil || m.cfg.Token.Secret == "" || !isRefusal(err) && !apierrors.IsUnauthorized(err) {
		return err
	}
	return m.bootstrap(ctx)
}

func (m *Member) renewed(file string) {
	c := &m.client
	if file == servingFile {
		c = &m.serving
	}
	m.log.Info("renewed certificate", "certificate", file, "until", c.Load().tls.Leaf.NotAfter)
}

// isFor tells whether the certificate is valid for the addresses, and no others
// but loopback.
func (c *issued) isFor(ips []netip.Addr) bool {
	have := map[netip.Addr]bool{}
	for _, ip := range c.tls.Leaf.IPAddresses {
		if a, ok := netip.AddrFromSlice(ip); ok && !a.Unmap().IsLoopback() {
			have[a.Unmap()] = true
		}
	}
	for _, ip := range ips {
		if !have[ip] {
			return false
		}
	}
	return len(have) == len(ips)
}
