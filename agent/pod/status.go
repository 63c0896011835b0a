package pod

import (
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"skiff/agent/container"
)

// updateStatus computes the pod's status from what runs.
func (w *worker) updateStatus() {
	if w.pod == nil {
		return
	}
	old := w.pod.Status
	if w.hasStatus {
		old = w.status
	} else if w.mirror != nil {
		old = w.mirror.Status
	}
	if final(w.pod.Status.Phase) && !w.hasStatus && len(w.view.alive()) == 0 {
		// It ended before this agent started: there is nothing to add.
		w.status, w.hasStatus = *w.pod.Status.DeepCopy(), true
		return
	}
	s := w.compute(&old)
	w.status, w.hasStatus = s, true
}

// compute returns the status given the one before.
func (w *worker) compute(old *corev1.PodStatus) corev1.PodStatus {
	pod := w.pod
	s := corev1.PodStatus{
		ObservedGeneration: pod.Generation,
		QOSClass:           container.QOS(pod),
		NominatedNodeName:  pod.Status.NominatedNodeName,
		StartTime:          old.StartTime,
	}
	if s.StartTime == nil {
		now := metav1.Now().Rfc3339Copy()
		s.StartTime = &now
	}
	if w.end != nil && w.end.reason != "" && len(w.view.containers) == 0 && !w.admitted {
		return w.refused(s)
	}
	k := kind{hasInit: len(pod.Spec.InitContainers) > 0, reset: wasResetting(old)}
	s.ContainerStatuses = w.containerStatuses(pod.Spec.Containers, old.ContainerStatuses, k)
	s.InitContainerStatuses = w.containerStatuses(pod.Spec.InitContainers, old.InitContainerStatuses, k.of(true))
	if n := len(pod.Spec.EphemeralContainers); n > 0 {
		specs := make([]corev1.Container, n)
		for i := range specs {
			specs[i] = corev1.Container(pod.Spec.EphemeralContainers[i].EphemeralContainerCommon)
		}
		s.EphemeralContainerStatuses = w.containerStatuses(specs, old.EphemeralContainerStatuses, kind{hasInit: k.hasInit})
	}
	w.setPhase(&s, old)
	w.setAddresses(&s, old)
	w.setConditions(&s, old)
	return s
}

// refused is the status of a pod that was never let in.
func (w *worker) refused(s corev1.PodStatus) corev1.PodStatus {
	s.Phase, s.Reason, s.Message = w.end.phase, w.end.reason, w.end.message
	s.Conditions = foreignConditions(w.pod.Status.Conditions)
	return s
}

// setPhase never lets a pod leave a final phase, nor enter one while a container
// runs.
func (w *worker) setPhase(s *corev1.PodStatus, old *corev1.PodStatus) {
	all := slices.Concat(s.ContainerStatuses, s.InitContainerStatuses)
	ended := w.end != nil && w.quiet()
	s.Phase = phase(w.pod, all, ended, w.regularStarted())
	if w.end != nil && w.end.phase != "" {
		s.Phase, s.Reason, s.Message = w.end.phase, w.end.reason, w.end.message
	}
	switch {
	case final(old.Phase):
		s.Phase = old.Phase
	case final(w.pod.Status.Phase) && !isStatic(w.pod):
		s.Phase = w.pod.Status.Phase
	case ended && !final(s.Phase) && !isStatic(w.pod) && w.end.phase == "":
		// Stopped for good before it got anywhere.
		s.Phase = endPhase(w.pod, s)
	}
	if final(s.Phase) && !final(old.Phase) && !w.quiet() {
		s.Phase, s.Reason, s.Message = old.Phase, old.Reason, old.Message
		if s.Phase == "" {
			s.Phase = corev1.PodPending
		}
		return
	}
	if s.Phase == old.Phase && s.Reason == "" && s.Message == "" {
		s.Reason, s.Message = old.Reason, old.Message
	}
}

// endPhase is the phase of a pod that was stopped: failed unless all that it was
// for has succeeded.
func endPhase(pod *corev1.Pod, s *corev1.PodStatus) corev1.PodPhase {
	if len(s.ContainerStatuses) < len(pod.Spec.Containers) {
		return corev1.PodFailed
	}
	for i := range s.ContainerStatuses {
		if t := s.ContainerStatuses[i].State.Terminated; t == nil || t.ExitCode != 0 {
			return corev1.PodFailed
		}
	}
	return corev1.PodSucceeded
}

// regularStarted tells whether a main container was started in the sandbox in
// use.
func (w *worker) regularStarted() bool {
	if len(w.view.sandboxes) == 0 {
		return false
	}
	for i := range w.pod.Spec.Containers {
		if c := w.view.latestIn(w.view.sandboxes[0].Id, w.pod.Spec.Containers[i].Name); c != nil && c.StartedAt > 0 {
			return true
		}
	}
	return false
}

