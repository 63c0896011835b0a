package webhook

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/tools/cache"
)

// source has the hooks of all configurations of one kind.
type source struct {
	// synced tells that cached knows all there is.
	synced func() bool
	cached func() ([]configuration, error)
	// direct reads the same from the API server.
	direct func(ctx context.Context) ([]configuration, error)

	mu    sync.Mutex
	stale bool
	list  []*hook
	made  map[string]made
}

// configuration is an object that holds hooks.
type configuration struct {
	metav1.Object
	hooks func() []*hook
}

// made are the hooks of a configuration as it was.
type made struct {
	version string
	hooks   []*hook
}

// newSource makes a source of an informer, which must not have started, of the list
// of its lister, and of one that the API server gives. wrap makes a configuration of
// an object.
func newSource[T any](informer cache.SharedIndexInformer, cached func(labels.Selector) ([]*T, error), direct func(context.Context) ([]T, error), wrap func(*T) configuration) *source {
	s := &source{synced: informer.HasSynced, stale: true, made: map[string]made{}}
	s.cached = func() ([]configuration, error) {
		list, err := cached(labels.Everything())
		out := make([]configuration, len(list))
		for i, c := range list {
			out[i] = wrap(c)
		}
		return out, err
	}
	s.direct = func(ctx context.Context) ([]configuration, error) {
		list, err := direct(ctx)
		out := make([]configuration, len(list))
		for i := range list {
			out[i] = wrap(&list[i])
		}
		return out, err
	}
	changed := func(any) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.stale = true
	}
	// An informer that has not started takes every handler.
	_, _ = informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc: changed, UpdateFunc: func(_, now any) { changed(now) }, DeleteFunc: changed,
	})
	return s
}

// get returns the hooks in the order in which they are called. A write that comes
// before the informer is ready must not pass them by.
func (s *source) get(ctx context.Context) ([]*hook, error) {
	if !s.synced() {
		list, err := s.direct(ctx)
		if err != nil {
			return nil, fmt.Errorf("look for webhooks: %w", err)
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		s.take(list)
		s.stale = true
		return s.list, nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stale {
		list, err := s.cached()
		if err != nil {
			return nil, fmt.Errorf("look for webhooks: %w", err)
		}
		s.take(list)
		s.stale = false
	}
	return s.list, nil
}

// take makes the hooks anew of those configurations that have changed.
func (s *source) take(list []configuration) {
	slices.SortFunc(list, func(a, b configuration) int { return strings.Compare(a.GetName(), b.GetName()) })
	now := make(map[string]made, len(list))
	s.list = nil
	for _, c := range list {
		key, version := string(c.GetUID())+c.GetName(), c.GetResourceVersion()
		m, ok := s.made[key]
		if !ok || m.version != version {
			for _, h := range m.hooks {
				h.close()
			}
			m = made{version, c.hooks()}
		}
		now[key] = m
		s.list = append(s.list, m.hooks...)
		delete(s.made, key)
	}
	for _, gone := range s.made {
		for _, h := range gone.hooks {
			h.close()
		}
	}
	s.made = now
}

func mutatingSource(cfg Config) *source {
	type object = admissionv1.MutatingWebhookConfiguration
	i := cfg.Informers.Admissionregistration().V1().MutatingWebhookConfigurations()
	return newSource(i.Informer(), i.Lister().List, func(ctx context.Context) ([]object, error) {
		list, err := cfg.Client.AdmissionregistrationV1().MutatingWebhookConfigurations().List(ctx, metav1.ListOptions{})
		if err != nil {
			return nil, err
		}
		return list.Items, nil
	}, func(c *object) configuration {
		return configuration{c, func() []*hook { return hooksOf(&cfg, c.Name, c.Webhooks, newMutatingHook) }}
	})
}

func validatingSource(cfg Config) *source {
	type object = admissionv1.ValidatingWebhookConfiguration
	i := cfg.Informers.Admissionregistration().V1().ValidatingWebhookConfigurations()
	return newSource(i.Informer(), i.Lister().List, func(ctx context.Context) ([]object, error) {
		list, err := cfg.Client.AdmissionregistrationV1().ValidatingWebhookConfigurations().List(ctx, metav1.ListOptions{})
		if err != nil {
			return nil, err
		}
		return list.Items, nil
	}, func(c *object) configuration {
		return configuration{c, func() []*hook { return hooksOf(&cfg, c.Name, c.Webhooks, newHook) }}
	})
}

// hooksOf makes the hooks of a configuration.
func hooksOf[W any](cfg *Config, name string, webhooks []W, make func(*Config, string, int, *W) *hook) []*hook {
	var hooks []*hook
	for i := range webhooks {
		hooks = append(hooks, make(cfg, name, i, &webhooks[i]))
	}
	return hooks
}
