package core

import (
	"fmt"
	"strconv"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"skiff/server/registry/podtemplate"
	"skiff/server/registry/table"
)

func podColumns() []table.Column {
	spec, status := corev1.PodSpec{}, corev1.PodStatus{}
	return []table.Column{
		table.Name(),
		table.String("Ready", "The aggregate readiness state of this pod for accepting traffic."),
		table.String("Status", "The aggregate status of the containers in this pod."),
		table.String("Restarts", "The number of times the containers in this pod have been restarted and when the last container in this pod has restarted."),
		table.Age(),
		table.Wide("IP", table.Doc(status, "podIP")),
		table.Wide("Node", table.Doc(spec, "nodeName")),
		table.Wide("Nominated Node", table.Doc(status, "nominatedNodeName")),
		table.Wide("Readiness Gates", table.Doc(spec, "readinessGates")),
	}
}

func podCells(p *corev1.Pod) []any {
	s := summarize(p)
	restarts := strconv.Itoa(s.restarts)
	if s.restarts != 0 && !s.restarted.IsZero() {
		restarts = fmt.Sprintf("%d (%s ago)", s.restarts, table.Since(s.restarted))
	}
	ip := ""
	if len(p.Status.PodIPs) > 0 {
		ip = p.Status.PodIPs[0].IP
	}
	return []any{
		p.Name, fmt.Sprintf("%d/%d", s.ready, s.total), s.reason, restarts, table.Since(p.CreationTimestamp),
		or(ip, "<none>"), or(p.Spec.NodeName, "<none>"), or(p.Status.NominatedNodeName, "<none>"), readinessGates(p),
	}
}

func readinessGates(p *corev1.Pod) string {
	if len(p.Spec.ReadinessGates) == 0 {
		return "<none>"
	}
	met := 0
	for _, gate := range p.Spec.ReadinessGates {
		if conditionIs(p, gate.ConditionType, corev1.ConditionTrue) {
			met++
		}
	}
	return fmt.Sprintf("%d/%d", met, len(p.Spec.ReadinessGates))
}

// conditionIs tells whether the first condition of a type has a status.
func conditionIs(p *corev1.Pod, t corev1.PodConditionType, status corev1.ConditionStatus) bool {
	for i := range p.Status.Conditions {
		if p.Status.Conditions[i].Type == t {
			return p.Status.Conditions[i].Status == status
		}
	}
	return false
}

// podSummary is what a person wants to know about a pod at a glance.
type podSummary struct {
	ready, total, restarts int
	restarted              metav1.Time
	reason                 string
}

func summarize(p *corev1.Pod) podSummary {
	s := podSummary{total: len(p.Spec.Containers), reason: or(p.Status.Reason, string(p.Status.Phase))}
	for i := range p.Status.Conditions {
		if c := &p.Status.Conditions[i]; c.Type == corev1.PodScheduled && c.Reason == corev1.PodReasonSchedulingGated {
			s.reason = corev1.PodReasonSchedulingGated
		}
	}
	sidecars := map[string]bool{}
	for i := range p.Spec.InitContainers {
		if c := &p.Spec.InitContainers[i]; podtemplate.IsSidecar(c) {
			sidecars[c.Name] = true
			s.total++
		}
	}
	initializing, ofSidecars := s.addInit(p, sidecars)
	if !initializing || conditionIs(p, corev1.PodInitialized, corev1.ConditionTrue) {
		s.restarts, s.restarted = ofSidecars.restarts, ofSidecars.restarted
		s.addContainers(p)
	}
	switch {
	case p.DeletionTimestamp == nil:
	case p.Status.Reason == "NodeLost":
		s.reason = "Unknown"
	case p.Status.Phase != corev1.PodFailed && p.Status.Phase != corev1.PodSucceeded:
		s.reason = "Terminating"
	}
	return s
}

// count adds the restarts of a container.
func (s *podSummary) count(c *corev1.ContainerStatus) {
	s.restarts += int(c.RestartCount)
	if t := c.LastTerminationState.Terminated; t != nil && s.restarted.Before(&t.FinishedAt) {
		s.restarted = t.FinishedAt
	}
}

// addInit looks at the init containers up to the one that the pod waits for. It
// tells whether there is one, and returns the restarts of sidecars alone.
func (s *podSummary) addInit(p *corev1.Pod, sidecars map[string]bool) (initializing bool, ofSidecars podSummary) {
	for i := range p.Status.InitContainerStatuses {
		c := &p.Status.InitContainerStatuses[i]
		s.count(c)
		if sidecars[c.Name] {
			ofSidecars.count(c)
		}
		t, w := c.State.Terminated, c.State.Waiting
		switch {
		case t != nil && t.ExitCode == 0:
			continue
		case sidecars[c.Name] && isTrue(c.Started):
			if c.Ready {
				s.ready++
			}
			continue
		case t != nil:
			s.reason = "Init:" + ended(t)
		case w != nil && w.Reason != "" && w.Reason != "PodInitializing":
			s.reason = "Init:" + w.Reason
		default:
			s.reason = fmt.Sprintf("Init:%d/%d", i, len(p.Spec.InitContainers))
		}
		return true, ofSidecars
	}
	return false, ofSidecars
}

func ended(t *corev1.ContainerStateTerminated) string {
	switch {
	case t.Reason != "":
		return t.Reason
	case t.Signal != 0:
		return fmt.Sprintf("Signal:%d", t.Signal)
	}
	return fmt.Sprintf("ExitCode:%d", t.ExitCode)
}

func (s *podSummary) addContainers(p *corev1.Pod) {
	running, failure := false, ""
	for i := len(p.Status.ContainerStatuses) - 1; i >= 0; i-- {
		c := &p.Status.ContainerStatuses[i]
		s.count(c)
		switch t := c.State.Terminated; {
		case c.State.Waiting != nil && c.State.Waiting.Reason != "":
			s.reason = c.State.Waiting.Reason
		case t != nil:
			s.reason = ended(t)
			if t.ExitCode != 0 {
				failure = s.reason
			}
		case c.Ready && c.State.Running != nil:
			running = true
			s.ready++
		}
	}
	if s.reason != "Completed" {
		return
	}
	// One container has ended; the pod has not as long as others run.
	switch {
	case running && conditionIs(p, corev1.PodReady, corev1.ConditionTrue):
		s.reason = "Running"
	case failure != "":
		s.reason = failure
	case running:
		s.reason = "NotReady"
	}
}
