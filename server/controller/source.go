package controller

import (
	"context"
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/cache"
)

// Source wakes a loop on the changes that an informer sees.
type Source struct {
	Informer cache.SharedIndexInformer
	// Keys calls enqueue for each key that the change concerns. old is nil when
	// the object appeared, new when it went away. It runs on the informer's
	// goroutine, shared with all other loops, and must not block.
	Keys func(old, new any, enqueue func(key string))
}

// For wakes the loop with an object's own key on each of its changes.
func For(informer cache.SharedIndexInformer) Source {
	return Source{Informer: informer, Keys: func(old, new any, enqueue func(string)) {
		if new == nil {
			new = old
		}
		if o, ok := new.(metav1.Object); ok {
			enqueue(Key(o))
		}
	}}
}

// ForOne wakes the loop with the key of one object, on that object's changes.
func ForOne(informer cache.SharedIndexInformer, key string) Source {
	all := For(informer)
	return Source{Informer: informer, Keys: func(old, new any, enqueue func(string)) {
		all.Keys(old, new, func(k string) {
			if k == key {
				enqueue(k)
			}
		})
	}}
}

// Watch wakes the loop with what keys finds for a change; old or new is nil if
// the object appeared or went away.
func Watch[T any](informer cache.SharedIndexInformer, keys func(old, new *T, enqueue func(key string))) Source {
	return Source{Informer: informer, Keys: func(old, new any, enqueue func(string)) {
		o, _ := old.(*T)
		n, _ := new.(*T)
		if o != nil || n != nil {
			keys(o, n, enqueue)
		}
	}}
}

// Key returns namespace/name, or the name of what has no namespace.
func Key(o metav1.Object) string {
	if ns := o.GetNamespace(); ns != "" {
		return ns + "/" + o.GetName()
	}
	return o.GetName()
}

// hub has one handler on each informer, which serves all sources: a handler
// costs two goroutines and a buffer.
type hub struct {
	// targets are by the informers' stores: typed informers come in a new wrapper
	// each time that a factory is asked for one.
	targets map[cache.Indexer]*target
}

type target struct {
	informer cache.SharedIndexInformer
	sources  []func(old, new any)
	reg      cache.ResourceEventHandlerRegistration
}

func newHub() *hub { return &hub{targets: map[cache.Indexer]*target{}} }

func (h *hub) target(inf cache.SharedIndexInformer) *target {
	t := h.targets[inf.GetIndexer()]
	if t == nil {
		t = &target{informer: inf}
		h.targets[inf.GetIndexer()] = t
	}
	return t
}

func (h *hub) add(s Source, enqueue func(string)) {
	t := h.target(s.Informer)
	t.sources = append(t.sources, func(old, new any) { s.Keys(old, new, enqueue) })
}

// read makes the informer one that can be waited for.
func (h *hub) read(inf cache.SharedIndexInformer) { h.target(inf) }

func (h *hub) open() error {
	for _, t := range h.targets {
		if len(t.sources) == 0 {
			continue
		}
		reg, err := t.informer.AddEventHandler(t)
		if err != nil {
			return fmt.Errorf("add handler to informer: %w", err)
		}
		t.reg = reg
	}
	return nil
}

func (h *hub) close() {
	for _, t := range h.targets {
		if t.reg != nil {
			_ = t.informer.RemoveEventHandler(t.reg) // fails only for what is not there
		}
	}
}

// wait returns when the informers have synced and the handlers saw the initial
// objects; false if ctx ended before.
func (h *hub) wait(ctx context.Context, informers []cache.SharedIndexInformer) bool {
	for _, inf := range informers {
		done := inf.HasSyncedChecker().Done()
		if reg := h.targets[inf.GetIndexer()].reg; reg != nil {
			done = reg.HasSyncedChecker().Done()
		}
		select {
		case <-done:
		case <-ctx.Done():
			return false
		}
	}
	return true
}

// OnAdd implements cache.ResourceEventHandler.
func (t *target) OnAdd(obj any, _ bool) { t.send(nil, obj) }

// OnUpdate implements cache.ResourceEventHandler.
func (t *target) OnUpdate(old, new any) {
	o, ok1 := old.(metav1.Object)
	n, ok2 := new.(metav1.Object)
	if ok1 && ok2 && n.GetResourceVersion() != "" && o.GetResourceVersion() == n.GetResourceVersion() {
		return // a relist, nothing changed
	}
	t.send(old, new)
}

// OnDelete implements cache.ResourceEventHandler.
func (t *target) OnDelete(obj any) {
	if d, ok := obj.(cache.DeletedFinalStateUnknown); ok {
		obj = d.Obj
	}
	t.send(obj, nil)
}

func (t *target) send(old, new any) {
	for _, f := range t.sources {
		f(old, new)
	}
}
