package podtemplate

import (
	"fmt"
	"math"

	corev1 "k8s.io/api/core/v1"
	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	metavalidation "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"skiff/server/registry/check"
)

// ValidateTemplate checks a pod template at fld.
func ValidateTemplate(t *corev1.PodTemplateSpec, fld *field.Path, opts Options) field.ErrorList {
	errs := metavalidation.ValidateLabels(t.Labels, fld.Child("labels"))
	errs = append(errs, apivalidation.ValidateAnnotations(t.Annotations, fld.Child("annotations"))...)
	errs = append(errs, validatePodAnnotations(t.Annotations, &t.Spec, fld.Child("annotations"), opts)...)
	errs = append(errs, ValidateSpec(&t.Spec, nil, fld.Child("spec"), opts)...)
	errs = append(errs, validateProfilesAgree(t.Annotations, &t.Spec, fld.Child("spec"))...)
	if len(t.Spec.EphemeralContainers) > 0 {
		errs = append(errs, field.Forbidden(fld.Child("spec", "ephemeralContainers"), "ephemeral containers not allowed in pod template"))
	}
	return errs
}

// ValidateTemplateUpdate checks that a template that may not change has not.
func ValidateTemplateUpdate(t, old *corev1.PodTemplateSpec, fld *field.Path) field.ErrorList {
	return check.Immutable(*t, *old, fld)
}

// ValidateSpec checks a pod spec at fld. meta is the pod's metadata, nil for a
// spec that is not (yet) a pod's.
func ValidateSpec(spec *corev1.PodSpec, meta *metav1.ObjectMeta, fld *field.Path, opts Options) field.ErrorList {
	var errs field.ErrorList
	if spec.TerminationGracePeriodSeconds == nil {
		errs = append(errs, field.Required(fld.Child("terminationGracePeriodSeconds"), ""))
	}
	volumes, found := validateVolumes(spec.Volumes, meta, fld.Child("volumes"), opts)
	errs = append(errs, found...)
	mirror := meta != nil && IsMirror(meta.Annotations)
	errs = append(errs, validateResourceClaims(spec, mirror, fld.Child("resourceClaims"))...)
	pod := &podContext{spec: spec, volumes: volumes, claims: podClaimNames(spec), opts: opts}
	errs = append(errs, pod.containers(fld.Child("containers"))...)
	errs = append(errs, pod.initContainers(fld.Child("initContainers"))...)
	errs = append(errs, pod.ephemeralContainers(fld.Child("ephemeralContainers"))...)
	errs = append(errs, validatePodResources(spec, pod.claims, fld.Child("resources"), opts)...)
	errs = append(errs, validateHostNetworkPorts(spec, fld, opts)...)
	errs = append(errs, requiredOneOf(fld.Child("restartPolicy"), spec.RestartPolicy,
		corev1.RestartPolicyAlways, corev1.RestartPolicyOnFailure, corev1.RestartPolicyNever)...)
	errs = append(errs, requiredOneOf(fld.Child("dnsPolicy"), spec.DNSPolicy,
		corev1.DNSClusterFirstWithHostNet, corev1.DNSClusterFirst, corev1.DNSDefault, corev1.DNSNone)...)
	errs = append(errs, metavalidation.ValidateLabels(spec.NodeSelector, fld.Child("nodeSelector"))...)
	errs = append(errs, validatePodSecurity(spec, fld.Child("securityContext"), opts)...)
	if isTrue(spec.ShareProcessNamespace) && spec.HostPID {
		errs = append(errs, field.Invalid(fld.Child("shareProcessNamespace"), true, "ShareProcessNamespace and HostPID cannot both be enabled"))
	}
	errs = append(errs, validateAffinity(spec.Affinity, fld.Child("affinity"), opts)...)
	errs = append(errs, validateDNSConfig(spec.DNSConfig, spec.DNSPolicy, fld.Child("dnsConfig"))...)
	errs = append(errs, validateGates(spec, fld)...)
	errs = append(errs, validateSpread(spec.TopologySpreadConstraints, fld.Child("topologySpreadConstraints"), opts)...)
	errs = append(errs, validateHostProcess(spec, fld)...)
	errs = append(errs, validateHostUsers(spec, fld, opts)...)
	errs = append(errs, validateHostnameOverride(spec, fld)...)
	errs = append(errs, validateIdentity(spec, fld)...)
	errs = append(errs, validateScheduling(spec, fld, opts)...)
	return append(errs, validateFileKeyVolumes(spec, fld)...)
}

