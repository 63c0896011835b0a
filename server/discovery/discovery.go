// Package discovery makes the documents by which clients find out what an API
// server serves, from the table of resources: the group lists and resource lists
// of old, and the aggregated discovery of KEP-3352.
//
//	list := discovery.Of(resources).Aggregated(false)
package discovery

import (
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"skiff/server/registry"
)

// Request is what a discovery path asks for.
type Request struct {
	// Legacy is the core group's tree, /api.
	Legacy bool
	// Group and Version are empty for the tree's root; Version alone for a group.
	Group, Version string
}

// Path parses a path of discovery: /api, /api/v1, /apis, /apis/G or /apis/G/V,
// with or without a slash at the end.
func Path(path string) (Request, bool) {
	parts := strings.Split(strings.Trim(path, "/"), "/")
	switch {
	case parts[0] == "api" && len(parts) == 1:
		return Request{Legacy: true}, true
	case parts[0] == "api" && len(parts) == 2:
		return Request{Legacy: true, Version: parts[1]}, true
	case parts[0] == "apis" && len(parts) == 1:
		return Request{}, true
	case parts[0] == "apis" && len(parts) == 2:
		return Request{Group: parts[1]}, true
	case parts[0] == "apis" && len(parts) == 3:
		return Request{Group: parts[1], Version: parts[2]}, true
	}
	return Request{}, false
}

// Documents makes the documents of a table of resources.
type Documents struct {
	groups []group
	// hashes name the form in which each resource is stored.
	hashes map[schema.GroupResource]string
}

type group struct {
	name     string
	versions []version
}

type version struct {
	name      string
	resources []*registry.Resource
}

// Of orders resources by group and version. Groups come in the order of their
// first resource, versions in their order of preference.
func Of(resources []*registry.Resource) *Documents {
	d := &Documents{hashes: hashes(resources)}
	for _, r := range resources {
		g := d.group(r.Group)
		for i := range r.Versions {
			v := g.version(r.Versions[i].Name)
			v.resources = append(v.resources, r)
		}
	}
	for i := range d.groups {
		for j := range d.groups[i].versions {
			slices.SortFunc(d.groups[i].versions[j].resources, func(a, b *registry.Resource) int { return strings.Compare(a.Plural, b.Plural) })
		}
	}
	return d
}

func (d *Documents) group(name string) *group {
	i := slices.IndexFunc(d.groups, func(g group) bool { return g.name == name })
	if i < 0 {
		d.groups = append(d.groups, group{name: name})
		i = len(d.groups) - 1
	}
	return &d.groups[i]
}

func (g *group) version(name string) *version {
	i := slices.IndexFunc(g.versions, func(v version) bool { return v.name == name })
	if i < 0 {
		g.versions = append(g.versions, version{name: name})
		i = len(g.versions) - 1
	}
	return &g.versions[i]
}

// Versions is the document of /api. address is how the client reached the server.
func (d *Documents) Versions(address string) *metav1.APIVersions {
	out := &metav1.APIVersions{
		TypeMeta:                   metav1.TypeMeta{Kind: "APIVersions"},
		Versions:                   []string{},
		ServerAddressByClientCIDRs: []metav1.ServerAddressByClientCIDR{{ClientCIDR: "0.0.0.0/0", ServerAddress: address}},
	}
	for _, g := range d.groups {
		if g.name == "" {
			for _, v := range g.versions {
				out.Versions = append(out.Versions, v.name)
			}
		}
	}
	return out
}

// Groups is the document of /apis.
func (d *Documents) Groups() *metav1.APIGroupList {
	out := &metav1.APIGroupList{TypeMeta: metav1.TypeMeta{Kind: "APIGroupList", APIVersion: "v1"}, Groups: []metav1.APIGroup{}}
	for _, g := range d.groups {
		if g.name != "" {
			out.Groups = append(out.Groups, g.document())
		}
	}
	return out
}

// Group is the document of one group.
func (d *Documents) Group(name string) (*metav1.APIGroup, bool) {
	for _, g := range d.groups {
		if g.name == name && name != "" {
			out := g.document()
			out.TypeMeta = metav1.TypeMeta{Kind: "APIGroup", APIVersion: "v1"}
			return &out, true
		}
	}
	return nil, false
}

func (g *group) document() metav1.APIGroup {
	out := metav1.APIGroup{Name: g.name}
	for _, v := range g.versions {
		gv := schema.GroupVersion{Group: g.name, Version: v.name}
		out.Versions = append(out.Versions, metav1.GroupVersionForDiscovery{GroupVersion: gv.String(), Version: v.name})
	}
	out.PreferredVersion = out.Versions[0]
	return out
}

// Resources is the document of one version of a group.
func (d *Documents) Resources(groupName, versionName string) (*metav1.APIResourceList, bool) {
	for _, g := range d.groups {
		if g.name != groupName {
			continue
		}
		for _, v := range g.versions {
			if v.name == versionName {
				return d.resources(&g, v), true
			}
		}
	}
	return nil, false
}

func (d *Documents) resources(g *group, v version) *metav1.APIResourceList {
	gv := schema.GroupVersion{Group: g.name, Version: v.name}
	out := &metav1.APIResourceList{TypeMeta: metav1.TypeMeta{Kind: "APIResourceList", APIVersion: "v1"}, GroupVersion: gv.String(), APIResources: []metav1.APIResource{}}
	if g.name == "" {
		out.APIVersion = "" // as it has been since the time when there was only one group
	}
	for _, r := range v.resources {
		out.APIResources = append(out.APIResources, metav1.APIResource{
			Name: r.Plural, SingularName: r.Singular, Namespaced: r.Namespaced, Kind: r.Kind,
			Verbs: r.ServedVerbs(), ShortNames: r.ShortNames, Categories: r.Categories, StorageVersionHash: d.hashes[r.GroupResource()],
		})
		for i := range r.Subresources {
			sub := &r.Subresources[i]
			kind := subKind(r, sub, gv)
			a := metav1.APIResource{Name: r.Plural + "/" + sub.Name, Namespaced: r.Namespaced, Kind: kind.Kind, Verbs: sub.ServedVerbs()}
			if kind.GroupVersion() != gv {
				a.Group, a.Version = kind.Group, kind.Version
			}
			out.APIResources = append(out.APIResources, a)
		}
	}
	return out
}

func subKind(r *registry.Resource, sub *registry.Subresource, gv schema.GroupVersion) schema.GroupVersionKind {
	switch {
	case sub.Scale != nil:
		return schema.GroupVersionKind{Group: "autoscaling", Version: "v1", Kind: "Scale"}
	case !sub.Kind.Empty():
		return sub.Kind
	}
	return gv.WithKind(r.Kind)
}
