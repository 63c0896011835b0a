package podtemplate

import (
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// ValidateAnnotationUpdate checks the annotations of a pod that mean something to
// its node.
func ValidateAnnotationUpdate(pod, old *corev1.Pod, opts Options) field.ErrorList {
	return validateAnnotationUpdates(pod, old, field.NewPath("metadata", "annotations"), opts)
}

// MergeLabelKeys completes the selectors of a new pod's affinities and spreading
// with the values that its own labels have for their matchLabelKeys (KEP-3633,
// KEP-3243).
func MergeLabelKeys(pod *corev1.Pod) {
	merge := func(s *metav1.LabelSelector, keys []string, op metav1.LabelSelectorOperator) {
		if s == nil {
			return // selects nothing, and goes on to
		}
		for _, key := range keys {
			if value, ok := pod.Labels[key]; ok {
				s.MatchExpressions = append(s.MatchExpressions, metav1.LabelSelectorRequirement{Key: key, Operator: op, Values: []string{value}})
			}
		}
	}
	if pod.Spec.Affinity != nil {
		for term := range affinityTerms(pod.Spec.Affinity) {
			merge(term.LabelSelector, term.MatchLabelKeys, metav1.LabelSelectorOpIn)
			merge(term.LabelSelector, term.MismatchLabelKeys, metav1.LabelSelectorOpNotIn)
		}
	}
	for i := range pod.Spec.TopologySpreadConstraints {
		c := &pod.Spec.TopologySpreadConstraints[i]
		merge(c.LabelSelector, c.MatchLabelKeys, metav1.LabelSelectorOpIn)
	}
}

// AdoptAppArmorAnnotations copies the profiles that a new pod tells in the old
// annotations to the fields (KEP-24). It returns warnings.
func AdoptAppArmorAnnotations(pod *corev1.Pod) []string {
	if pod.Spec.OS != nil && pod.Spec.OS.Name == corev1.Windows {
		return nil
	}
	var whole *corev1.AppArmorProfile
	if pod.Spec.SecurityContext != nil {
		whole = pod.Spec.SecurityContext.AppArmorProfile
	}
	var texts []string
	for c := range Containers(&pod.Spec) {
		key := appArmorContainerKey + c.Name
		value, ok := pod.Annotations[key]
		if !ok || c.SecurityContext != nil && c.SecurityContext.AppArmorProfile != nil {
			continue
		}
		profile := annotatedAppArmor(value)
		if profile != nil && len(ValidateAppArmor(profile, field.NewPath(""))) > 0 {
			profile = nil
		}
		if profile != nil && equality.Semantic.DeepEqual(profile, whole) {
			continue
		}
		if profile != nil {
			if c.SecurityContext == nil {
				c.SecurityContext = &corev1.SecurityContext{}
			}
			c.SecurityContext.AppArmorProfile = profile
		}
		texts = append(texts, fmt.Sprintf(`%s: deprecated since v1.30; use the "appArmorProfile" field instead`, field.NewPath("metadata", "annotations").Key(key)))
	}
	return texts
}

// annotatedAppArmor is the profile that an annotation's value names, nil if it
// names none.
func annotatedAppArmor(value string) *corev1.AppArmorProfile {
	switch value {
	case profileUnconfined:
		return &corev1.AppArmorProfile{Type: corev1.AppArmorProfileTypeUnconfined}
	case seccompRuntimeDefault:
		return &corev1.AppArmorProfile{Type: corev1.AppArmorProfileTypeRuntimeDefault}
	}
	if name, ok := strings.CutPrefix(value, profileLocal); ok && name != "" {
		return &corev1.AppArmorProfile{Type: corev1.AppArmorProfileTypeLocalhost, LocalhostProfile: &name}
	}
	return nil
}
