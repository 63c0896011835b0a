package manifests

import (
	"errors"
	"fmt"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/restmapper"
)

// errUnserved is that a kind is not served; it may be later.
var errUnserved = errors.New("is not served")

// kinds are the kinds that the API server serves. They are asked for in each pass
// that needs them and then let go: passes are rare, and kinds come and go.
type kinds struct {
	mapper meta.RESTMapper
	// unknown are the versions of groups that could not be asked for.
	unknown map[schema.GroupVersion]error
}

func servedKinds(d discovery.DiscoveryInterface) (*kinds, error) {
	groups, lists, err := d.ServerGroupsAndResources()
	k := &kinds{}
	if failed := (*discovery.ErrGroupDiscoveryFailed)(nil); errors.As(err, &failed) {
		k.unknown = failed.Groups
	} else if err != nil {
		return nil, fmt.Errorf("ask which kinds are served: %w", err)
	}
	resources := map[string][]metav1.APIResource{}
	for _, l := range lists {
		resources[l.GroupVersion] = l.APIResources
	}
	all := make([]*restmapper.APIGroupResources, 0, len(groups))
	for _, g := range groups {
		group := &restmapper.APIGroupResources{Group: *g, VersionedResources: map[string][]metav1.APIResource{}}
		for _, v := range g.Versions {
			group.VersionedResources[v.Version] = resources[v.GroupVersion]
		}
		all = append(all, group)
	}
	k.mapper = restmapper.NewDiscoveryRESTMapper(all)
	return k, nil
}

// find returns where objects of a kind are, in any version unless one is named.
func (k *kinds) find(kind schema.GroupKind, versions ...string) (*meta.RESTMapping, error) {
	m, err := k.mapper.RESTMapping(kind, versions...)
	if !meta.IsNoMatchError(err) {
		return m, err
	}
	for gv, why := range k.unknown {
		if gv.Group == kind.Group {
			return nil, fmt.Errorf("the API server cannot tell of %s now: %w", gv, why)
		}
	}
	for _, v := range versions {
		kind.Group = schema.GroupVersion{Group: kind.Group, Version: v}.String()
	}
	return nil, fmt.Errorf("the kind %s of %s %w", kind.Kind, kind.Group, errUnserved)
}

// place completes a document's identity by where its kind is.
func (k *kinds) place(file string, d document) (*item, error) {
	m, err := k.find(d.gvk.GroupKind(), d.gvk.Version)
	if err != nil {
		return nil, err
	}
	it := &item{document: d, file: file, resource: m.Resource, identity: identity{GroupKind: d.gvk.GroupKind(), name: d.name}}
	if m.Scope.Name() == meta.RESTScopeNameNamespace {
		if it.identity.namespace = d.namespace; d.namespace == "" {
			it.identity.namespace = metav1.NamespaceDefault
		}
	}
	return it, nil
}
