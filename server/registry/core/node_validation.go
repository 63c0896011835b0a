package core

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	metavalidation "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
	netutils "k8s.io/utils/net"

	"skiff/server/registry/podtemplate"
	"skiff/server/registry/untagged"
)

func validateNode(_ context.Context, n *corev1.Node) field.ErrorList {
	meta := path("metadata")
	errs := nodeAnnotations(n.Annotations, meta.Child("annotations"))
	// Taints are reported as if they were metadata, as upstream does.
	errs = append(errs, validateTaints(n.Spec.Taints, meta.Child("taints"))...)
	errs = append(errs, nodeResources(&n.Status)...)
	if swap := n.Status.NodeInfo.Swap; swap != nil && swap.Capacity != nil {
		errs = append(errs, podtemplate.Positive(*swap.Capacity, meta.Child("nodeSwapStatus", "capacity"))...)
	}
	errs = append(errs, declaredFeatures(n.Status.DeclaredFeatures, path("status", "declaredFeatures"))...)
	return append(errs, validatePodCIDRs(n.Spec.PodCIDRs)...)
}

func validatePodCIDRs(cidrs []string) field.ErrorList {
	var errs field.ErrorList
	at := path("spec", "podCIDRs")
	for i, cidr := range cidrs {
		errs = append(errs, podtemplate.LegacyCIDR(at.Index(i), cidr, nil)...)
	}
	if len(cidrs) < 2 {
		return errs
	}
	dual, err := netutils.IsDualStackCIDRStrings(cidrs)
	if err != nil {
		errs = append(errs, field.InternalError(at, fmt.Errorf("invalid PodCIDRs. failed to check with dual stack with error:%w", err)))
	}
	if !dual || len(cidrs) > 2 {
		errs = append(errs, field.Invalid(at, cidrs, "may specify no more than one CIDR for each IP family"))
	}
	return errs
}

func nodeResources(s *corev1.NodeStatus) field.ErrorList {
	var errs field.ErrorList
	each := func(list corev1.ResourceList, name string) {
		for _, key := range slices.SortedFunc(maps.Keys(list), cmp.Compare[corev1.ResourceName]) {
			errs = append(errs, podtemplate.ResourceQuantity(key, list[key], path("status", name, string(key)))...)
		}
	}
	each(s.Capacity, "capacity")
	each(s.Allocatable, "allocatable")
	return errs
}

// featureName is a path of names, of which the first is in UpperCamelCase
// (KEP-5328).
var featureName = regexp.MustCompile(`^[A-Z][a-zA-Z0-9]*(\/[a-zA-Z][a-zA-Z0-9]*)*$`)

func declaredFeatures(names []string, fld *field.Path) field.ErrorList {
	var errs field.ErrorList
	for i, name := range names {
		switch {
		case len(name) > validation.DNS1123SubdomainMaxLength:
			errs = append(errs, field.Invalid(fld.Index(i), name, fmt.Sprintf("invalid feature name %q: must be no more than %d characters", name, validation.DNS1123SubdomainMaxLength)))
		case !featureName.MatchString(name):
			errs = append(errs, field.Invalid(fld.Index(i), name, fmt.Sprintf("invalid feature name %q: must start with an UpperCamelCase segment, with subsequent segments separated by '/' (e.g., MyFeature or MyFeature/mySubFeature), and contain only alphanumeric characters and slashes", name)))
		}
		if i+1 == len(names) {
			break
		}
		if next := names[i+1]; name == next {
			errs = append(errs, field.Duplicate(fld.Index(i+1), next))
		} else if name > next {
			errs = append(errs, field.Invalid(fld.Index(i+1), next, "list must be sorted alphabetically"))
		}
	}
	return errs
}

func validateTaints(taints []corev1.Taint, fld *field.Path) field.ErrorList {
	var errs field.ErrorList
	seen := map[corev1.TaintEffect]sets.Set[string]{}
	for i, t := range taints {
		at := fld.Index(i)
		errs = append(errs, metavalidation.ValidateLabelName(t.Key, at.Child("key"))...)
		if msgs := validation.IsValidLabelValue(t.Value); len(msgs) > 0 {
			errs = append(errs, field.Invalid(at.Child("value"), t.Value, strings.Join(msgs, ";")))
		}
		if t.Effect == "" {
			errs = append(errs, field.Required(at.Child("effect"), ""))
		} else {
			errs = append(errs, podtemplate.TaintEffect(t.Effect, at.Child("effect"))...)
		}
		if seen[t.Effect].Has(t.Key) {
			err := field.Duplicate(at, untagged.Value(t))
			err.Detail = "taints must be unique by key and effect pair"
			errs = append(errs, err)
			continue
		}
		if seen[t.Effect] == nil {
			seen[t.Effect] = sets.New[string]()
		}
		seen[t.Effect].Insert(t.Key)
	}
	return errs
}

// The annotations that told of taints, and of pods to avoid, before there were
// fields.
const (
	taintsKey    = corev1.TaintsAnnotationKey
	avoidPodsKey = corev1.PreferAvoidPodsAnnotationKey
)

