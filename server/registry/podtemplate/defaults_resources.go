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
	addMissing(r.Requests, r.Limits, func(corev1.ResourceName) bool { return true })
}

func addMissing(to, from corev1.ResourceList, wanted func(corev1.ResourceName) bool) {
	for name, quantity := range from {
		if _, ok := to[name]; !ok && wanted(name) {
			to[name] = quantity.DeepCopy()
		}
	}
}

// DefaultPodResources completes the resources of the pod as a whole (KEP-2837)
// out of those of its containers. It runs after mutating admission, which may
// have added containers.
func DefaultPodResources(pod *corev1.Pod) {
	r := pod.Spec.Resources
	if r == nil || len(r.Limits) == 0 && len(r.Requests) == 0 {
		return
	}
	limits := resourcehelper.AggregateContainerLimits(pod, resourcehelper.PodResourcesOptions{})
	if r.Limits == nil {
		r.Limits = corev1.ResourceList{}
	}
	addMissing(r.Limits, limits, func(name corev1.ResourceName) bool {
		_, requested := r.Requests[name]
		return !requested && IsHugePage(name) && resourcehelper.IsSupportedPodLevelResource(name)
	})
	if len(r.Limits) == 0 {
		r.Limits = nil
		return
	}
	if r.Requests == nil {
		r.Requests = corev1.ResourceList{}
	}
	requests := resourcehelper.AggregateContainerRequests(pod, resourcehelper.PodResourcesOptions{})
	addMissing(r.Requests, requests, func(name corev1.ResourceName) bool {
		return resourcehelper.IsSupportedPodLevelResource(name) && overcommittable(name)
	})
	addMissing(r.Requests, r.Limits, resourcehelper.IsSupportedPodLevelResource)
	if len(r.Requests) == 0 {
		r.Requests = nil
	}
}

// IsHugePage tells whether name is a size of huge pages.
func IsHugePage(name corev1.ResourceName) bool {
	return strings.HasPrefix(string(name), corev1.ResourceHugePagesPrefix)
}

// hugePageSize is the page size that a huge page resource's name gives.
func hugePageSize(name corev1.ResourceName) (resource.Quantity, error) {
	return resource.ParseQuantity(strings.TrimPrefix(string(name), corev1.ResourceHugePagesPrefix))
}

// overcommittable tells whether more of a resource may be promised than there is.
func overcommittable(name corev1.ResourceName) bool {
	return isNativeResource(name) && !IsHugePage(name)
}

// isNativeResource tells whether a resource is one of Kubernetes' own: without
// a domain, or in kubernetes.io.
func isNativeResource(name corev1.ResourceName) bool {
	return !strings.Contains(string(name), "/") || isPrefixedNative(name)
}

func isPrefixedNative(name corev1.ResourceName) bool {
	return strings.Contains(string(name), corev1.ResourceDefaultNamespacePrefix)
}
