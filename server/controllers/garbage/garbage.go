// Package garbage deletes objects whose owners are gone, and carries out
// foreground and orphaning deletion.
//
// # Design
//
// Upstream's garbage collector keeps a graph of the metadata of every object.
// Here an index (graph) holds only objects that have owner references or that are
// being deleted with a finalizer for their dependents: about 300 bytes each. All
// other objects pass by without being kept.
//
// The index is fed by the process's shared informers where there is one for the
// resource, and by a bare reflector of metadata without a cache (monitor) for
// each other deletable resource that discovery finds. A monitor costs one watch
// and its goroutines, some 30 KiB, and nothing per object.
//
// Since not all objects are known, an owner that is not in a shared cache is
// looked for live before anything is deleted because of its absence; so is the
// dependent itself. Discovery is repeated when custom resources or aggregated
// APIs change, not by time.
package garbage

import (
	"context"
	"log/slog"
	"sync"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/record"
	"k8s.io/utils/clock"

	"skiff/server/controller"
)

// Config is what the collector needs.
type Config struct {
	Discovery discovery.DiscoveryInterface
	Metadata  metadata.Interface
	// Shared are the informers that exist anyway, by resource.
	Shared map[schema.GroupVersionResource]cache.SharedIndexInformer
	Events record.EventRecorder
	Clock  clock.PassiveClock
	Logger *slog.Logger
}

// New returns the garbage collector; its keys are objects' UIDs.
func New(cfg Config) controller.Controller {
	c := &collector{Config: cfg, graph: newGraph(), monitors: map[schema.GroupVersionResource]*monitor{}, rediscover: make(chan struct{}, 1)}
	out := controller.Controller{Name: "garbage-collector", Reconciler: c, Workers: 10, Start: c.run}
	for gvr, inf := range cfg.Shared {
		out.Sources = append(out.Sources, controller.Source{Informer: inf, Keys: func(old, new any, enqueue func(string)) {
			o, _ := old.(metav1.Object)
			n, _ := new.(metav1.Object)
			c.changed(gvr, o, n, enqueue)
		}})
	}
	return out
}

type collector struct {
	Config
	graph *graph

	mu sync.Mutex
	// kinds are the served resources by kind, in all their versions.
	kinds map[schema.GroupVersionKind]resource
	// resources has the preferred version of each.
	resources  map[schema.GroupVersionResource]resource
	monitors   map[schema.GroupVersionResource]*monitor
	discovered time.Time
	rediscover chan struct{}
}

// resource is what discovery tells about one.
type resource struct {
	gvr        schema.GroupVersionResource
	kind       schema.GroupVersionKind
	namespaced bool
}

// changed takes a change of an object into the graph.
func (c *collector) changed(gvr schema.GroupVersionResource, old, new metav1.Object, enqueue func(string)) {
	if old != nil && (new == nil || new.GetUID() != old.GetUID()) {
		c.graph.remove(old.GetUID(), enqueue)
		old = nil
	}
	if new == nil {
		return
	}
	if old == nil {
		for _, d := range c.graph.strangers(new) {
			c.strange(d, new)
			enqueue(string(d.uid))
		}
	}
	c.graph.put(gvr, new, enqueue)
}

// run discovers the resources and follows them until ctx ends.
func (c *collector) run(ctx context.Context, enqueue controller.Enqueue) error {
	var wg sync.WaitGroup
	defer wg.Wait()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-c.rediscover:
			// Definitions are served a moment after they changed.
			timer.Reset(time.Second)
		case <-timer.C:
			if err := c.discover(ctx, &wg, enqueue); err != nil {
				c.Logger.Debug("some API groups could not be discovered, will retry", "err", err)
				timer.Reset(30 * time.Second)
			}
		}
	}
}
