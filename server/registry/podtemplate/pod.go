package podtemplate

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// ValidatePod checks a pod to be created.
func ValidatePod(pod *corev1.Pod, opts Options) field.ErrorList {
	fld := field.NewPath("spec")
	errs := validatePod(pod, opts)
	if len(pod.Spec.EphemeralContainers) > 0 {
		errs = append(errs, field.Forbidden(fld.Child("ephemeralContainers"), "cannot be set on create"))
	}
	if pod.Spec.NodeName != "" && len(pod.Spec.SchedulingGates) > 0 {
		errs = append(errs, field.Forbidden(fld.Child("nodeName"), "cannot be set until all schedulingGates have been cleared"))
	}
	return append(errs, validateProfilesAgree(pod.Annotations, &pod.Spec, fld)...)
}

// validatePod checks what holds for pods at all times.
func validatePod(pod *corev1.Pod, opts Options) field.ErrorList {
	fld, spec := field.NewPath("spec"), &pod.Spec
	errs := validatePodAnnotations(pod.Annotations, spec, field.NewPath("metadata", "annotations"), opts)
	errs = append(errs, ValidateSpec(spec, &pod.ObjectMeta, fld, opts)...)
	if spec.ServiceAccountName == "" {
		errs = append(errs, validateNoTokens(spec, fld)...)
	}
	if spec.TerminationGracePeriodSeconds != nil {
		errs = append(errs, Nonnegative(*spec.TerminationGracePeriodSeconds, fld.Child("terminationGracePeriodSeconds"))...)
	}
	for i := range spec.Containers {
		errs = append(errs, validateImagePadding(spec.Containers[i].Image, fld.Child("containers").Index(i))...)
	}
	for i := range spec.InitContainers {
		errs = append(errs, validateImagePadding(spec.InitContainers[i].Image, fld.Child("initContainers").Index(i))...)
	}
	return errs
}

// validateNoTokens refuses tokens for a pod without a service account.
func validateNoTokens(spec *corev1.PodSpec, fld *field.Path) field.ErrorList {
	var errs field.ErrorList
	for i := range spec.Volumes {
		p := spec.Volumes[i].Projected
		if p == nil {
			continue
		}
		for j := range p.Sources {
			if p.Sources[j].ServiceAccountToken != nil {
				at := fld.Child("volumes").Index(i).Child("projected", "sources").Index(j).Child("serviceAccountToken")
				errs = append(errs, field.Forbidden(at, "must not be specified when serviceAccountName is not set"))
			}
		}
	}
	return errs
}
