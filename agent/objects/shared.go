package objects

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/cache"
)

// Shared reads informers over all config maps and secrets.
type Shared struct {
	index
	configMaps, secrets cache.SharedIndexInformer
	registrations       []func() error
}

// NewShared returns a source over informers that somebody else runs.
func NewShared(configMaps, secrets cache.SharedIndexInformer) (*Shared, error) {
	s := &Shared{index: newIndex(), configMaps: configMaps, secrets: secrets}
	for _, one := range []struct {
		secret   bool
		informer cache.SharedIndexInformer
	}{{false, configMaps}, {true, secrets}} {
		reg, err := one.informer.AddEventHandler(s.handler(one.secret))
		if err != nil {
			return nil, fmt.Errorf("follow config objects: %w", err)
		}
		informer := one.informer
		s.registrations = append(s.registrations, func() error { return informer.RemoveEventHandler(reg) })
	}
	return s, nil
}

func (s *Shared) handler(secret bool) cache.ResourceEventHandler {
	changed := func(obj any) {
		if tomb, ok := obj.(cache.DeletedFinalStateUnknown); ok {
			obj = tomb.Obj
		}
		if m, ok := obj.(interface {
			GetNamespace() string
			GetName() string
		}); ok {
			s.changed(ref{secret, m.GetNamespace(), m.GetName()})
		}
	}
	return cache.ResourceEventHandlerFuncs{
		AddFunc:    changed,
		UpdateFunc: func(_, obj any) { changed(obj) },
		DeleteFunc: changed,
	}
}

// ConfigMap implements Source.
func (s *Shared) ConfigMap(_ context.Context, namespace, name string) (*corev1.ConfigMap, error) {
	return find[*corev1.ConfigMap](s.configMaps, ref{false, namespace, name})
}

// Secret implements Source.
func (s *Shared) Secret(_ context.Context, namespace, name string) (*corev1.Secret, error) {
	return find[*corev1.Secret](s.secrets, ref{true, namespace, name})
}

func find[T any](informer cache.SharedIndexInformer, r ref) (T, error) {
	var zero T
	if !informer.HasSynced() {
		return zero, fmt.Errorf("the cache of %q is not filled yet", r.namespace+"/"+r.name)
	}
	obj, ok, err := informer.GetStore().GetByKey(r.namespace + "/" + r.name)
	if err != nil {
		return zero, err
	}
	if !ok {
		return zero, notFound(r)
	}
	return obj.(T), nil
}

// Track implements Source.
func (s *Shared) Track(pod *corev1.Pod) { s.track(pod) }

// Untrack implements Source.
func (s *Shared) Untrack(uid types.UID) { s.untrack(uid) }

// OnChange implements Source.
func (s *Shared) OnChange(notify func([]types.UID)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.notify = notify
}

// Close implements Source.
func (s *Shared) Close() {
	for _, remove := range s.registrations {
		remove()
	}
}
