package podtopologyspread

import (
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/labels"

	"skiff/scheduler/framework"
)

// Helps implements framework.HintPlugin. More pods elsewhere help as well as
// fewer here: both make the skew smaller.
func (p Plugin) Helps(pod *framework.PodInfo, ev framework.Event) bool {
	constraints, _, err := p.constraints(pod, corev1.DoNotSchedule)
	if err != nil {
		return true
	}
	if old, now, ok := ev.Nodes(); ok {
		return nodeHelps(constraints, old, now)
	}
	old, now, _ := ev.Pods()
	if ev.Action&framework.PodUpdated != 0 {
		return updateHelps(constraints, old, now)
	}
	if ev.Action&(framework.PodAssigned|framework.PodDeleted|framework.PodLabelsChanged) == 0 {
		return false
	}
	return slices.ContainsFunc(constraints, func(c constraint) bool {
		return matches(&c, pod.Pod, old) != matches(&c, pod.Pod, now)
	})
}

// matches tells whether the constraint is about a pod, nil for none, that is on
// a node or was.
func matches(c *constraint, pod, other *corev1.Pod) bool {
	return other != nil && other.Namespace == pod.Namespace && c.selector.Matches(labels.Set(other.Labels))
}

// updateHelps tells whether a change of the waiting pod itself may help.
func updateHelps(constraints []constraint, old, now *corev1.Pod) bool {
	moreTolerated := !equality.Semantic.DeepEqual(old.Spec.Tolerations, now.Spec.Tolerations)
	return slices.ContainsFunc(constraints, func(c constraint) bool {
		return moreTolerated && c.taints || matches(&c, now, old) != matches(&c, now, now)
	})
}

// nodeHelps tells whether a node, nil before it was added and after it was
// deleted, is in other domains than before.
func nodeHelps(constraints []constraint, old, now *corev1.Node) bool {
	was, is := old != nil && hasKeys(old, constraints), now != nil && hasKeys(now, constraints)
	if was != is {
		return true
	}
	return is && (!equality.Semantic.DeepEqual(old.Spec.Taints, now.Spec.Taints) || slices.ContainsFunc(constraints, func(c constraint) bool {
		return old.Labels[c.key] != now.Labels[c.key]
	}))
}
