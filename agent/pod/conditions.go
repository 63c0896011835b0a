package pod

import (
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"skiff/agent/container"
)

// ownConditions are those that the agent sets; all others are kept as they are.
var ownConditions = []corev1.PodConditionType{
	corev1.PodScheduled, corev1.PodReady, corev1.PodInitialized, corev1.ContainersReady, corev1.PodReadyToStartContainers,
	corev1.AllContainersRestarting,
}

func foreignConditions(all []corev1.PodCondition) []corev1.PodCondition {
	var out []corev1.PodCondition
	for _, c := range all {
		if !slices.Contains(ownConditions, c.Type) {
			out = append(out, c)
		}
	}
	return out
}

// setConditions computes the pod's conditions. Times of those that did not
// change are kept.
func (w *worker) setConditions(s *corev1.PodStatus, old *corev1.PodStatus) {
	pod := w.pod
	api := &pod.Status
	if w.mirror != nil {
		api = &w.mirror.Status
	}
	s.Conditions = foreignConditions(api.Conditions)
	all := slices.Concat(s.InitContainerStatuses, s.ContainerStatuses)
	ready := containersReady(pod, all, s.Phase)
	w.addCondition(s, old, w.readyToStart())
	w.addCondition(s, old, initialized(pod, all, old, s.Phase))
	w.addCondition(s, old, podReady(pod, ready, s.Conditions))
	w.addCondition(s, old, ready)
	w.addCondition(s, old, corev1.PodCondition{Type: corev1.PodScheduled, Status: corev1.ConditionTrue})
	if canReset(pod) {
		w.addCondition(s, old, w.resetCondition(s.Phase))
	}
}

func (w *worker) addCondition(s, old *corev1.PodStatus, c corev1.PodCondition) {
	c.ObservedGeneration = w.pod.Generation
	c.LastTransitionTime = metav1.Now().Rfc3339Copy()
	for _, before := range old.Conditions {
		if before.Type == c.Type {
			c.LastProbeTime = before.LastProbeTime
			if before.Status == c.Status {
				c.LastTransitionTime = before.LastTransitionTime
			}
		}
	}
	s.Conditions = append(s.Conditions, c)
}

// readyToStart tells whether the pod has a sandbox with a network (KEP-3085).
func (w *worker) readyToStart() corev1.PodCondition {
	c := corev1.PodCondition{Type: corev1.PodReadyToStartContainers, Status: corev1.ConditionTrue}
	if _, _, why := w.view.current(w.pod); why != "" {
		c.Status, c.Reason, c.Message = corev1.ConditionFalse, "PodSandboxNotReady", why
	}
	return c
}

// containersReady is true if every main container and every sidecar is ready.
func containersReady(pod *corev1.Pod, statuses []corev1.ContainerStatus, phase corev1.PodPhase) corev1.PodCondition {
	c := corev1.PodCondition{Type: corev1.ContainersReady, Status: corev1.ConditionFalse}
	t := tally{statuses: statuses}
	var unknown, unready []string
	look := func(name string) {
		if s := t.find(name); s == nil {
			unknown = append(unknown, name)
		} else if !s.Ready {
			unready = append(unready, name)
		}
	}
	for i := range pod.Spec.InitContainers {
		if container.IsSidecar(&pod.Spec.InitContainers[i]) {
			look(pod.Spec.InitContainers[i].Name)
		}
	}
	for i := range pod.Spec.Containers {
		look(pod.Spec.Containers[i].Name)
	}
	switch {
	case phase == corev1.PodFailed:
		c.Reason = "PodFailed"
	case phase == corev1.PodSucceeded && len(unknown) == 0:
		c.Reason = "PodCompleted"
	case len(unknown)+len(unready) > 0:
		c.Reason, c.Message = "ContainersNotReady", lists("unready", unknown, unready)
	default:
		c.Status = corev1.ConditionTrue
	}
	return c
}

func lists(kind string, unknown, others []string) string {
	var parts []string
	if len(unknown) > 0 {
		parts = append(parts, fmt.Sprintf("containers with unknown status: %s", unknown))
	}
	if len(others) > 0 {
		parts = append(parts, fmt.Sprintf("containers with %s status: %s", kind, others))
	}
	return strings.Join(parts, ", ")
}

// podReady adds the readiness gates to the containers' readiness.
func podReady(pod *corev1.Pod, containers corev1.PodCondition, conditions []corev1.PodCondition) corev1.PodCondition {
	c := containers
	c.Type = corev1.PodReady
	if c.Status != corev1.ConditionTrue {
		return c
	}
	var parts []string
	for _, gate := range pod.Spec.ReadinessGates {
		i := slices.IndexFunc(conditions, func(c corev1.PodCondition) bool { return c.Type == gate.ConditionType })
		switch {
		case i < 0:
			parts = append(parts, fmt.Sprintf("corresponding condition of pod readiness gate %q does not exist.", string(gate.ConditionType)))
		case conditions[i].Status != corev1.ConditionTrue:
			parts = append(parts, fmt.Sprintf("the status of pod readiness gate %q is not \"True\", but %v", string(gate.ConditionType), conditions[i].Status))
		}
	}
	if len(parts) > 0 {
		c.Status, c.Reason, c.Message = corev1.ConditionFalse, "ReadinessGatesNotReady", strings.Join(parts, ", ")
	}
	return c
}

// initialized is true once all init containers are through, and stays so while
// they run again.
func initialized(pod *corev1.Pod, statuses []corev1.ContainerStatus, old *corev1.PodStatus, phase corev1.PodPhase) corev1.PodCondition {
	c := corev1.PodCondition{Type: corev1.PodInitialized, Status: corev1.ConditionTrue}
	t := tally{statuses: statuses}
	var unknown, incomplete []string
	for i := range pod.Spec.InitContainers {
		init := &pod.Spec.InitContainers[i]
		switch s := t.find(init.Name); {
		case s == nil:
			unknown = append(unknown, init.Name)
		case container.IsSidecar(init) && (s.Started == nil || !*s.Started), !container.IsSidecar(init) && !s.Ready:
			incomplete = append(incomplete, init.Name)
		}
	}
	if phase == corev1.PodSucceeded && len(unknown) == 0 {
		c.Reason = "PodCompleted"
		return c
	}
	for i := range pod.Spec.Containers {
		if s := t.find(pod.Spec.Containers[i].Name); s != nil && (s.Started != nil && *s.Started || s.State.Running != nil || s.State.Terminated != nil || s.LastTerminationState.Terminated != nil) {
			return c
		}
	}
	was := slices.ContainsFunc(old.Conditions, func(c corev1.PodCondition) bool {
		return c.Type == corev1.PodInitialized && c.Status == corev1.ConditionTrue
	})
	if len(unknown)+len(incomplete) > 0 && !was {
		c.Status, c.Reason, c.Message = corev1.ConditionFalse, "ContainersNotInitialized", lists("incomplete", unknown, incomplete)
	}
	return c
}
