package noderestriction

import (
	"context"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"

	"skiff/server/admission"
)

// nodes lets a node write its own Node only, and in it nothing that decides which
// pods come to it or what it may read.
func (p *Plugin) nodes(_ context.Context, w write) error {
	if name := w.ObjectName(); name != w.node {
		return w.refuse("node %q is not allowed to modify node %q", w.node, name)
	}
	switch w.Operation {
	case admission.Create:
		node, ok := w.Object.(*corev1.Node)
		if !ok {
			return w.unexpectedType(w.Object)
		}
		if node.Spec.ConfigSource != nil {
			return w.refuse("node %q is not allowed to create pods with a non-nil configSource", w.node)
		}
		if bad := forbiddenLabels(node.Labels, nil); len(bad) > 0 {
			return w.refuse("node %q is not allowed to set the following labels: %s", w.node, strings.Join(bad, ", "))
		}
	case admission.Update:
		return updateNode(w)
	}
	return nil
}

func updateNode(w write) error {
	node, ok := w.Object.(*corev1.Node)
	if !ok {
		return w.unexpectedType(w.Object)
	}
	old, ok := w.OldObject.(*corev1.Node)
	if !ok {
		return w.unexpectedType(w.Object)
	}
	if node.Spec.ConfigSource != nil && !equality.Semantic.DeepEqual(node.Spec.ConfigSource, old.Spec.ConfigSource) {
		return w.refuse("node %q is not allowed to update configSource to a new non-nil configSource", w.node)
	}
	if !equality.Semantic.DeepEqual(node.Spec.Taints, old.Spec.Taints) {
		return w.refuse("node %q is not allowed to modify taints", w.node)
	}
	if !equality.Semantic.DeepEqual(node.OwnerReferences, old.OwnerReferences) {
		return w.refuse("node %q is not allowed to modify ownerReferences", w.node)
	}
	if bad := forbiddenLabels(node.Labels, old.Labels); len(bad) > 0 {
		return w.refuse("is not allowed to modify labels: %s", strings.Join(bad, ", "))
	}
	return nil
}

// forbiddenLabels returns the keys that differ and that a node may not change: those
// of node-restriction.kubernetes.io, and Kubernetes' own that are not a
// kubelet's.
func forbiddenLabels(now, before map[string]string) []string {
	var bad []string
	consider := func(a, b map[string]string) {
		for k, v := range a {
			if other, ok := b[k]; (!ok || other != v) && isForbidden(k) {
				bad = append(bad, k)
			}
		}
	}
	consider(now, before)
	consider(before, now)
	slices.Sort(bad)
	return slices.Compact(bad)
}

func isForbidden(key string) bool {
	domain, _, ok := strings.Cut(key, "/")
	if !ok {
		return false
	}
	if within(domain, corev1.LabelNamespaceNodeRestriction) {
		return true
	}
	if !within(domain, "kubernetes.io") && !within(domain, "k8s.io") {
		return false
	}
	return !slices.Contains(kubeletLabels, key) &&
		!within(domain, corev1.LabelNamespaceSuffixKubelet) && !within(domain, corev1.LabelNamespaceSuffixNode)
}

func within(domain, parent string) bool {
	return domain == parent || strings.HasSuffix(domain, "."+parent)
}

// kubeletLabels are Kubernetes' own that a node sets on itself.
var kubeletLabels = []string{
	corev1.LabelHostname, corev1.LabelTopologyZone, corev1.LabelTopologyRegion,
	corev1.LabelFailureDomainBetaZone, corev1.LabelFailureDomainBetaRegion,
	corev1.LabelInstanceType, corev1.LabelInstanceTypeStable,
	corev1.LabelOSStable, corev1.LabelArchStable,
	"beta.kubernetes.io/os", "beta.kubernetes.io/arch",
}
