package framework

import (
	"fmt"
	"maps"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
)

// AffinityTerm is what a pod's affinity or anti-affinity says of other pods, its
// selectors parsed.
type AffinityTerm struct {
	// Namespaces and NamespaceSelector say where these pods are: in any that
	// either of them has.
	Namespaces        map[string]bool
	NamespaceSelector labels.Selector
	// Selector is about the pods' labels.
	Selector labels.Selector
	// TopologyKey is the label of nodes whose value is the same where pods count
	// as together.
	TopologyKey string
	// Weight is a preferred term's, 0 of a required one.
	Weight int64
}

// Matches tells whether the term is about pod, whose namespace has these labels.
func (t *AffinityTerm) Matches(pod *corev1.Pod, namespace labels.Set) bool {
	return (t.Namespaces[pod.Namespace] || t.NamespaceSelector.Matches(namespace)) && t.Selector.Matches(labels.Set(pod.Labels))
}

// Resolve returns the term with the selector of namespaces replaced by the names
// that list has for it. A selector of all namespaces needs no names.
func (t AffinityTerm) Resolve(list func(labels.Selector) ([]string, error)) (AffinityTerm, error) {
	if t.NamespaceSelector.Empty() {
		return t, nil
	}
	names, err := list(t.NamespaceSelector)
	if err != nil {
		return t, err
	}
	t.Namespaces = maps.Clone(t.Namespaces)
	for _, name := range names {
		t.Namespaces[name] = true
	}
	t.NamespaceSelector = labels.Nothing()
	return t, nil
}

// PodTerms are the terms of a pod's affinity and anti-affinity to other pods.
type PodTerms struct {
	Affinity, AntiAffinity                   []AffinityTerm
	PreferredAffinity, PreferredAntiAffinity []AffinityTerm
	// Err says which term cannot be understood; the others are there.
	Err error
}

// noTerms are those of a pod without any, which is nearly every pod.
var noTerms = &PodTerms{}

// NewPodTerms returns the terms of a pod.
func NewPodTerms(pod *corev1.Pod) *PodTerms {
	a := pod.Spec.Affinity
	if a == nil || a.PodAffinity == nil && a.PodAntiAffinity == nil {
		return noTerms
	}
	t := &PodTerms{}
	if a := a.PodAffinity; a != nil {
		t.Affinity = t.required(pod, a.RequiredDuringSchedulingIgnoredDuringExecution)
		t.PreferredAffinity = t.preferred(pod, a.PreferredDuringSchedulingIgnoredDuringExecution)
	}
	if a := a.PodAntiAffinity; a != nil {
		t.AntiAffinity = t.required(pod, a.RequiredDuringSchedulingIgnoredDuringExecution)
		t.PreferredAntiAffinity = t.preferred(pod, a.PreferredDuringSchedulingIgnoredDuringExecution)
	}
	return t
}

func (t *PodTerms) required(pod *corev1.Pod, terms []corev1.PodAffinityTerm) (parsed []AffinityTerm) {
	for i := range terms {
		parsed = t.parse(parsed, pod, &terms[i], 0)
	}
	return parsed
}

func (t *PodTerms) preferred(pod *corev1.Pod, terms []corev1.WeightedPodAffinityTerm) (parsed []AffinityTerm) {
	for i := range terms {
		parsed = t.parse(parsed, pod, &terms[i].PodAffinityTerm, int64(terms[i].Weight))
	}
	return parsed
}

// parse appends the term, which is about the pod's own namespace if it names
// none.
func (t *PodTerms) parse(to []AffinityTerm, pod *corev1.Pod, term *corev1.PodAffinityTerm, weight int64) []AffinityTerm {
	selector, err := metav1.LabelSelectorAsSelector(term.LabelSelector)
	if err == nil {
		var namespaces labels.Selector
		if namespaces, err = metav1.LabelSelectorAsSelector(term.NamespaceSelector); err == nil {
			names := map[string]bool{}
			for _, name := range term.Namespaces {
				names[name] = true
			}
			if len(names) == 0 && term.NamespaceSelector == nil {
				names[pod.Namespace] = true
			}
			return append(to, AffinityTerm{names, namespaces, selector, term.TopologyKey, weight})
		}
	}
	t.Err = fmt.Errorf("parse pod affinity term for %q: %w", term.TopologyKey, err)
	return to
}
