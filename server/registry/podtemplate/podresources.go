package podtemplate

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/apimachinery/pkg/util/validation/field"
	resourcehelper "k8s.io/component-helpers/resource"

	"skiff/server/registry/untagged"
)

// validatePodResources checks the resources of the pod as a whole (KEP-2837).
func validatePodResources(spec *corev1.PodSpec, claims sets.Set[string], fld *field.Path, opts Options) field.ErrorList {
	r := spec.Resources
	if r == nil {
		return nil
	}
	if spec.OS != nil && spec.OS.Name == corev1.Windows {
		return field.ErrorList{field.Forbidden(fld, "may not be set for a windows pod")}
	}
	var errs field.ErrorList
	if r.Claims != nil {
		errs = append(errs, field.Forbidden(fld.Child("claims"), "claims may not be set for Resources at pod-level"))
	}
	errs = append(errs, validateRequirements(r, podResourceName, claims, fld, opts)...)
	return append(errs, validatePodOverContainers(spec, fld)...)
}

// validatePodOverContainers checks that the containers fit into the pod.
func validatePodOverContainers(spec *corev1.PodSpec, fld *field.Path) field.ErrorList {
	var errs field.ErrorList
	r, pod := spec.Resources, &corev1.Pod{Spec: *spec}
	requests := resourcehelper.AggregateContainerRequests(pod, resourcehelper.PodResourcesOptions{})
	for name, sum := range sorted(requests) {
		if have, ok := r.Requests[name]; ok && sum.Cmp(have) > 0 {
			errs = append(errs, field.Invalid(fld.Child("requests").Key(string(name)), have.String(),
				fmt.Sprintf("must be greater than or equal to aggregate container requests of %s", sum.String())))
		}
	}
	// Huge pages are not overcommitted: the containers' limits add up.
	limits := resourcehelper.AggregateContainerLimits(pod, resourcehelper.PodResourcesOptions{})
	for name, sum := range sorted(limits) {
		if have, ok := r.Limits[name]; ok && IsHugePage(name) && sum.Cmp(have) > 0 {
			errs = append(errs, field.Invalid(fld.Child("limits").Key(string(name)), have.String(),
				fmt.Sprintf("must be greater than or equal to aggregate container limits of %s", sum.String())))
		}
	}
	for i := range spec.Containers {
		for name, limit := range sorted(spec.Containers[i].Resources.Limits) {
			if have, ok := r.Limits[name]; ok && limit.Cmp(have) > 0 {
				errs = append(errs, field.Invalid(fld.Child("containers").Index(i).Key(string(name)).Child("limits"), limit.String(),
					fmt.Sprintf("must be less than or equal to pod limits of %s", have.String())))
			}
		}
	}
	return errs
}

// validateResourceClaims checks the claims of a pod (KEP-4381).
func validateResourceClaims(spec *corev1.PodSpec, mirror bool, fld *field.Path) field.ErrorList {
	var errs field.ErrorList
	names := sets.New[string]()
	for i := range spec.ResourceClaims {
		c, at := &spec.ResourceClaims[i], fld.Index(i)
		if mirror {
			errs = append(errs, field.Forbidden(field.NewPath(""), "static pods do not support resource claims"))
			continue
		}
		switch {
		case c.Name == "":
			errs = append(errs, field.Required(at.Child("name"), ""))
		case names.Has(c.Name):
			errs = append(errs, field.Duplicate(at.Child("name"), c.Name))
		default:
			errs = append(errs, DNSLabel(c.Name, at.Child("name"))...)
			names.Insert(c.Name)
		}
		if c.ResourceClaimName != nil && c.ResourceClaimTemplateName != nil {
			errs = append(errs, field.Invalid(at, untagged.Value(*c), "at most one of `resourceClaimName` or `resourceClaimTemplateName` may be specified"))
		}
		if c.ResourceClaimName == nil && c.ResourceClaimTemplateName == nil {
			errs = append(errs, field.Invalid(at, untagged.Value(*c), "must specify one of: `resourceClaimName`, `resourceClaimTemplateName`"))
		}
		if c.ResourceClaimName != nil {
			errs = append(errs, objectName(*c.ResourceClaimName, at.Child("resourceClaimName"))...)
		}
		if c.ResourceClaimTemplateName != nil {
			errs = append(errs, objectName(*c.ResourceClaimTemplateName, at.Child("resourceClaimTemplateName"))...)
		}
	}
	return errs
}

func podClaimNames(spec *corev1.PodSpec) sets.Set[string] {
	names := sets.New[string]()
	for i := range spec.ResourceClaims {
		if name := spec.ResourceClaims[i].Name; name != "" {
			names.Insert(name)
		}
	}
	return names
}
