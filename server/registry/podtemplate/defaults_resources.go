package podtemplate

import (
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	resourcehelper "k8s.io/component-helpers/resource"
)

// defaultRequests lets requests follow limits where only those are given.
func defaultRequests(r *corev1.ResourceRequirements) {
	if r.Limits == nil {
		return
	}
	if r.Requests == nil {
		r.Requests = corev1.ResourceList{}
	}
	addMissing(&r.Requests, r.Limits, func(corev1.ResourceName) bool { return true })
}

func addMissing(to *corev1.ResourceList, from corev1.ResourceList, wanted func(corev1.ResourceName) bool) {
	for name, quantity := range from {
		if _, ok := (*to)[name]; ok || !wanted(name) {
			continue
		}
		if *to == nil {
			*to = corev1.ResourceList{}
		}
		(*to)[name] = quantity.DeepCopy()
	}
}

// DefaultPodResources completes the resources of the pod as a whole (KEP-2837)
// out of those of its containers. It runs after mutating admission, which may
// have added containers. The order matters: requests follow the limits of huge
// pages, and other limits follow requests.
func DefaultPodResources(pod *corev1.Pod) {
	r := pod.Spec.Resources
	if r == nil || len(r.Limits) == 0 && len(r.Requests) == 0 {
		return
	}
	limits := resourcehelper.AggregateContainerLimits(pod, resourcehelper.PodResourcesOptions{SkipPodLevelResources: true})
	requests := resourcehelper.AggregateContainerRequests(pod, resourcehelper.PodResourcesOptions{SkipPodLevelResources: true})
	addMissing(&r.Limits, limits, func(name corev1.ResourceName) bool {
		_, requested := r.Requests[name]
		return !requested && IsHugePage(name) && resourcehelper.IsSupportedPodLevelResource(name)
	})
	addMissing(&r.Requests, requests, func(name corev1.ResourceName) bool {
		return resourcehelper.IsSupportedPodLevelResource(name) && IsOvercommittable(name)
	})
	addMissing(&r.Requests, r.Limits, resourcehelper.IsSupportedPodLevelResource)
	addMissing(&r.Limits, podLimits(pod, limits), func(corev1.ResourceName) bool { return true })
}

// podLimits are the limits of the pod for what it requests and all containers
// limit, but not below its request.
func podLimits(pod *corev1.Pod, sum corev1.ResourceList) corev1.ResourceList {
	limits := corev1.ResourceList{}
	for name, request := range pod.Spec.Resources.Requests {
		if !resourcehelper.IsSupportedPodLevelResource(name) || !allLimit(&pod.Spec, name) {
			continue
		}
		if limit, ok := sum[name]; ok && request.Cmp(limit) <= 0 {
			limits[name] = limit
		} else if ok {
			limits[name] = request
		}
	}
	return limits
}

func allLimit(spec *corev1.PodSpec, name corev1.ResourceName) bool {
	for c := range Containers(spec) {
		if _, ok := c.Resources.Limits[name]; !ok {
			return false
		}
	}
	return true
}

// IsHugePage tells whether name is a size of huge pages.
func IsHugePage(name corev1.ResourceName) bool {
	return strings.HasPrefix(string(name), corev1.ResourceHugePagesPrefix)
}

// hugePageSize is the page size that a huge page resource's name gives.
func hugePageSize(name corev1.ResourceName) (resource.Quantity, error) {
	return resource.ParseQuantity(strings.TrimPrefix(string(name), corev1.ResourceHugePagesPrefix))
}

// IsOvercommittable tells whether more of a resource may be promised than there is.
func IsOvercommittable(name corev1.ResourceName) bool {
	return IsNativeResource(name) && !IsHugePage(name)
}

// IsNativeResource tells whether a resource is one of Kubernetes' own: without
// a domain, or in kubernetes.io.
func IsNativeResource(name corev1.ResourceName) bool {
	return !strings.Contains(string(name), "/") || isPrefixedNative(name)
}

func isPrefixedNative(name corev1.ResourceName) bool {
	return strings.Contains(string(name), corev1.ResourceDefaultNamespacePrefix)
}