func nodeAnnotations(annotations map[string]string, fld *field.Path) field.ErrorList {
	var errs field.ErrorList
	if value := annotations[taintsKey]; value != "" {
		var taints []corev1.Taint
		if err := json.Unmarshal([]byte(value), &taints); err != nil {
			errs = append(errs, field.Invalid(fld, taintsKey, err.Error()))
		} else {
			errs = append(errs, validateTaints(taints, fld.Child(taintsKey))...)
		}
	}
	value := annotations[avoidPodsKey]
	if value == "" {
		return errs
	}
	var avoid corev1.AvoidPods
	if err := json.Unmarshal([]byte(value), &avoid); err != nil {
		return append(errs, field.Invalid(fld.Child("AvoidPods"), avoidPodsKey, err.Error()))
	}
	for i := range avoid.PreferAvoidPods {
		at := fld.Child(avoidPodsKey).Index(i).Child("PodSignature")
		owner := avoid.PreferAvoidPods[i].PodSignature.PodController
		if owner == nil {
			errs = append(errs, field.Required(at, ""))
		} else if !isTrue(owner.Controller) {
			errs = append(errs, field.Invalid(at.Child("PodController", "Controller"), false, "must point to a controller"))
		}
	}
	return errs
}

func validateNodeUpdate(ctx context.Context, n, old *corev1.Node) field.ErrorList {
	return append(validateNode(ctx, n), validateNodeStatusUpdate(ctx, n, old)...)
}

// validateNodeStatusUpdate checks what holds for updates of the spec and of the
// status.
func validateNodeStatusUpdate(_ context.Context, n, old *corev1.Node) field.ErrorList {
	errs := nodeAnnotations(n.Annotations, path("metadata", "annotations"))
	errs = append(errs, nodeResources(&n.Status)...)
	errs = append(errs, declaredFeatures(n.Status.DeclaredFeatures, path("status", "declaredFeatures"))...)
	seen := map[corev1.NodeAddress]bool{}
	for i, a := range n.Status.Addresses {
		if seen[a] {
			errs = append(errs, field.Duplicate(path("status", "addresses").Index(i), untagged.Value(a)))
		}
		seen[a] = true
	}
	errs = append(errs, validateNodeIdentity(&n.Spec, &old.Spec)...)
	if n.Spec.ConfigSource != nil {
		errs = append(errs, nodeConfig(n.Spec.ConfigSource, path("spec", "configSource"), false)...)
	}
	if c := n.Status.Config; c != nil {
		at := path("status", "config")
		for _, s := range []struct {
			name   string
			source *corev1.NodeConfigSource
		}{{"assigned", c.Assigned}, {"active", c.Active}, {"lastKnownGood", c.LastKnownGood}} {
			if s.source != nil {
				errs = append(errs, nodeConfig(s.source, at.Child(s.name), true)...)
			}
		}
	}
	errs = append(errs, validateTaints(n.Spec.Taints, path("metadata", "taints"))...)
	if n.Spec.DoNotUseExternalID != old.Spec.DoNotUseExternalID {
		errs = append(errs, field.Forbidden(path("spec", "externalID"), "may not be updated"))
	}
	return errs
}

// validateNodeIdentity keeps address blocks and the provider's name for a node
// once they are set.
func validateNodeIdentity(s, old *corev1.NodeSpec) field.ErrorList {
	const text = "node updates may not change podCIDR except from \"\" to valid"
	var errs field.ErrorList
	at := path("spec", "podCIDRs")
	if len(old.PodCIDRs) > 0 {
		if len(old.PodCIDRs) != len(s.PodCIDRs) {
			errs = append(errs, field.Forbidden(at, text))
		} else {
			for i := range old.PodCIDRs {
				if old.PodCIDRs[i] != s.PodCIDRs[i] {
					errs = append(errs, field.Forbidden(at, text))
				}
			}
		}
	}
	at = path("spec", "providerID")
	switch {
	case old.ProviderID == "" || old.ProviderID == s.ProviderID:
	case s.ProviderID == "":
		errs = append(errs, field.Invalid(at, nil, "field cannot be cleared once set"))
	default:
		errs = append(errs, field.Invalid(at, nil, "field cannot be modified once set"))
	}
	return errs
}

// nodeConfig checks where the configuration of a node comes from, a feature that
// is gone except for objects which still have it.
func nodeConfig(source *corev1.NodeConfigSource, fld *field.Path, status bool) field.ErrorList {
	c := source.ConfigMap
	if c == nil {
		return field.ErrorList{field.Invalid(fld, untagged.Value(source), "exactly one reference subfield must be non-nil")}
	}
	var errs field.ErrorList
	at := fld.Child("configMap")
	if status {
		if c.UID == "" {
			errs = append(errs, field.Required(at.Child("uid"), ""))
		}
		if c.ResourceVersion == "" {
			errs = append(errs, field.Required(at.Child("resourceVersion"), ""))
		}
	} else {
		if c.UID != "" {
			errs = append(errs, field.Forbidden(at.Child("uid"), "uid must not be set in spec"))
		}
		if c.ResourceVersion != "" {
			errs = append(errs, field.Forbidden(at.Child("resourceVersion"), "resourceVersion must not be set in spec"))
		}
	}
	for _, f := range []struct {
		name, value string
		check       func(string) []string
	}{
		{"namespace", c.Namespace, func(s string) []string { return apivalidation.ValidateNamespaceName(s, false) }},
		{"name", c.Name, func(s string) []string { return apivalidation.NameIsDNSSubdomain(s, false) }},
		{"kubeletConfigKey", c.KubeletConfigKey, validation.IsConfigMapKey},
	} {
		if f.value == "" {
			errs = append(errs, field.Required(at.Child(f.name), ""))
			continue
		}
		for _, msg := range f.check(f.value) {
			errs = append(errs, field.Invalid(at.Child(f.name), f.value, msg))
		}
	}
	return errs
}
