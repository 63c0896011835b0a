package proxy

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/tools/cache"

	"skiff/proxy/service"
)

// bySliceService is the index of endpoint slices by the service that they are
// of.
const bySliceService = "proxy-service"

// rules keeps a Dataplane equal to the services of the informers. Changes are
// collected while one is being carried out, so that many at once cost little
// more than one.
type rules struct {
	node     service.Node // guarded by mu
	plane    Dataplane
	duration prometheus.Histogram

	services, slices cache.SharedIndexInformer

	mu sync.Mutex
	// dirty are the services (namespace/name) that changed.
	dirty map[string]bool
	wake  chan struct{}

	// compiled are each service's rules, owner is whose backend a frontend has:
	// two services can claim the same external address.
	compiled map[string]service.Rules
	owner    map[service.Frontend]string
}

func newRules(node service.Node, factory informers.SharedInformerFactory, plane Dataplane) (*rules, error) {
	r := &rules{
		node: node, plane: plane,
		services: factory.Core().V1().Services().Informer(),
		slices:   factory.Discovery().V1().EndpointSlices().Informer(),
		dirty:    map[string]bool{}, wake: make(chan struct{}, 1),
		compiled: map[string]service.Rules{}, owner: map[service.Frontend]string{},
		duration: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "kubeproxy_sync_proxy_rules_duration_seconds",
			Help:    "Time to carry out a set of service changes in the kernel.",
			Buckets: prometheus.ExponentialBuckets(0.0005, 4, 8),
		}),
	}
	err := r.slices.AddIndexers(cache.Indexers{bySliceService: func(o any) ([]string, error) {
		if key := serviceOf(o); key != "" {
			return []string{key}, nil
		}
		return nil, nil
	}})
	if err != nil {
		return nil, fmt.Errorf("index endpoint slices by service: %w", err)
	}
	return r, nil
}

// serviceOf is the key of the service that a slice is of, "" if it is of none.
func serviceOf(o any) string {
	slice, ok := o.(*discoveryv1.EndpointSlice)
	if !ok || slice.Labels[discoveryv1.LabelServiceName] == "" {
		return ""
	}
	return slice.Namespace + "/" + slice.Labels[discoveryv1.LabelServiceName]
}

func (r *rules) run(ctx context.Context, ready func()) error {
	stop, err := r.watch(ctx)
	if err != nil {
		return err
	}
	defer stop()
	r.resetUntilDone(ctx)
	ready()
	for {
		select {
		case <-r.wake:
		case <-ctx.Done():
			return nil
		}
		if err := r.sync(); err != nil {
			slog.Error("cannot change service rules, making all of them anew", "err", err)
			r.resetUntilDone(ctx)
		}
	}
}

// watch marks what changes as dirty, and returns when all that exists is.
func (r *rules) watch(ctx context.Context) (stop func(), err error) {
	services, err := r.services.AddEventHandler(handler(func(o any) string {
		key, _ := cache.DeletionHandlingMetaNamespaceKeyFunc(o)
		return key
	}, r.mark))
	if err != nil {
		return nil, fmt.Errorf("watch services: %w", err)
	}
	slices, err := r.slices.AddEventHandler(handler(func(o any) string {
		if gone, ok := o.(cache.DeletedFinalStateUnknown); ok {
			o = gone.Obj
		}
		return serviceOf(o)
	}, r.mark))
	if err != nil {
		return nil, errors.Join(fmt.Errorf("watch endpoint slices: %w", err), r.services.RemoveEventHandler(services))
	}
	stop = func() {
		_ = r.services.RemoveEventHandler(services)
		_ = r.slices.RemoveEventHandler(slices)
	}
	if !cache.WaitForCacheSync(ctx.Done(), services.HasSynced, slices.HasSynced) {
		stop()
		return nil, ctx.Err()
	}
	return stop, nil
}

func handler(key func(any) string, mark func(string)) cache.ResourceEventHandlerFuncs {
	return cache.ResourceEventHandlerFuncs{
		AddFunc: func(o any) { mark(key(o)) },
		// A slice may have moved from one service to another.
		UpdateFunc: func(old, o any) { mark(key(old)); mark(key(o)) },
		DeleteFunc: func(o any) { mark(key(o)) },
	}
}

