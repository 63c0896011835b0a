package podtemplate

import (
	corev1 "k8s.io/api/core/v1"
	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	metavalidation "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

func validateAffinity(a *corev1.Affinity, fld *field.Path, opts Options) field.ErrorList {
	if a == nil {
		return nil
	}
	var errs field.ErrorList
	if n := a.NodeAffinity; n != nil {
		at := fld.Child("nodeAffinity")
		if required := n.RequiredDuringSchedulingIgnoredDuringExecution; required != nil {
			errs = append(errs, ValidateNodeSelector(required, opts.AllowInvalidLabelValueInNodeAffinity, at.Child("requiredDuringSchedulingIgnoredDuringExecution"))...)
		}
		errs = append(errs, preferredTerms(n.PreferredDuringSchedulingIgnoredDuringExecution, at.Child("preferredDuringSchedulingIgnoredDuringExecution"))...)
	}
	if p := a.PodAffinity; p != nil {
		errs = append(errs, podAffinity(p.RequiredDuringSchedulingIgnoredDuringExecution, p.PreferredDuringSchedulingIgnoredDuringExecution, fld.Child("podAffinity"), opts)...)
	}
	if p := a.PodAntiAffinity; p != nil {
		errs = append(errs, podAffinity(p.RequiredDuringSchedulingIgnoredDuringExecution, p.PreferredDuringSchedulingIgnoredDuringExecution, fld.Child("podAntiAffinity"), opts)...)
	}
	return errs
}

// ValidateNodeSelector checks a choice of nodes. allowInvalidValues keeps label
// values that no node can have.
func ValidateNodeSelector(s *corev1.NodeSelector, allowInvalidValues bool, fld *field.Path) field.ErrorList {
	terms := fld.Child("nodeSelectorTerms")
	if len(s.NodeSelectorTerms) == 0 {
		return field.ErrorList{field.Required(terms, "must have at least one node selector term")}
	}
	var errs field.ErrorList
	for i := range s.NodeSelectorTerms {
		errs = append(errs, nodeSelectorTerm(&s.NodeSelectorTerms[i], allowInvalidValues, terms.Index(i))...)
	}
	return errs
}

func preferredTerms(terms []corev1.PreferredSchedulingTerm, fld *field.Path) field.ErrorList {
	var errs field.ErrorList
	for i := range terms {
		errs = append(errs, weight(terms[i].Weight, fld.Index(i))...)
		// A preference that can never be met does no harm: any values are allowed.
		errs = append(errs, nodeSelectorTerm(&terms[i].Preference, true, fld.Index(i).Child("preference"))...)
	}
	return errs
}

func weight(n int32, fld *field.Path) field.ErrorList {
	if n > 0 && n <= 100 {
		return nil
	}
	return field.ErrorList{field.Invalid(fld.Child("weight"), n, "must be in the range 1-100")}
}

func nodeSelectorTerm(t *corev1.NodeSelectorTerm, allowInvalidValues bool, fld *field.Path) field.ErrorList {
	var errs field.ErrorList
	for i := range t.MatchExpressions {
		errs = append(errs, nodeRequirement(&t.MatchExpressions[i], allowInvalidValues, fld.Child("matchExpressions").Index(i))...)
	}
	for i := range t.MatchFields {
		errs = append(errs, nodeFieldRequirement(&t.MatchFields[i], fld.Child("matchFields").Index(i))...)
	}
	return errs
}

func nodeRequirement(r *corev1.NodeSelectorRequirement, allowInvalidValues bool, fld *field.Path) field.ErrorList {
	var errs field.ErrorList
	values := fld.Child("values")
	switch r.Operator {
	case corev1.NodeSelectorOpIn, corev1.NodeSelectorOpNotIn:
		if len(r.Values) == 0 {
			errs = append(errs, field.Required(values, "must be specified when `operator` is 'In' or 'NotIn'"))
		}
	case corev1.NodeSelectorOpExists, corev1.NodeSelectorOpDoesNotExist:
		if len(r.Values) > 0 {
			errs = append(errs, field.Forbidden(values, "may not be specified when `operator` is 'Exists' or 'DoesNotExist'"))
		}
	case corev1.NodeSelectorOpGt, corev1.NodeSelectorOpLt:
		if len(r.Values) != 1 {
			errs = append(errs, field.Required(values, "must be specified single value when `operator` is 'Lt' or 'Gt'"))
		}
	default:
		errs = append(errs, field.Invalid(fld.Child("operator"), r.Operator, "not a valid selector operator"))
	}
	errs = append(errs, metavalidation.ValidateLabelName(r.Key, fld.Child("key"))...)
	if allowInvalidValues {
		return errs
	}
	for i, value := range r.Values {
		errs = append(errs, invalids(values.Index(i), value, validation.IsValidLabelValue(value))...)
	}
	return errs
}

func nodeFieldRequirement(r *corev1.NodeSelectorRequirement, fld *field.Path) field.ErrorList {
	var errs field.ErrorList
	switch r.Operator {
	case corev1.NodeSelectorOpIn, corev1.NodeSelectorOpNotIn:
		if len(r.Values) != 1 {
			errs = append(errs, field.Required(fld.Child("values"), "must be only one value when `operator` is 'In' or 'NotIn' for node field selector"))
		}
	default:
		errs = append(errs, field.Invalid(fld.Child("operator"), r.Operator, "not a valid selector operator"))
	}
	if r.Key != metav1.ObjectNameField {
		return append(errs, field.Invalid(fld.Child("key"), r.Key, "not a valid field selector key"))
	}
	for i, value := range r.Values {
		errs = append(errs, invalids(fld.Child("values").Index(i), value, apivalidation.NameIsDNSSubdomain(value, false))...)
	}
	return errs
}

func podAffinity(terms []corev1.PodAffinityTerm, preferred []corev1.WeightedPodAffinityTerm, fld *field.Path, opts Options) field.ErrorList {
	var errs field.ErrorList
	for i := range terms {
		errs = append(errs, affinityTerm(&terms[i], fld.Child("requiredDuringSchedulingIgnoredDuringExecution").Index(i), opts)...)
	}
	for i := range preferred {
		at := fld.Child("preferredDuringSchedulingIgnoredDuringExecution").Index(i)
		errs = append(errs, weight(preferred[i].Weight, at)...)
		errs = append(errs, affinityTerm(&preferred[i].PodAffinityTerm, at.Child("podAffinityTerm"), opts)...)
	}
	return errs
}

func affinityTerm(t *corev1.PodAffinityTerm, fld *field.Path, opts Options) field.ErrorList {
	errs := affinitySelectors(t, fld, opts.AllowInvalidLabelValueInSelector)
	for _, name := range t.Namespaces {
		errs = append(errs, NamespaceName(name, fld.Child("namespace"))...)
	}
	errs = append(errs, matchLabelKeys(fld, t.MatchLabelKeys, t.MismatchLabelKeys, t.LabelSelector)...)
	if t.TopologyKey == "" {
		errs = append(errs, field.Required(fld.Child("topologyKey"), "can not be empty"))
	}
	return append(errs, metavalidation.ValidateLabelName(t.TopologyKey, fld.Child("topologyKey"))...)
}

func affinitySelectors(t *corev1.PodAffinityTerm, fld *field.Path, allowInvalidValues bool) field.ErrorList {
	opts := metavalidation.LabelSelectorValidationOptions{AllowInvalidLabelValueInSelector: allowInvalidValues}
	errs := metavalidation.ValidateLabelSelector(t.LabelSelector, opts, fld.Child("labelSelector"))
	return append(errs, metavalidation.ValidateLabelSelector(t.NamespaceSelector, opts, fld.Child("namespaceSelector"))...)
}

// matchLabelKeys checks the keys whose values come from the pod's own labels
// (KEP-3633). The selector may have been completed with them already.
func matchLabelKeys(fld *field.Path, match, mismatch []string, selector *metav1.LabelSelector) field.ErrorList {
	errs := labelKeys(fld.Child("matchLabelKeys"), match, selector)
	errs = append(errs, labelKeys(fld.Child("mismatchLabelKeys"), mismatch, selector)...)
	if selector != nil {
		index := make(map[string]int, len(match))
		for i, key := range match {
			index[key] = i
		}
		seen := sets.KeySet(selector.MatchLabels)
		for _, expression := range selector.MatchExpressions {
			if i, ok := index[expression.Key]; ok && seen.Has(expression.Key) {
				errs = append(errs, field.Invalid(fld.Index(i), expression.Key, "exists in both matchLabelKeys and labelSelector"))
			}
			seen.Insert(expression.Key)
		}
	}
	other := sets.New(mismatch...)
	for i, key := range match {
		if other.Has(key) {
			errs = append(errs, field.Invalid(fld.Child("matchLabelKeys").Index(i), key, "exists in both matchLabelKeys and mismatchLabelKeys"))
		}
	}
	return errs
}

func labelKeys(fld *field.Path, keys []string, selector *metav1.LabelSelector) field.ErrorList {
	if len(keys) == 0 {
		return nil
	}
	if selector == nil {
		return field.ErrorList{field.Forbidden(fld, "must not be specified when labelSelector is not set")}
	}
	var errs field.ErrorList
	for i, key := range keys {
		errs = append(errs, metavalidation.ValidateLabelName(key, fld.Index(i))...)
	}
	return errs
}