// setAddresses keeps the addresses of a sandbox that is gone.
func (w *worker) setAddresses(s *corev1.PodStatus, old *corev1.PodStatus) {
	nodeIPs := w.m.nodeIP()
	for _, ip := range nodeIPs {
		s.HostIPs = append(s.HostIPs, corev1.HostIP{IP: ip.String()})
	}
	s.HostIP = s.HostIPs[0].IP
	ips := w.podIPs()
	if len(ips) == 0 {
		s.PodIP, s.PodIPs = old.PodIP, old.PodIPs
		return
	}
	slices.SortStableFunc(ips, func(a, b string) int {
		// The family of the node's primary address comes first.
		want := nodeIPs[0].Is6()
		x, y := strings.Contains(a, ":") == want, strings.Contains(b, ":") == want
		switch {
		case x == y:
			return 0
		case x:
			return -1
		}
		return 1
	})
	s.PodIP = ips[0]
	for _, ip := range ips {
		s.PodIPs = append(s.PodIPs, corev1.PodIP{IP: ip})
	}
}

// phase derives the phase from the containers' states.
func phase(pod *corev1.Pod, statuses []corev1.ContainerStatus, ended, initialized bool) corev1.PodPhase {
	t := tally{pod: pod, statuses: statuses}
	for i := range pod.Spec.InitContainers {
		if c := &pod.Spec.InitContainers[i]; container.IsSidecar(c) {
			t.sidecar(c)
		} else {
			t.init(c)
		}
	}
	for i := range pod.Spec.Containers {
		t.main(&pod.Spec.Containers[i])
	}
	switch {
	case t.initFailedForGood > 0:
		return corev1.PodFailed
	case t.initPending > 0, t.sidecarPending > 0 && !initialized, t.waiting > 0:
		return corev1.PodPending
	case t.running > 0 && t.unknown == 0:
		return corev1.PodRunning
	case t.running == 0 && t.stopped > 0 && t.unknown == 0:
		if !(ended && !isStatic(pod)) && t.stopped != t.stoppedForGood {
			return corev1.PodRunning
		}
		if t.stopped == t.succeeded {
			return corev1.PodSucceeded
		}
		return corev1.PodFailed
	}
	return corev1.PodPending
}

// tally counts containers by what they are up to.
type tally struct {
	pod      *corev1.Pod
	statuses []corev1.ContainerStatus

	initPending, initFailedForGood, sidecarPending int
	running, waiting, unknown                      int
	stopped, stoppedForGood, succeeded             int
}

func (t *tally) find(name string) *corev1.ContainerStatus {
	for i := range t.statuses {
		if t.statuses[i].Name == name {
			return &t.statuses[i]
		}
	}
	return nil
}

func (t *tally) init(c *corev1.Container) {
	s := t.find(c.Name)
	var ended *corev1.ContainerStateTerminated
	switch {
	case s == nil:
	case s.State.Terminated != nil:
		ended = s.State.Terminated
	case s.State.Waiting != nil:
		ended = s.LastTerminationState.Terminated
	}
	if ended == nil {
		t.initPending++
	} else if ended.ExitCode != 0 && !comesBack(t.pod, c, ended) {
		t.initFailedForGood++
	} else if s.State.Terminated == nil || ended.ExitCode != 0 {
		t.initPending++
	}
}

func (t *tally) sidecar(c *corev1.Container) {
	s := t.find(c.Name)
	switch {
	case s == nil:
		t.unknown++
	case s.State.Running != nil:
		if s.Started == nil || !*s.Started {
			t.sidecarPending++
		}
		t.running++
	case s.State.Terminated != nil:
	case s.State.Waiting != nil:
		if s.LastTerminationState.Terminated == nil {
			t.sidecarPending++
			t.waiting++
		}
	default:
		t.sidecarPending++
		t.unknown++
	}
}

func (t *tally) main(c *corev1.Container) {
	s := t.find(c.Name)
	switch {
	case s == nil:
		t.unknown++
	case s.State.Running != nil:
		t.running++
	case s.State.Terminated != nil:
		t.stop(c, s.State.Terminated)
		if s.State.Terminated.ExitCode == 0 {
			t.succeeded++
		}
	case s.State.Waiting != nil:
		if last := s.LastTerminationState.Terminated; last != nil {
			t.stop(c, last)
		} else {
			t.waiting++
		}
	default:
		t.unknown++
	}
}

func (t *tally) stop(c *corev1.Container, ended *corev1.ContainerStateTerminated) {
	t.stopped++
	if !comesBack(t.pod, c, ended) {
		t.stoppedForGood++
	}
}

// timeOf converts a runtime's nanoseconds; the API keeps whole seconds.
func timeOf(ns int64) metav1.Time {
	if ns == 0 {
		return metav1.Time{}
	}
	return metav1.NewTime(time.Unix(0, ns)).Rfc3339Copy()
}
