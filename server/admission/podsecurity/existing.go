package podsecurity

import (
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/pod-security-admission/api"

	"skiff/server/admission"
)

// maxChecked bounds the pods that are looked at when a namespace's standard
// changes.
const maxChecked = 3000

// offenders are the pods that break a standard for one reason.
type offenders struct {
	first string
	count int
}

func (p *Plugin) warnExisting(a *admission.Attributes, namespace string, lv api.LevelVersion) {
	pods, err := p.pods(namespace)
	if err != nil {
		a.AddWarning("failed to list pods while checking new PodSecurity enforce level")
		return
	}
	if len(pods) > maxChecked {
		a.AddWarning(fmt.Sprintf("new PodSecurity enforce level only checked against the first %d of %d existing pods", maxChecked, len(pods)))
		pods = pods[:maxChecked]
	}
	byReason := map[string]offenders{}
	for _, pod := range pods {
		r := p.evaluate(lv, &pod.ObjectMeta, &pod.Spec)
		if r.Allowed {
			continue
		}
		o := byReason[r.ForbiddenReason()]
		if o.count == 0 || pod.Name < o.first {
			o.first = pod.Name
		}
		o.count++
		byReason[r.ForbiddenReason()] = o
	}
	if len(byReason) == 0 {
		return
	}
	a.AddWarning(fmt.Sprintf("existing pods in namespace %q violate the new PodSecurity enforce level %q", namespace, lv.String()))
	var lines []string
	for reason, o := range byReason {
		lines = append(lines, o.String()+": "+reason)
	}
	slices.Sort(lines)
	for _, l := range lines {
		a.AddWarning(l)
	}
}

func (o offenders) String() string {
	switch o.count {
	case 1:
		return o.first
	case 2:
		return o.first + " (and 1 other pod)"
	}
	return fmt.Sprintf("%s (and %d other pods)", o.first, o.count-1)
}

// matters tells whether an update changes what the standards look at: of a pod,
// only images and ephemeral containers can change.
func matters(pod, old *corev1.Pod) bool {
	if len(pod.Spec.Containers) != len(old.Spec.Containers) || len(pod.Spec.InitContainers) != len(old.Spec.InitContainers) {
		return true
	}
	sameImage := func(a, b corev1.Container) bool { return a.Image == b.Image }
	if !slices.EqualFunc(pod.Spec.Containers, old.Spec.Containers, sameImage) || !slices.EqualFunc(pod.Spec.InitContainers, old.Spec.InitContainers, sameImage) {
		return true
	}
	for _, c := range pod.Spec.EphemeralContainers {
		i := slices.IndexFunc(old.Spec.EphemeralContainers, func(o corev1.EphemeralContainer) bool { return o.Name == c.Name })
		if i < 0 || old.Spec.EphemeralContainers[i].Image != c.Image {
			return true
		}
	}
	return false
}
