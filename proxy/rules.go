package proxy

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/tools/cache"

	"skiff/proxy/healthcheck"
	"skiff/proxy/service"
)

// rules keeps a Dataplane equal to the services of the informers. Changes are
// collected while one is being carried out, so that many at once cost little
// more than one.
type rules struct {
	plane   Dataplane
	metrics *metrics
	health  *healthcheck.Health
	checks  *healthcheck.Services

	services, slices, nodes cache.SharedIndexInformer

	mu   sync.Mutex
	node service.Node
	// dirty are the services (namespace/name) that changed, due is since when.
	dirty map[string]bool
	due   []time.Time
	wake  chan struct{}

	// compiled are each service's rules, owner is whose backend a frontend has:
	// two services can claim the same external address. losers are those that
	// claimed it later.
	compiled map[string]service.Rules
	owner    map[service.Frontend]string
	losers   map[service.Frontend]map[string]bool
	// ports are the services' health checks.
	ports map[types.NamespacedName]healthcheck.Service
	// carrying is since when the changes are due that are being carried out.
	carrying []time.Time
}

func newRules(node service.Node, factory informers.SharedInformerFactory, plane Dataplane, m *metrics) (*rules, error) {
	health := &healthcheck.Health{}
	r := &rules{
		node: node, plane: plane, metrics: m, health: health, checks: healthcheck.NewServices(health),
		services: factory.Core().V1().Services().Informer(),
		slices:   factory.Discovery().V1().EndpointSlices().Informer(),
		nodes:    factory.Core().V1().Nodes().Informer(),
		dirty:    map[string]bool{}, wake: make(chan struct{}, 1),
	}
	r.forgetAll()
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

// forgetAll makes it so that nothing is in force.
func (r *rules) forgetAll() {
	r.compiled, r.owner = map[string]service.Rules{}, map[service.Frontend]string{}
	r.losers = map[service.Frontend]map[string]bool{}
	r.ports = map[types.NamespacedName]healthcheck.Service{}
	r.metrics.noLocal.Reset()
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
			r.metrics.failed()
			slog.Error("cannot change service rules, making all of them anew", "err", err)
			r.resetUntilDone(ctx)
		}
	}
}

// takeDirty returns the services that changed since it was last called.
func (r *rules) takeDirty() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	keys := slices.Sorted(maps.Keys(r.dirty))
	r.carrying = append(r.carrying, r.due...)
	r.due = nil
	clear(r.dirty)
	return keys
}

// carriedOut tells everyone that the rules are in force.
func (r *rules) carriedOut(begin time.Time) {
	r.metrics.carriedOut(time.Since(begin), r.carrying)
	r.carrying = nil
	r.checks.Sync(r.ports)
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.dirty) == 0 {
		r.health.Updated()
	}
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
	if changes = service.Merge(changes); len(changes) > 0 {
		if err := r.plane.Apply(changes); err != nil {
			return err
		}
	}
	r.carriedOut(begin)
	return nil
}

// update compiles a service anew and appends its changes.
func (r *rules) update(changes []service.Change, key string) []service.Change {
	old, wanted := r.compiled[key], r.claim(key, r.compile(key))
	if len(wanted) == 0 {
		delete(r.compiled, key)
	} else {
		r.compiled[key] = wanted
	}
	r.metrics.changed(old, wanted)
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
	name, svc, list := r.lookUp(key)
	delete(r.ports, name)
	if svc == nil {
		return nil
	}
	node := r.presentNode()
	if port, ready := service.HealthCheck(node, svc, list); port != 0 {
		r.ports[name] = healthcheck.Service{Port: port, Endpoints: ready}
	}
	return service.Compile(node, svc, list)
}

// lookUp returns a service, nil if it is gone, and its slices.
func (r *rules) lookUp(key string) (name types.NamespacedName, svc *corev1.Service, list []*discoveryv1.EndpointSlice) {
	name.Namespace, name.Name, _ = strings.Cut(key, "/")
	o, ok, err := r.services.GetIndexer().GetByKey(key)
	if err != nil || !ok {
		return name, nil, nil
	}
	objects, err := r.slices.GetIndexer().ByIndex(bySliceService, key)
	if err != nil {
		return name, nil, nil
	}
	list = make([]*discoveryv1.EndpointSlice, len(objects))
	for i, o := range objects {
		list[i] = o.(*discoveryv1.EndpointSlice)
	}
	return name, o.(*corev1.Service), list
}

// claim takes out of a service's rules the frontends that another service has.
func (r *rules) claim(key string, wanted service.Rules) service.Rules {
	for f := range wanted {
		owner, taken := r.owner[f]
		if !taken || owner == key {
			r.owner[f] = key
			continue
		}
		delete(wanted, f)
		if r.losers[f] == nil {
			r.losers[f] = map[string]bool{}
		}
		if !r.losers[f][key] {
			slog.Warn("two services claim the same address and port", "frontend", f, "service", key, "owner", owner)
			r.losers[f][key] = true
		}
	}
	return wanted
}

// offer lets the services that wanted a frontend which became free try again.
func (r *rules) offer(f service.Frontend) {
	for key := range r.losers[f] {
		r.mark(key)
	}
	delete(r.losers, f)
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
		r.metrics.failed()
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
	begin := time.Now()
	r.takeDirty()
	r.forgetAll()
	all := service.Rules{}
	for _, key := range slices.Sorted(slices.Values(r.services.GetIndexer().ListKeys())) {
		for _, c := range r.update(nil, key) {
			all[c.Frontend] = c.New
		}
	}
	if err := r.plane.Reset(all); err != nil {
		return err
	}
	r.carriedOut(begin)
	return nil
}
