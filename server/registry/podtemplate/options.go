package podtemplate

import (
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// Options loosen the rules for an update of an object that broke them already
// when it was stored. The zero value is what a new object must satisfy.
type Options struct {
	// AllowInvalidPodDeletionCost keeps a deletion cost that is no number.
	AllowInvalidPodDeletionCost bool
	// AllowIndivisibleHugePages keeps amounts that are no multiple of the page.
	AllowIndivisibleHugePages bool
	// AllowInvalidLabelValueInSelector keeps invalid label values in affinity.
	AllowInvalidLabelValueInSelector bool
	// AllowInvalidLabelValueInNodeAffinity keeps those in required node affinity.
	AllowInvalidLabelValueInNodeAffinity bool
	// AllowInvalidTopologySpreadSelector keeps invalid selectors of spreading.
	AllowInvalidTopologySpreadSelector bool
	// AllowInvalidMatchLabelKeys keeps invalid matchLabelKeys of spreading.
	AllowInvalidMatchLabelKeys bool
	// AllowHostSysctls keeps sysctls of a namespace that the pod shares with its
	// host.
	AllowHostSysctls bool
	// AllowNonLocalTokenPath keeps projected token paths with back-steps.
	AllowNonLocalTokenPath bool
	// AllowUserNamespacesWithVolumeDevices keeps that combination.
	AllowUserNamespacesWithVolumeDevices bool
	// AllowUserNamespacesWithHostNetwork keeps that combination.
	AllowUserNamespacesWithHostNetwork bool
	// AllowRestartContainerRuleForInit keeps restart rules on init containers.
	AllowRestartContainerRuleForInit bool
	// AllowEmptyImageVolumeReference keeps image volumes without a reference.
	AllowEmptyImageVolumeReference bool
	// AllowTolerationComparison keeps the operators Lt and Gt of tolerations.
	AllowTolerationComparison bool
	// AllowSysAdminWithoutEscalation keeps CAP_SYS_ADMIN where privilege
	// escalation is off.
	AllowSysAdminWithoutEscalation bool
	// StandaloneImages tells that the objects are pods: their containers need
	// an image, while a template's may be filled in at admission.
	StandaloneImages bool
}

// OptionsForTemplate returns the rules for a template; old is the stored one,
// nil on create.
func OptionsForTemplate(t, old *corev1.PodTemplateSpec) Options {
	if old == nil {
		return Options{}
	}
	return OptionsFor(&old.Spec, &old.ObjectMeta)
}

// OptionsFor returns the rules for an update of what is stored with this spec and
// metadata. Both may be nil.
func OptionsFor(old *corev1.PodSpec, meta *metav1.ObjectMeta) Options {
	return Options{}
}

// ValidateTemplate checks a pod template at fld.
func ValidateTemplate(t *corev1.PodTemplateSpec, fld *field.Path, opts Options) field.ErrorList {
	return ValidateSpec(&t.Spec, &t.ObjectMeta, fld.Child("spec"), opts)
}

// ValidateSpec checks a pod spec at fld; meta is the pod's or template's.
func ValidateSpec(spec *corev1.PodSpec, meta *metav1.ObjectMeta, fld *field.Path, opts Options) field.ErrorList {
	return nil
}

// ValidateTemplateUpdate checks that a template that may not change has not.
func ValidateTemplateUpdate(t, old *corev1.PodTemplateSpec, fld *field.Path) field.ErrorList {
	return nil
}

// DropDisabledTemplate removes from t the fields of features that are off, as far
// as old (nil on create) does not use them.
func DropDisabledTemplate(t, old *corev1.PodTemplateSpec) {}