// validateGates checks what a pod's readiness and its scheduling wait for.
func validateGates(spec *corev1.PodSpec, fld *field.Path) field.ErrorList {
	var errs field.ErrorList
	for i, gate := range spec.ReadinessGates {
		errs = append(errs, QualifiedName(string(gate.ConditionType), fld.Child("readinessGates").Index(i).Child("conditionType"))...)
	}
	seen := sets.New[string]()
	for i, gate := range spec.SchedulingGates {
		at := fld.Child("schedulingGates").Index(i)
		errs = append(errs, QualifiedName(gate.Name, at)...)
		if seen.Has(gate.Name) {
			errs = append(errs, field.Duplicate(at, gate.Name))
		}
		seen.Insert(gate.Name)
	}
	return errs
}

// validateIdentity checks what a pod is called and what it runs as.
func validateIdentity(spec *corev1.PodSpec, fld *field.Path) field.ErrorList {
	var errs field.ErrorList
	if spec.ServiceAccountName != "" {
		errs = append(errs, objectName(spec.ServiceAccountName, fld.Child("serviceAccountName"))...)
	}
	if spec.DeprecatedServiceAccount != spec.ServiceAccountName {
		errs = append(errs, field.Invalid(fld.Child("deprecatedServiceAccount"), spec.DeprecatedServiceAccount,
			fmt.Sprintf("must be the same as serviceAccountName: %q", spec.ServiceAccountName)))
	}
	if spec.NodeName != "" {
		errs = append(errs, objectName(spec.NodeName, fld.Child("nodeName"))...)
	}
	if s := spec.ActiveDeadlineSeconds; s != nil && (*s < 1 || *s > math.MaxInt32) {
		errs = append(errs, field.Invalid(fld.Child("activeDeadlineSeconds"), *s, validation.InclusiveRangeError(1, math.MaxInt32)))
	}
	if spec.Hostname != "" {
		errs = append(errs, DNSLabel(spec.Hostname, fld.Child("hostname"))...)
	}
	if spec.Subdomain != "" {
		errs = append(errs, DNSLabel(spec.Subdomain, fld.Child("subdomain"))...)
	}
	return errs
}

// validateScheduling checks where a pod may run, and what it takes there.
func validateScheduling(spec *corev1.PodSpec, fld *field.Path, opts Options) field.ErrorList {
	errs := ValidateTolerations(spec.Tolerations, fld.Child("tolerations"), opts)
	errs = append(errs, validateHostAliases(spec.HostAliases, fld.Child("hostAliases"))...)
	if spec.PriorityClassName != "" {
		errs = append(errs, objectName(spec.PriorityClassName, fld.Child("priorityClassName"))...)
	}
	if spec.RuntimeClassName != nil {
		errs = append(errs, objectName(*spec.RuntimeClassName, fld.Child("runtimeClassName"))...)
	}
	if spec.PreemptionPolicy != nil {
		errs = append(errs, PreemptionPolicy(*spec.PreemptionPolicy, fld.Child("preemptionPolicy"))...)
	}
	if spec.Overhead != nil {
		errs = append(errs, ValidateOverhead(spec.Overhead, fld.Child("overhead"), opts)...)
	}
	errs = append(errs, validateOS(spec, fld)...)
	if group := spec.SchedulingGroup; group != nil {
		at := fld.Child("schedulingGroup", "podGroupName")
		if group.PodGroupName == nil {
			errs = append(errs, field.Invalid(at, group.PodGroupName, "must specify one of: `podGroupName`"))
		} else {
			errs = append(errs, objectName(*group.PodGroupName, at)...)
		}
	}
	return errs
}

// PreemptionPolicy checks whether pods may push others out.
func PreemptionPolicy(p corev1.PreemptionPolicy, fld *field.Path) field.ErrorList {
	return requiredOneOf(fld, p, corev1.PreemptLowerPriority, corev1.PreemptNever)
}
