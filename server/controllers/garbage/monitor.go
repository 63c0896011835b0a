package garbage

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/tools/cache"

	"skiff/server/controller"
)

// monitor follows the metadata of one resource without keeping it.
type monitor struct {
	c       *collector
	res     resource
	enqueue func(string)
	cancel  context.CancelFunc
	synced  atomic.Bool
}

// Add implements cache.ReflectorStore.
func (m *monitor) Add(obj any) error { return m.Update(obj) }

// Update implements cache.ReflectorStore.
func (m *monitor) Update(obj any) error {
	o, ok := obj.(metav1.Object)
	if !ok {
		return fmt.Errorf("monitor %s: got %T", m.res.gvr, obj)
	}
	m.definitions()
	m.c.changed(m.res.gvr, nil, o, m.enqueue)
	return nil
}

// Delete implements cache.ReflectorStore.
func (m *monitor) Delete(obj any) error {
	o, ok := obj.(metav1.Object)
	if !ok {
		return fmt.Errorf("monitor %s: got %T", m.res.gvr, obj)
	}
	m.definitions()
	m.c.changed(m.res.gvr, o, nil, m.enqueue)
	return nil
}

// Replace implements cache.ReflectorStore.
func (m *monitor) Replace(objs []any, _ string) error {
	have := make(map[types.UID]bool, len(objs))
	for _, obj := range objs {
		if o, ok := obj.(metav1.Object); ok {
			have[o.GetUID()] = true
			m.c.changed(m.res.gvr, nil, o, m.enqueue)
		}
	}
	m.c.graph.replaced(m.res.gvr, func(r metav1.OwnerReference) bool {
		gv, err := schema.ParseGroupVersion(r.APIVersion)
		return err == nil && gv.Group == m.res.gvr.Group && r.Kind == m.res.kind.Kind
	}, have, m.enqueue)
	m.synced.Store(true)
	return nil
}

// Resync implements cache.ReflectorStore.
func (m *monitor) Resync() error { return nil }

// definitions asks for another discovery if this monitor's resource defines
// others.
func (m *monitor) definitions() {
	gr := m.res.gvr.GroupResource().String()
	if !m.synced.Load() || gr != "customresourcedefinitions.apiextensions.k8s.io" && gr != "apiservices.apiregistration.k8s.io" {
		return
	}
	select {
	case m.c.rediscover <- struct{}{}:
	default:
	}
}

func (m *monitor) run(ctx context.Context) {
	client := m.c.Metadata.Resource(m.res.gvr)
	lw := &cache.ListWatch{
		ListWithContextFunc: func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) { return client.List(ctx, o) },
		WatchFuncWithContext: func(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) {
			return client.Watch(ctx, o)
		},
	}
	r := cache.NewReflectorWithOptions(lw, &metav1.PartialObjectMetadata{}, m, cache.ReflectorOptions{Name: "garbage-collector " + m.res.gvr.String()})
	r.RunWithContext(ctx)
}

// ignored are resources whose objects are not collected: there are many, and they
// end by time.
var ignored = map[schema.GroupResource]bool{
	{Resource: "events"}: true, {Group: "events.k8s.io", Resource: "events"}: true,
}

// discover starts a monitor for each resource that needs one and has none, and
// ends those of resources that are no longer served.
func (c *collector) discover(ctx context.Context, wg *sync.WaitGroup, enqueue controller.Enqueue) error {
	_, lists, err := c.Discovery.ServerGroupsAndResources()
	if len(lists) == 0 {
		return err
	}
	preferred, perr := c.Discovery.ServerPreferredResources()
	if err == nil {
		err = perr
	}
	kinds, resources := map[schema.GroupVersionKind]resource{}, map[schema.GroupVersionResource]resource{}
	each(lists, func(r resource, _ metav1.Verbs) { kinds[r.kind] = r })
	each(preferred, func(r resource, verbs metav1.Verbs) {
		if slices.Contains(verbs, "delete") && slices.Contains(verbs, "list") && slices.Contains(verbs, "watch") && !ignored[r.gvr.GroupResource()] {
			resources[r.gvr] = r
		}
	})
	c.mu.Lock()
	defer c.mu.Unlock()
	if err != nil { // what could not be discovered may still be there
		for k, r := range c.kinds {
			if _, ok := kinds[k]; !ok {
				kinds[k] = r
			}
		}
		for g, r := range c.resources {
			if _, ok := resources[g]; !ok {
				resources[g] = r
			}
		}
	}
	news := len(kinds) != len(c.kinds)
	c.kinds, c.resources, c.discovered = kinds, resources, c.Clock.Now()
	for gvr, m := range c.monitors {
		if _, ok := resources[gvr]; !ok {
			m.cancel()
			delete(c.monitors, gvr)
			c.graph.replaced(gvr, func(metav1.OwnerReference) bool { return false }, nil, m.enqueue)
		}
	}
	for gvr, r := range resources {
		if c.Shared[gvr] != nil || c.monitors[gvr] != nil {
			continue
		}
		mctx, cancel := context.WithCancel(ctx)
		m := &monitor{c: c, res: r, cancel: cancel, enqueue: func(key string) { enqueue(key, 0) }}
		c.monitors[gvr] = m
		wg.Go(func() {
			defer cancel()
			m.run(mctx)
		})
	}
	if news { // owners of kinds that were unknown may be found now
		c.graph.each(func(key string) { enqueue(key, 0) })
	}
	return err
}

func each(lists []*metav1.APIResourceList, f func(resource, metav1.Verbs)) {
	for _, l := range lists {
		gv, err := schema.ParseGroupVersion(l.GroupVersion)
		if err != nil {
			continue
		}
		for _, r := range l.APIResources {
			if !strings.Contains(r.Name, "/") {
				f(resource{gvr: gv.WithResource(r.Name), kind: gv.WithKind(r.Kind), namespaced: r.Namespaced}, r.Verbs)
			}
		}
	}
}
