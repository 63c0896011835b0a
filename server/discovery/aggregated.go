package discovery

import (
	apidiscoveryv2 "k8s.io/api/apidiscovery/v2"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"skiff/server/registry"
)

// AggregatedKind is the kind of aggregated discovery.
var AggregatedKind = apidiscoveryv2.SchemeGroupVersion.WithKind("APIGroupDiscoveryList")

// Aggregated is all of /apis, or of /api if legacy, in one document.
func (d *Documents) Aggregated(legacy bool) *apidiscoveryv2.APIGroupDiscoveryList {
	out := &apidiscoveryv2.APIGroupDiscoveryList{Items: []apidiscoveryv2.APIGroupDiscovery{}}
	out.SetGroupVersionKind(AggregatedKind)
	for _, g := range d.groups {
		if (g.name == "") != legacy {
			continue
		}
		item := apidiscoveryv2.APIGroupDiscovery{ObjectMeta: metav1.ObjectMeta{Name: g.name}}
		for _, v := range g.versions {
			item.Versions = append(item.Versions, g.aggregated(v))
		}
		out.Items = append(out.Items, item)
	}
	return out
}

func (g *group) aggregated(v version) apidiscoveryv2.APIVersionDiscovery {
	gv := schema.GroupVersion{Group: g.name, Version: v.name}
	out := apidiscoveryv2.APIVersionDiscovery{Version: v.name, Freshness: apidiscoveryv2.DiscoveryFreshnessCurrent}
	for _, r := range v.resources {
		out.Resources = append(out.Resources, aggregatedResource(r, gv))
	}
	return out
}

func aggregatedResource(r *registry.Resource, gv schema.GroupVersion) apidiscoveryv2.APIResourceDiscovery {
	out := apidiscoveryv2.APIResourceDiscovery{
		Resource: r.Plural, SingularResource: r.Singular, ResponseKind: metaKind(gv.WithKind(r.Kind)),
		Scope: apidiscoveryv2.ScopeCluster, Verbs: r.ServedVerbs(), ShortNames: r.ShortNames, Categories: r.Categories,
	}
	if r.Namespaced {
		out.Scope = apidiscoveryv2.ScopeNamespace
	}
	for i := range r.Subresources {
		sub := &r.Subresources[i]
		out.Subresources = append(out.Subresources, apidiscoveryv2.APISubresourceDiscovery{
			Subresource: sub.Name, ResponseKind: metaKind(subKind(r, sub, gv)), Verbs: sub.ServedVerbs(),
		})
	}
	return out
}

func metaKind(k schema.GroupVersionKind) *metav1.GroupVersionKind {
	return &metav1.GroupVersionKind{Group: k.Group, Version: k.Version, Kind: k.Kind}
}
