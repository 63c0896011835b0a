// Package interpodaffinity is the plugin for affinity and anti-affinity between
// pods, required and preferred. Both hold in both directions: a pod also stays
// away from where a pod that runs already does not want it, and is drawn to
// where one prefers it.
package interpodaffinity

import (
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/informers"
	corelisters "k8s.io/client-go/listers/core/v1"
	"k8s.io/client-go/tools/cache"

	"skiff/scheduler/framework"
)

const name = "InterPodAffinity"

// Plugin is the InterPodAffinity plugin.
type Plugin struct {
	namespaces corelisters.NamespaceLister
	synced     cache.InformerSynced
}

// New returns the plugin, which takes the labels of namespaces from informers.
func New(informers informers.SharedInformerFactory) Plugin {
	namespaces := informers.Core().V1().Namespaces()
	return Plugin{namespaces.Lister(), namespaces.Informer().HasSynced}
}

// Name implements framework.Plugin.
func (Plugin) Name() string { return name }

// HasSynced implements framework.InformedPlugin.
func (p Plugin) HasSynced() bool { return p.synced() }

// resolve returns the terms with the names of the namespaces that they select,
// so that they match pods without looking at the pods' namespaces.
func (p Plugin) resolve(terms []framework.AffinityTerm) ([]framework.AffinityTerm, error) {
	resolved := make([]framework.AffinityTerm, len(terms))
	for i, term := range terms {
		var err error
		if resolved[i], err = term.Resolve(p.list); err != nil {
			return nil, err
		}
	}
	return resolved, nil
}

func (p Plugin) list(selector labels.Selector) (names []string, err error) {
	namespaces, err := p.namespaces.List(selector)
	for _, namespace := range namespaces {
		names = append(names, namespace.Name)
	}
	return names, err
}

// labels are those of a namespace; one that is not known has none.
func (p Plugin) labels(namespace string) labels.Set {
	if ns, err := p.namespaces.Get(namespace); err == nil {
		return ns.Labels
	}
	return nil
}

// matchesAll tells whether resolved terms are all about the pod. No terms are
// about none.
func matchesAll(terms []framework.AffinityTerm, pod *corev1.Pod) bool {
	return len(terms) > 0 && !slices.ContainsFunc(terms, func(t framework.AffinityTerm) bool { return !t.Matches(pod, nil) })
}

// matchesAny tells whether one of the terms is about the pod, whose namespace has
// these labels.
func matchesAny(terms []framework.AffinityTerm, pod *corev1.Pod, namespace labels.Set) bool {
	return slices.ContainsFunc(terms, func(t framework.AffinityTerm) bool { return t.Matches(pod, namespace) })
}
