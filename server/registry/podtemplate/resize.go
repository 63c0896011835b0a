package podtemplate

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// ValidateResize checks an update of a pod's resources in place (KEP-1287).
func ValidateResize(pod, old *corev1.Pod, opts Options) field.ErrorList {
	if IsMirror(old.Annotations) {
		return field.ErrorList{field.Forbidden(field.NewPath(""), "static pods cannot be resized")}
	}
	if old.Spec.OS != nil && old.Spec.OS.Name == corev1.Windows {
		return field.ErrorList{field.Forbidden(field.NewPath(""), "windows pods cannot be resized")}
	}
	fld := field.NewPath("spec")
	errs := validatePod(pod, opts)
	if QOS(old) != ComputeQOS(&pod.Spec) {
		errs = append(errs, field.Invalid(fld, pod.Status.QOSClass, "Pod QOS Class may not change as a result of resizing"))
	}
	if !nodeResizes(old) {
		errs = append(errs, field.Forbidden(fld, "Pod running on node without support for resize"))
	}
	rest := pod.Spec.DeepCopy()
	if hasResources(&pod.Spec) || hasResources(&old.Spec) {
		errs = append(errs, restOfPodResize(rest, &old.Spec, fld)...)
	}
	if found := validateSameContainers(&pod.Spec, &old.Spec, fld); len(found) > 0 {
		return append(errs, found...)
	}
	errs = append(errs, validateNotRemoved(&pod.Spec, &old.Spec, fld)...)
	errs = append(errs, restOfContainerResize(rest, &old.Spec, fld)...)
	if !equality.Semantic.DeepEqual(pod.Spec.Volumes, old.Spec.Volumes) {
		errs = append(errs, field.Forbidden(fld.Child("volumes"), "volumes are immutable on resize when InPlacePodVerticalScalingMemoryBackedVolumes feature gate is disabled"))
	}
	if len(errs) == 0 && !equality.Semantic.DeepEqual(*rest, old.Spec) {
		errs = append(errs, field.Forbidden(fld, onlyComputeMutable))
	}
	return errs
}

const onlyComputeMutable = "only cpu and memory resources are mutable"

func hasResources(spec *corev1.PodSpec) bool {
	return spec.Resources != nil && len(spec.Resources.Requests)+len(spec.Resources.Limits) > 0
}

// nodeResizes tells whether the pod's node can resize: one that can reports the
// resources of running containers.
func nodeResizes(pod *corev1.Pod) bool {
	for i := range pod.Status.ContainerStatuses {
		if s := &pod.Status.ContainerStatuses[i]; s.State.Running != nil {
			return s.Resources != nil
		}
	}
	return true
}

// restOfPodResize checks the resources of the pod as a whole and puts back in
// rest what may change of them.
func restOfPodResize(rest, old *corev1.PodSpec, fld *field.Path) field.ErrorList {
	at := fld.Child("resources")
	if old.Resources != nil && rest.Resources == nil {
		return field.ErrorList{field.Forbidden(at, "pod-level resources cannot be removed")}
	}
	var errs field.ErrorList
	before := old.Resources
	if before == nil {
		before = &corev1.ResourceRequirements{}
	}
	if removed(rest.Resources.Requests, before.Requests) {
		errs = append(errs, field.Forbidden(at.Child("requests"), "pod-level resource requests cannot be removed"))
	}
	if removed(rest.Resources.Limits, before.Limits) {
		errs = append(errs, field.Forbidden(at.Child("limits"), "pod-level resource limits cannot be removed"))
	}
	r := rest.Resources
	r.Requests, r.Limits = restoreCompute(r.Requests, before.Requests), restoreCompute(r.Limits, before.Limits)
	if old.Resources == nil && len(r.Requests) == 0 && len(r.Limits) == 0 && len(r.Claims) == 0 {
		rest.Resources = nil
	}
	if !equality.Semantic.DeepEqual(rest.Resources, old.Resources) {
		errs = append(errs, field.Forbidden(fld, "only cpu and memory resources are mutable at pod-level"))
	}
	return errs
}

