package pod

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// reasonReset is the reason of containers that were stopped so that all of their
// pod's begin anew (KEP-5532).
const reasonReset = "RestartingAllContainers"

// matchingRule is the first of a container's own rules that is about an exit
// code, nil if there is none (KEP-5307).
func matchingRule(c *corev1.Container, code int32) *corev1.ContainerRestartRule {
	for i := range c.RestartPolicyRules {
		rule := &c.RestartPolicyRules[i]
		if rule.ExitCodes == nil {
			continue
		}
		in := slices.Contains(rule.ExitCodes.Values, code)
		if in == (rule.ExitCodes.Operator == corev1.ContainerRestartRuleOnExitCodesOpIn) {
			return rule
		}
	}
	return nil
}

// restarts tells whether a container that ended with code runs again, by its own
// rules and policy, or the pod's.
func restarts(pod *corev1.Pod, c *corev1.Container, code int32) bool {
	if matchingRule(c, code) != nil {
		return true // all actions restart it
	}
	policy := pod.Spec.RestartPolicy
	if c.RestartPolicy != nil {
		policy = corev1.RestartPolicy(*c.RestartPolicy)
	}
	switch policy {
	case corev1.RestartPolicyNever:
		return false
	case corev1.RestartPolicyOnFailure:
		return code != 0
	}
	return true
}

// comesBack is restarts for a state, which also knows the containers that a reset
// has stopped.
func comesBack(pod *corev1.Pod, c *corev1.Container, t *corev1.ContainerStateTerminated) bool {
	return t.Reason == reasonReset || restarts(pod, c, t.ExitCode)
}

// canReset tells whether any container's end can make all begin anew.
func canReset(pod *corev1.Pod) bool {
	for _, list := range [][]corev1.Container{pod.Spec.InitContainers, pod.Spec.Containers} {
		for i := range list {
			for _, rule := range list[i].RestartPolicyRules {
				if rule.Action == corev1.ContainerRestartRuleActionRestartAllContainers {
					return true
				}
			}
		}
	}
	return false
}

// isSource tells whether a container's end makes all containers of its pod begin
// anew.
func (w *worker) isSource(i *instance) bool {
	c := w.spec(i.Metadata.GetName())
	if c == nil || i.State != stateExited {
		return false
	}
	rule := matchingRule(c, i.ExitCode)
	return rule != nil && rule.Action == corev1.ContainerRestartRuleActionRestartAllContainers
}

// resetting tells whether there is a source of a reset that is not over.
func (w *worker) resetting() bool {
	if !canReset(w.pod) {
		return false
	}
	for i := range w.view.containers {
		one := &w.view.containers[i]
		if w.view.latest(one.Metadata.GetName()) == one && w.isSource(one) {
			return true
		}
	}
	return false
}

// syncReset stops and removes all containers of a pod in which one has ended
// that says so, and returns false when there is nothing to do or left to do.
// Ephemeral containers stay.
func (w *worker) syncReset() (busy bool) {
	if !w.resetting() {
		return false
	}
	for _, c := range w.view.alive() {
		if !w.isEphemeral(c.Metadata.GetName()) {
			w.killOne(c, killRequest{grace: 0, message: "killing"})
			busy = true
		}
	}
	if busy || len(w.kills) > 0 || !w.ready(opReset) {
		return true
	}
	w.beginReset()
	return true
}

func (w *worker) isEphemeral(name string) bool {
	for i := range w.pod.Spec.EphemeralContainers {
		if w.pod.Spec.EphemeralContainers[i].Name == name {
			return true
		}
	}
	return false
}

// beginReset removes the dead containers: those that began it last, so that a
// reset which is cut short goes on. Their logs stay, by which the restarts are
// counted.
func (w *worker) beginReset() {
	var victims, sources []string
	for i := range w.view.containers {
		c := &w.view.containers[i]
		switch {
		case w.isEphemeral(c.Metadata.GetName()):
		case w.isSource(c):
			sources = append(sources, c.Id)
		default:
			victims = append(victims, c.Id)
		}
	}
	m := w.m
	w.begin(opReset, "", func(ctx context.Context) func(*worker) {
		err := m.removeAll(ctx, slices.Concat(victims, sources))
		return func(w *worker) { w.endReset(err) }
	})
}

func (m *Manager) removeAll(ctx context.Context, containers []string) error {
	for _, id := range containers {
		if _, err := m.cfg.Runtime.RemoveContainer(ctx, &runtimeapi.RemoveContainerRequest{ContainerId: id}); err != nil && !isNotFound(err) {
			return fmt.Errorf("remove container %s: %w", id, err)
		}
	}
	return nil
}

func (w *worker) endReset(err error) {
	w.stale = true
	if err != nil {
		if w.m.ctx.Err() == nil && !errors.Is(err, context.Canceled) {
			w.log().Error("cannot restart all containers of the pod", "err", err)
		}
		w.retry(opReset, retryDown)
		return
	}
	for name := range w.waits {
		delete(w.waits, name)
		delete(w.retryAt, opStart+name)
	}
}

// resetStatus describes a container that a reset has removed.
func resetStatus(c *corev1.Container, before *corev1.ContainerStatus) corev1.ContainerStatus {
	const text = "The container is removed because RestartAllContainers in place"
	s := corev1.ContainerStatus{Name: c.Name, Image: c.Image, RestartCount: before.RestartCount + 1, VolumeMounts: before.VolumeMounts}
	s.State.Waiting = &corev1.ContainerStateWaiting{Reason: reasonReset, Message: text}
	s.LastTerminationState.Terminated = &corev1.ContainerStateTerminated{Reason: reasonReset, Message: text, ExitCode: 137}
	return s
}

// resetCondition tells whether all containers are being restarted.
func (w *worker) resetCondition(phase corev1.PodPhase) corev1.PodCondition {
	c := corev1.PodCondition{Type: corev1.AllContainersRestarting, Status: corev1.ConditionFalse}
	switch {
	case final(phase):
		c.Reason = "Pod" + strings.Replace(string(phase), "Succeeded", "Completed", 1)
	case w.resetting():
		c.Status, c.Reason, c.Message = corev1.ConditionTrue, "RestartAllContainersStarted", "container exited with restart policy rule"
	}
	return c
}

// wasResetting tells whether a reset had begun when the status was last computed.
func wasResetting(old *corev1.PodStatus) bool {
	return slices.ContainsFunc(old.Conditions, func(c corev1.PodCondition) bool {
		return c.Type == corev1.AllContainersRestarting && c.Status == corev1.ConditionTrue
	})
}
