package pod

import (
	"context"
	"fmt"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"skiff/agent/container"
)

// syncSandbox makes a sandbox, after everything of the one before is gone.
func (w *worker) syncSandbox(attempt uint32) {
	if attempt > 0 && !w.wantsSandbox() {
		w.end = &ending{}
		w.syncEnd()
		return
	}
	if alive := w.view.alive(); len(alive) > 0 {
		for _, c := range alive {
			w.killOne(c, killRequest{grace: w.grace()})
		}
		return
	}
	if len(w.kills) > 0 || !w.ready(opSandbox) {
		return
	}
	if attempt > 0 && w.sandboxErr == "" {
		w.event(corev1.EventTypeNormal, "SandboxChanged", "Pod sandbox changed, it will be killed and re-created.")
	}
	pod, old, empty := w.pod, w.view.sandboxes, w.emptySandboxes()
	m := w.m
	w.begin(opSandbox, "", func(ctx context.Context) func(*worker) {
		err := m.makeSandbox(ctx, pod, attempt, old, empty)
		return func(w *worker) { w.endSandbox(err) }
	})
}

// killedExit is the exit code of what SIGKILL ended.
const killedExit = 137

// wantsSandbox tells whether any container would run in a new sandbox. Those of
// a pod that never restarts have had their chance; one that runs in the old one
// has to be killed.
func (w *worker) wantsSandbox() bool {
	for i := range w.pod.Spec.Containers {
		c := &w.pod.Spec.Containers[i]
		last := w.view.latest(c.Name)
		runs := last != nil && (last.State == stateRunning || last.State == stateUnknown)
		if w.shouldStart(c, last) || runs && restarts(w.pod, c, killedExit) {
			return true
		}
	}
	return false
}

// emptySandboxes are those in which no container is left, not even a dead one.
func (w *worker) emptySandboxes() map[string]bool {
	empty := map[string]bool{}
	for _, s := range w.view.sandboxes {
		empty[s.Id] = true
	}
	for i := range w.view.containers {
		delete(empty, w.view.containers[i].sandbox)
	}
	return empty
}

// makeSandbox stops the old sandboxes, removes those of them that are empty, and
// runs a new one.
func (m *Manager) makeSandbox(ctx context.Context, pod *corev1.Pod, attempt uint32, old []*runtimeapi.PodSandboxStatus, empty map[string]bool) error {
	if !container.HostNetwork(pod) && m.cfg.NetworkReady != nil {
		if err := m.cfg.NetworkReady(); err != nil {
			return networkError{err}
		}
	}
	for _, s := range old {
		if _, err := m.cfg.Runtime.StopPodSandbox(ctx, &runtimeapi.StopPodSandboxRequest{PodSandboxId: s.Id}); err != nil {
			return fmt.Errorf("failed to stop sandbox %q: %w", s.Id, err)
		}
		if !empty[s.Id] {
			continue
		}
		if _, err := m.cfg.Runtime.RemovePodSandbox(ctx, &runtimeapi.RemovePodSandboxRequest{PodSandboxId: s.Id}); err != nil {
			return fmt.Errorf("failed to remove sandbox %q: %w", s.Id, err)
		}
	}
	h, err := m.runtimeHandler(ctx, pod)
	if err != nil {
		return err
	}
	cfg, err := m.cfg.Node.Sandbox(pod, attempt, h.features)
	if err != nil {
		return err
	}
	_, err = m.cfg.Runtime.RunPodSandbox(ctx, &runtimeapi.RunPodSandboxRequest{Config: cfg, RuntimeHandler: h.name})
	return err
}

type networkError struct{ error }

func (w *worker) endSandbox(err error) {
	w.stale = true
	if err == nil {
		w.m.setups.Forget(string(w.uid) + "/sandbox")
		return
	}
	if w.m.ctx.Err() != nil || w.end != nil {
		return
	}
	key := string(w.uid) + "/sandbox"
	w.m.setups.Next(key, time.Time{}, time.Now())
	w.retry(opSandbox, w.m.setups.Delay(key))
	w.sandboxErr = err.Error()
	if n, ok := err.(networkError); ok {
		w.event(corev1.EventTypeWarning, "NetworkNotReady", fmt.Sprintf("network is not ready: %v", n.error))
		return
	}
	w.event(corev1.EventTypeWarning, "FailedCreatePodSandBox", "Failed to create pod sandbox: "+strings.TrimSpace(err.Error()))
}
