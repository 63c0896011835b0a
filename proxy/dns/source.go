package dns

import (
	"fmt"
	"net/netip"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/tools/cache"
)

// Source is what the cluster's zone is answered from.
type Source interface {
	// Service returns the service, nil if there is none.
	Service(namespace, name string) *corev1.Service
	// Slices returns the service's endpoint slices.
	Slices(namespace, name string) []*discoveryv1.EndpointSlice
	// NamespaceExists tells whether there is such a namespace.
	NamespaceExists(name string) bool
	// ServiceAt returns the service with this cluster address, nil if there is none.
	ServiceAt(netip.Addr) *corev1.Service
	// SlicesAt returns the slices that have this endpoint address.
	SlicesAt(netip.Addr) []*discoveryv1.EndpointSlice
}

// The names of the indices that DNS adds to the shared informers.
const (
	byAddress = "dns-address"
	byService = "dns-service"
)

// informerSource answers from the process's shared informers.
type informerSource struct {
	services, slices, namespaces cache.Indexer
}

// NewSource returns a Source over the factory's informers. It must be called
// before the factory is started.
func NewSource(factory informers.SharedInformerFactory) (Source, []cache.InformerSynced, error) {
	services := factory.Core().V1().Services().Informer()
	slices := factory.Discovery().V1().EndpointSlices().Informer()
	namespaces := factory.Core().V1().Namespaces().Informer()
	if err := services.AddIndexers(cache.Indexers{byAddress: serviceAddresses}); err != nil {
		return nil, nil, fmt.Errorf("index services for DNS: %w", err)
	}
	if err := slices.AddIndexers(cache.Indexers{byAddress: sliceAddresses, byService: sliceService}); err != nil {
		return nil, nil, fmt.Errorf("index endpoint slices for DNS: %w", err)
	}
	return &informerSource{services: services.GetIndexer(), slices: slices.GetIndexer(), namespaces: namespaces.GetIndexer()},
		[]cache.InformerSynced{services.HasSynced, slices.HasSynced, namespaces.HasSynced}, nil
}

func serviceAddresses(o any) ([]string, error) {
	s, ok := o.(*corev1.Service)
	if !ok || isHeadless(s) {
		return nil, nil
	}
	return s.Spec.ClusterIPs, nil
}

// sliceAddresses indexes only endpoints that a PTR record can name; see KEP-752
// for slices.
func sliceAddresses(o any) ([]string, error) {
	s, ok := o.(*discoveryv1.EndpointSlice)
	if !ok {
		return nil, nil
	}
	addresses := sets.Set[string]{}
	for i := range s.Endpoints {
		addresses.Insert(s.Endpoints[i].Addresses...)
	}
	return addresses.UnsortedList(), nil
}

func sliceService(o any) ([]string, error) {
	s, ok := o.(*discoveryv1.EndpointSlice)
	if !ok || s.Labels[discoveryv1.LabelServiceName] == "" {
		return nil, nil
	}
	return []string{s.Namespace + "/" + s.Labels[discoveryv1.LabelServiceName]}, nil
}

func (s *informerSource) Service(namespace, name string) *corev1.Service {
	o, ok, err := s.services.GetByKey(namespace + "/" + name)
	if err != nil || !ok {
		return nil
	}
	return o.(*corev1.Service)
}

func (s *informerSource) Slices(namespace, name string) []*discoveryv1.EndpointSlice {
	return indexed[*discoveryv1.EndpointSlice](s.slices, byService, namespace+"/"+name)
}

func (s *informerSource) NamespaceExists(name string) bool {
	_, ok, err := s.namespaces.GetByKey(name)
	return err == nil && ok
}

func (s *informerSource) ServiceAt(a netip.Addr) *corev1.Service {
	for _, svc := range indexed[*corev1.Service](s.services, byAddress, a.String()) {
		return svc
	}
	return nil
}

func (s *informerSource) SlicesAt(a netip.Addr) []*discoveryv1.EndpointSlice {
	return indexed[*discoveryv1.EndpointSlice](s.slices, byAddress, a.String())
}

func indexed[T any](indexer cache.Indexer, index, value string) []T {
	objects, err := indexer.ByIndex(index, value)
	if err != nil {
		return nil
	}
	list := make([]T, len(objects))
	for i, o := range objects {
		list[i] = o.(T)
	}
	return list
}