func (r *rules) mark(key string) {
	if key == "" {
		return
	}
	r.mu.Lock()
	r.dirty[key] = true
	r.mu.Unlock()
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// setNodeIPs makes all services be looked at as ones of a node with other
// addresses.
func (r *rules) setNodeIPs(ips []netip.Addr) {
	r.mu.Lock()
	r.node.IPs = ips
	r.mu.Unlock()
	for _, key := range r.services.GetIndexer().ListKeys() {
		r.mark(key)
	}
}

func (r *rules) presentNode() service.Node {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.node
}

func (r *rules) takeDirty() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	keys := slices.Sorted(maps.Keys(r.dirty))
	clear(r.dirty)
	return keys
}

// sync carries out what changed.
func (r *rules) sync() error {
	begin := time.Now()
	var changes []service.Change
	for keys := r.takeDirty(); len(keys) > 0; keys = r.takeDirty() {
		for _, key := range keys {
			changes = r.update(changes, key)
		}
	}
	changes = service.Merge(changes)
	if len(changes) == 0 {
		return nil
	}
	defer func() { r.duration.Observe(time.Since(begin).Seconds()) }()
	return r.plane.Apply(changes)
}

// update compiles a service anew and appends its changes.
func (r *rules) update(changes []service.Change, key string) []service.Change {
	old, wanted := r.compiled[key], r.claim(key, r.compile(key))
	if len(wanted) == 0 {
		delete(r.compiled, key)
	} else {
		r.compiled[key] = wanted
	}
	diff := service.Diff(old, wanted)
	for _, c := range diff {
		if c.New == nil {
			delete(r.owner, c.Frontend)
			r.offer(c.Frontend)
		}
	}
	return append(changes, diff...)
}

func (r *rules) compile(key string) service.Rules {
	o, ok, err := r.services.GetIndexer().GetByKey(key)
	if err != nil || !ok {
		return nil
	}
	objects, err := r.slices.GetIndexer().ByIndex(bySliceService, key)
	if err != nil {
		return nil
	}
	list := make([]*discoveryv1.EndpointSlice, len(objects))
	for i, o := range objects {
		list[i] = o.(*discoveryv1.EndpointSlice)
	}
	return service.Compile(r.presentNode(), o.(*corev1.Service), list)
}

// claim takes out of a service's rules the frontends that another service has.
func (r *rules) claim(key string, wanted service.Rules) service.Rules {
	for f := range wanted {
		if owner, taken := r.owner[f]; taken && owner != key {
			slog.Warn("two services claim the same address and port", "frontend", f, "service", key, "owner", owner)
			delete(wanted, f)
			continue
		}
		r.owner[f] = key
	}
	return wanted
}

// offer lets the services that may want a frontend which became free try again.
func (r *rules) offer(f service.Frontend) {
	for _, o := range r.services.GetIndexer().List() {
		svc := o.(*corev1.Service)
		if slices.Contains(svc.Spec.ExternalIPs, f.Addr.String()) {
			r.mark(svc.Namespace + "/" + svc.Name)
		}
	}
}

// resetUntilDone makes all rules anew, again and again until that works.
func (r *rules) resetUntilDone(ctx context.Context) {
	for failed := false; ; failed = true {
		err := r.reset()
		if err == nil {
			if failed {
				slog.Info("service rules are made")
			}
			return
		}
		if !failed {
			slog.Error("cannot make service rules, trying until it works", "err", err)
		}
		select {
		case <-time.After(retryAfter):
		case <-ctx.Done():
			return
		}
	}
}

func (r *rules) reset() error {
	r.takeDirty()
	r.compiled, r.owner = map[string]service.Rules{}, map[service.Frontend]string{}
	all := service.Rules{}
	for _, key := range r.services.GetIndexer().ListKeys() {
		for _, c := range r.update(nil, key) {
			all[c.Frontend] = c.New
		}
	}
	return r.plane.Reset(all)
}
