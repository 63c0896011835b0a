package registry

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/runtime/schema"

	"skiff/store"
)

// Registry holds the generic stores of all resources over one store.
type Registry struct {
	backend store.Store
	now     func() time.Time

	mu     sync.RWMutex
	stores map[schema.GroupResource]*Store
}

// NewRegistry returns a registry of resources. now is the clock of creation and
// deletion timestamps; nil is the real one.
func NewRegistry(backend store.Store, now func() time.Time, resources ...*Resource) (*Registry, error) {
	if now == nil {
		now = time.Now
	}
	r := &Registry{backend: backend, now: now, stores: make(map[schema.GroupResource]*Store, len(resources))}
	return r, r.Add(resources...)
}

// Add makes resources known, or replaces them.
func (r *Registry) Add(resources ...*Resource) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, own := range []bool{true, false} {
		for _, res := range resources {
			if (res.StoredAs == nil) != own {
				continue
			}
			s, err := r.newStore(res)
			if err != nil {
				return err
			}
			r.stores[res.GroupResource()] = s
		}
	}
	return nil
}

// Remove forgets a resource; its objects stay in the store.
func (r *Registry) Remove(resource schema.GroupResource) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.stores, resource)
}

// Store returns the generic store of a resource.
func (r *Registry) Store(resource schema.GroupResource) (*Store, bool) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	s, ok := r.stores[resource]
	return s, ok
}

// GroupResource is the resource's name within the cluster.
func (r *Resource) GroupResource() schema.GroupResource {
	return schema.GroupResource{Group: r.Group, Resource: r.Plural}
}

// GroupKind is the kind of the resource's objects.
func (r *Resource) GroupKind() schema.GroupKind {
	return schema.GroupKind{Group: r.Group, Kind: r.Kind}
}

// Storage returns the storage version, or nil if the resource has none of its
// own (see StoredAs, Create).
func (r *Resource) Storage() *Version {
	for i := range r.Versions {
		if r.Versions[i].ToHub == nil {
			return &r.Versions[i]
		}
	}
	return nil
}

// Serves tells whether the main resource serves an API verb.
func (r *Resource) Serves(verb string) bool {
	if r.Create != nil {
		return verb == "create"
	}
	if r.Verbs == nil {
		return true
	}
	for _, v := range r.Verbs {
		if v == verb {
			return true
		}
	}
	return false
}

// ServedVerbs are the verbs of the main resource, sorted.
func (r *Resource) ServedVerbs() []string {
	return served(r.Serves)
}

// Serves tells whether the subresource serves an API verb.
func (s *Subresource) Serves(verb string) bool {
	switch {
	case s.Verbs != nil:
		return slices.Contains(s.Verbs, verb)
	case s.Create != nil:
		return verb == "create"
	}
	return verb == "get" || verb == "patch" || verb == "update"
}

// ServedVerbs are the verbs of the subresource, sorted.
func (s *Subresource) ServedVerbs() []string { return served(s.Serves) }

func served(serves func(string) bool) []string {
	var out []string
	for _, v := range []string{"create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"} {
		if serves(v) {
			out = append(out, v)
		}
	}
	return out
}

// Store is the generic store of one resource. Its methods take and return
// objects of the type in memory, and return errors that are API statuses.
type Store struct {
	res    *Resource
	reg    *Registry
	codec  codec
	newHub func() Object
	// prefix is the part of the keys before namespace and name, with the slash.
	prefix string
	gr     schema.GroupResource
	// specFields are the indexes of what metadata.generation counts.
	specFields []int
	// wire are the selectable fields that are read without decoding.
	wire map[string]wirePath
}

var _ Objects = (*Store)(nil)

func (r *Registry) newStore(res *Resource) (*Store, error) {
	s := &Store{res: res, reg: r, gr: res.GroupResource()}
	stored := s.gr
	if res.StoredAs != nil {
		stored = *res.StoredAs
		other, ok := r.stores[stored]
		if !ok {
			return nil, fmt.Errorf("resource %s is stored as %s, which does not exist", s.gr, stored)
		}
		s.newHub, s.codec = other.newHub, other.codec
	} else if v := res.Storage(); v == nil {
		return nil, fmt.Errorf("resource %s has no storage version", s.gr)
	} else if _, ok := v.New().(Object); ok {
		s.newHub = func() Object { return v.New().(Object) }
		s.codec = codecFor(s.newHub())
	} else if res.Create == nil {
		return nil, fmt.Errorf("resource %s: %T has no metadata and cannot be stored", s.gr, v.New())
	}
	s.prefix = KeyPrefix(stored)
	if s.newHub == nil {
		return s, nil
	}
	s.specFields = specFields(s.newHub())
	if !s.Protobuf() || len(res.WireFields) == 0 {
		return s, nil
	}
	var err error
	if s.wire, err = wirePaths(s.newHub(), res.WireFields); err != nil {
		return nil, fmt.Errorf("resource %s: %w", s.gr, err)
	}
	return s, nil
}

// KeyPrefix is what the store's keys of a resource start with.
func KeyPrefix(resource schema.GroupResource) string {
	if resource.Group == "" {
		return resource.Resource + "/"
	}
	return resource.Resource + "." + resource.Group + "/"
}

// Key is the store's key of an object; namespace is "" for cluster-scoped ones.
func Key(resource schema.GroupResource, namespace, name string) string {
	if namespace == "" {
		return KeyPrefix(resource) + name
	}
	return KeyPrefix(resource) + namespace + "/" + name
}

func (s *Store) key(namespace, name string) string {
	if !s.res.Namespaced {
		return s.prefix + name
	}
	return s.prefix + namespace + "/" + name
}

// Name returns the namespace and name in a key.
func (s *Store) Name(key string) (namespace, name string) {
	rest := key[len(s.prefix):]
	if !s.res.Namespaced {
		return "", rest
	}
	namespace, name, _ = strings.Cut(rest, "/")
	return namespace, name
}

// Resource returns the description of the store's resource.
func (s *Store) Resource() *Resource { return s.res }

// Of implements Objects.
func (s *Store) Of(resource schema.GroupResource) (Objects, bool) {
	other, ok := s.reg.Store(resource)
	if !ok {
		return nil, false
	}
	return other, true
}

// reader implements Reader.
type reader struct{ r *Registry }

func (a reader) Exists(ctx context.Context, key string) (bool, error) {
	_, _, err := a.r.backend.Get(ctx, key, store.ReadOptions{})
	if isNotFound(err) {
		return false, nil
	}
	return err == nil, err
}

func (a reader) List(ctx context.Context, resource schema.GroupResource) ([]Object, error) {
	s, ok := a.r.Store(resource)
	if !ok {
		return nil, fmt.Errorf("list %s: no such resource", resource)
	}
	list, err := a.r.backend.List(ctx, s.prefix, store.ListOptions{ReadOptions: store.ReadOptions{Stale: true}})
	if err != nil {
		return nil, err
	}
	objects := make([]Object, 0, len(list.Items))
	for _, it := range list.Items {
		obj, err := s.Decode(it.Key, it.Value, it.Revision)
		if err != nil {
			return nil, err
		}
		objects = append(objects, obj)
	}
	return objects, nil
}