// restoreCompute is list with the cpu and memory of old.
func restoreCompute(list, old corev1.ResourceList) corev1.ResourceList {
	if list == nil && old == nil {
		return nil
	}
	restored := corev1.ResourceList{}
	for name, quantity := range list {
		if name != corev1.ResourceCPU && name != corev1.ResourceMemory {
			restored[name] = quantity
		}
	}
	for _, name := range []corev1.ResourceName{corev1.ResourceCPU, corev1.ResourceMemory} {
		if quantity, ok := old[name]; ok {
			restored[name] = quantity
		}
	}
	return restored
}

func removed(list, old corev1.ResourceList) bool {
	for name := range old {
		if _, ok := list[name]; !ok {
			return true
		}
	}
	return false
}

// validateSameContainers checks that the containers are the same, in the same
// order.
func validateSameContainers(spec, old *corev1.PodSpec, fld *field.Path) field.ErrorList {
	var errs field.ErrorList
	for _, lists := range []struct {
		name     string
		now, old []corev1.Container
	}{
		{"containers", spec.Containers, old.Containers},
		{"initContainers", spec.InitContainers, old.InitContainers},
	} {
		if len(lists.now) != len(lists.old) {
			errs = append(errs, field.Forbidden(fld.Child(lists.name), lists.name+" may not be added or removed on resize"))
			continue
		}
		for i := range lists.old {
			if lists.now[i].Name != lists.old[i].Name {
				errs = append(errs, field.Forbidden(fld.Child(lists.name).Index(i).Child("name"), lists.name+" may not be renamed or reordered on resize"))
			}
		}
	}
	return errs
}

func validateNotRemoved(spec, old *corev1.PodSpec, fld *field.Path) field.ErrorList {
	var errs field.ErrorList
	check := func(now, before *corev1.ResourceRequirements, at *field.Path) {
		if removed(now.Requests, before.Requests) {
			errs = append(errs, field.Forbidden(at.Child("requests"), "resource requests cannot be removed"))
		}
		if removed(now.Limits, before.Limits) {
			errs = append(errs, field.Forbidden(at.Child("limits"), "resource limits cannot be removed"))
		}
	}
	for i := range old.InitContainers {
		check(&spec.InitContainers[i].Resources, &old.InitContainers[i].Resources, fld.Child("initContainers").Index(i).Child("resources"))
	}
	for i := range old.Containers {
		check(&spec.Containers[i].Resources, &old.Containers[i].Resources, fld.Child("containers").Index(i).Child("resources"))
	}
	return errs
}

// restOfContainerResize puts back in rest what may change of the containers, and
// reports what else has changed.
func restOfContainerResize(rest, old *corev1.PodSpec, fld *field.Path) field.ErrorList {
	var errs field.ErrorList
	restore := func(c, before *corev1.Container) bool {
		c.Resources.Limits = restoreCompute(c.Resources.Limits, before.Resources.Limits)
		c.Resources.Requests = restoreCompute(c.Resources.Requests, before.Resources.Requests)
		return equality.Semantic.DeepEqual(*c, *before)
	}
	for i := range rest.Containers {
		if !restore(&rest.Containers[i], &old.Containers[i]) {
			errs = append(errs, field.Forbidden(fld, onlyComputeMutable))
		}
	}
	for i := range rest.InitContainers {
		c, before, at := &rest.InitContainers[i], &old.InitContainers[i], fld.Child("initContainers").Index(i)
		changed := !equality.Semantic.DeepEqual(*c, *before)
		if !restore(c, before) {
			errs = append(errs, field.Forbidden(at, "only cpu and memory resources for init or sidecar containers are mutable"))
		}
		if !changed || IsSidecar(c) {
			continue
		}
		for _, p := range c.ResizePolicy {
			if p.RestartPolicy == corev1.RestartContainer {
				errs = append(errs, field.Forbidden(at, "non-sidecar init containers with a resize policy of RestartContainer cannot be resized"))
			}
		}
	}
	return errs
}
