package limitranger

import (
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
)

// annotation tells the user what was set.
const annotation = "kubernetes.io/limit-ranger"

func setDefaults(r *corev1.LimitRange, pod *corev1.Pod) {
	requests, limits := corev1.ResourceList{}, corev1.ResourceList{}
	for i := range r.Spec.Limits {
		if l := &r.Spec.Limits[i]; l.Type == corev1.LimitTypeContainer {
			for k, v := range l.DefaultRequest {
				requests[k] = v.DeepCopy()
			}
			for k, v := range l.Default {
				limits[k] = v.DeepCopy()
			}
		}
	}
	var notes []string
	complete := func(kind string, list []corev1.Container) {
		for i := range list {
			c := &list[i]
			if set := fill(&c.Resources.Requests, requests); set != "" {
				notes = append(notes, set+" request for "+kind+" "+c.Name)
			}
			if set := fill(&c.Resources.Limits, limits); set != "" {
				notes = append(notes, set+" limit for "+kind+" "+c.Name)
			}
		}
	}
	complete("container", pod.Spec.Containers)
	complete("init container", pod.Spec.InitContainers)
	if len(notes) == 0 {
		return
	}
	if pod.Annotations == nil {
		pod.Annotations = map[string]string{}
	}
	pod.Annotations[annotation] = "LimitRanger plugin set: " + strings.Join(notes, "; ")
}

// fill sets what is missing in list, and returns the names of what it set.
func fill(list *corev1.ResourceList, defaults corev1.ResourceList) string {
	var set []string
	for name, q := range defaults {
		if _, ok := (*list)[name]; ok {
			continue
		}
		if *list == nil {
			*list = corev1.ResourceList{}
		}
		(*list)[name] = q.DeepCopy()
		set = append(set, string(name))
	}
	slices.Sort(set)
	return strings.Join(set, ", ")
}
