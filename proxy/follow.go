package proxy

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/client-go/tools/cache"

	"skiff/proxy/service"
)

// bySliceService is the index of endpoint slices by the service that they are
// of.
const bySliceService = "proxy-service"

// serviceOf is the key of the service that a slice is of, "" if it is of none.
func serviceOf(o any) string {
	slice, ok := o.(*discoveryv1.EndpointSlice)
	if !ok || slice.Labels[discoveryv1.LabelServiceName] == "" {
		return ""
	}
	return slice.Namespace + "/" + slice.Labels[discoveryv1.LabelServiceName]
}

// watch marks what changes as dirty, and returns when all that exists is.
func (r *rules) watch(ctx context.Context) (stop func(), err error) {
	var stops []func()
	stop = func() {
		for _, s := range stops {
			s()
		}
	}
	var synced []cache.InformerSynced
	for _, w := range []struct {
		what     string
		informer cache.SharedIndexInformer
		handler  cache.ResourceEventHandler
	}{
		{"services", r.services, handler(r.serviceChanged)},
		{"endpoint slices", r.slices, handler(r.sliceChanged)},
		{"nodes", r.nodes, handler(r.nodeChanged)},
	} {
		registration, err := w.informer.AddEventHandler(w.handler)
		if err != nil {
			stop()
			return nil, fmt.Errorf("watch %s: %w", w.what, err)
		}
		stops = append(stops, func() { _ = w.informer.RemoveEventHandler(registration) })
		synced = append(synced, registration.HasSynced)
	}
	if !cache.WaitForCacheSync(ctx.Done(), synced...) {
		stop()
		return nil, ctx.Err()
	}
	return stop, nil
}

// handler calls changed with what was and what is; nil is nothing.
func handler[T any](changed func(old, now *T)) cache.ResourceEventHandlerFuncs {
	as := func(o any) *T {
		if gone, ok := o.(cache.DeletedFinalStateUnknown); ok {
			o = gone.Obj
		}
		typed, _ := o.(*T)
		return typed
	}
	return cache.ResourceEventHandlerFuncs{
		AddFunc:    func(o any) { changed(nil, as(o)) },
		UpdateFunc: func(old, o any) { changed(as(old), as(o)) },
		DeleteFunc: func(o any) { changed(as(o), nil) },
	}
}

func (r *rules) serviceChanged(old, now *corev1.Service) {
	for _, svc := range []*corev1.Service{old, now} {
		if svc != nil {
			r.mark(svc.Namespace + "/" + svc.Name)
		}
	}
}

// sliceChanged marks both services of a slice that moved from one to another.
func (r *rules) sliceChanged(old, now *discoveryv1.EndpointSlice) {
	if due, ok := dueSince(old, now); ok {
		r.mu.Lock()
		r.due = append(r.due, due)
		r.mu.Unlock()
	}
	for _, slice := range []*discoveryv1.EndpointSlice{old, now} {
		if slice != nil {
			r.mark(serviceOf(slice))
		}
	}
}

// started is when this process began: changes of before were another's to follow.
var started = time.Now()

// dueSince is when that happened because of which a slice changed, as the
// controller of endpoint slices says.
func dueSince(old, now *discoveryv1.EndpointSlice) (time.Time, bool) {
	if now == nil {
		return time.Time{}, false
	}
	text := now.Annotations[corev1.EndpointsLastChangeTriggerTime]
	if old != nil && old.Annotations[corev1.EndpointsLastChangeTriggerTime] == text {
		return time.Time{}, false
	}
	due, err := time.Parse(time.RFC3339Nano, text)
	return due, err == nil && due.After(started)
}

// toBeDeleted is the taint that the cluster autoscaler puts on a node before it
// removes it.
const toBeDeleted = "ToBeDeletedByClusterAutoscaler"

// nodeChanged follows this node's zone, and whether it is about to go or gone.
func (r *rules) nodeChanged(old, now *corev1.Node) {
	leaving := now == nil || now.DeletionTimestamp != nil ||
		slices.ContainsFunc(now.Spec.Taints, func(t corev1.Taint) bool { return t.Key == toBeDeleted })
	if now == nil {
		now = old
	}
	if now.Name != r.presentNode().Name {
		return
	}
	r.health.SetLeaving(leaving)
	if zone := now.Labels[corev1.LabelTopologyZone]; zone != r.presentNode().Zone {
		r.setNode(func(n *service.Node) { n.Zone = zone })
	}
}

// setNodeIPs tells that the node has other addresses.
func (r *rules) setNodeIPs(ips []netip.Addr) {
	r.setNode(func(n *service.Node) { n.IPs = ips })
}

// setNode makes all services be looked at as ones of a node that changed.
func (r *rules) setNode(change func(*service.Node)) {
	r.mu.Lock()
	change(&r.node)
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

// mark has a service (namespace/name) looked at.
func (r *rules) mark(key string) {
	if key == "" {
		return
	}
	r.mu.Lock()
	r.dirty[key] = true
	r.mu.Unlock()
	r.health.Queued()
	r.metrics.changeSeen()
	select {
	case r.wake <- struct{}{}:
	default:
	}
}
