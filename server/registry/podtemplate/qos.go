package podtemplate

import (
	corev1 "k8s.io/api/core/v1"
	resourcehelper "k8s.io/component-helpers/resource"
)

// QOS returns a pod's quality of service class: that of its status, or if it has
// none yet, what its resources give.
func QOS(pod *corev1.Pod) corev1.PodQOSClass {
	if pod.Status.QOSClass != "" {
		return pod.Status.QOSClass
	}
	return ComputeQOS(&pod.Spec)
}

// ComputeQOS returns the quality of service class that a pod's resources give:
// those of the pod as a whole if it has any, else those of its containers.
func ComputeQOS(spec *corev1.PodSpec) corev1.PodQOSClass {
	if resourcehelper.IsPodLevelResourcesSet(&corev1.Pod{Spec: *spec}) {
		return requirementsQOS(spec.Resources)
	}
	class := corev1.PodQOSClass("")
	for _, list := range [][]corev1.Container{spec.InitContainers, spec.Containers} {
		for i := range list {
			class = mixQOS(class, requirementsQOS(&list[i].Resources))
		}
	}
	if class == "" {
		return corev1.PodQOSBestEffort
	}
	return class
}

// mixQOS is the class of two parts: what differs is burstable.
func mixQOS(a, b corev1.PodQOSClass) corev1.PodQOSClass {
	if a == "" || a == b {
		return b
	}
	return corev1.PodQOSBurstable
}

func requirementsQOS(r *corev1.ResourceRequirements) corev1.PodQOSClass {
	class := corev1.PodQOSClass("")
	for _, name := range []corev1.ResourceName{corev1.ResourceCPU, corev1.ResourceMemory} {
		request, limit := r.Requests[name], r.Limits[name]
		switch {
		case !request.Equal(limit):
			return corev1.PodQOSBurstable
		case request.IsZero():
			class = mixQOS(class, corev1.PodQOSBestEffort)
		default:
			class = mixQOS(class, corev1.PodQOSGuaranteed)
		}
	}
	return class
}
