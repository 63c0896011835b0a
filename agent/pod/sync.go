package pod

import (
	"context"
	"time"

	corev1 "k8s.io/api/core/v1"

	"skiff/agent/container"
	"skiff/agent/probe"
)

// ending is why a pod is stopped for good.
type ending struct {
	// phase, reason and message are set in the status, unless phase is "".
	phase           corev1.PodPhase
	reason, message string
	// grace overrides the pod's grace period, nil for none.
	grace *int64
}

// sync compares what is with what should be and starts what is next.
func (w *worker) sync(ctx context.Context) {
	if w.stale {
		next, err := w.view.look(ctx, w.m, string(w.uid))
		if err != nil {
			if ctx.Err() == nil {
				w.log().Error("cannot look at the pod in the runtime", "err", err)
			}
			w.wake(time.Now().Add(time.Second))
			return
		}
		w.view, w.stale = next, false
	}
	if w.pod == nil {
		w.syncOrphan()
		return
	}
	w.m.cfg.Objects.Track(w.pod)
	w.decideEnd()
	w.setProbes()
	if w.end != nil {
		w.syncEnd()
	} else {
		w.syncUp()
	}
	w.setProbes()
	w.updateStatus()
	// The phase may have become final just now.
	if w.end == nil && final(w.status.Phase) {
		w.end = &ending{}
		w.syncEnd()
		w.updateStatus()
	}
	w.showTo()
	w.syncMirror()
	w.write()
}

// decideEnd finds out whether the pod has to stop.
func (w *worker) decideEnd() {
	if w.end != nil {
		return
	}
	switch {
	case w.removed || w.pod.DeletionTimestamp != nil:
		w.end = &ending{}
	case final(w.pod.Status.Phase) && !isStatic(w.pod), w.mainsOver():
		w.end = &ending{}
	default:
		w.checkDeadline()
	}
}

// mainsOver tells whether all main containers have ended for good, so that the
// sidecars, which are there for them, must end as well.
func (w *worker) mainsOver() bool {
	for i := range w.pod.Spec.Containers {
		c := &w.pod.Spec.Containers[i]
		if last := w.view.latest(c.Name); last == nil || last.State != stateExited || restarts(w.pod, c, last.ExitCode) {
			return false
		}
	}
	return true
}

// checkDeadline ends a pod that was active for longer than it may.
func (w *worker) checkDeadline() {
	limit := w.pod.Spec.ActiveDeadlineSeconds
	start := w.startTime()
	if limit == nil || start == nil {
		return
	}
	at := start.Add(time.Duration(*limit) * time.Second)
	if time.Until(at) > 0 {
		w.wake(at)
		return
	}
	w.end = &ending{phase: corev1.PodFailed, reason: "DeadlineExceeded", message: "Pod was active on the node longer than the specified deadline"}
	w.event(corev1.EventTypeNormal, w.end.reason, w.end.message)
}

// syncUp brings the pod up.
func (w *worker) syncUp() {
	if !w.admitted && isStatic(w.pod) && w.m.predecessor(w.pod) {
		return // it wakes this one when it has ended
	}
	if !w.admitted && !w.admit() {
		return
	}
	if w.op != nil {
		return
	}
	if !w.setUp || w.refresh || !w.refreshAt.IsZero() && time.Until(w.refreshAt) <= 0 {
		if w.ready(opSetup) {
			w.beginSetup()
			return
		}
		if !w.setUp {
			return
		}
	}
	if !w.refreshAt.IsZero() {
		w.wake(w.refreshAt)
	}
	sandbox, attempt, why := w.view.current(w.pod)
	if why != "" {
		w.syncSandbox(attempt)
		return
	}
	w.sandboxErr = ""
	w.syncContainers(sandbox)
}

// setProbes tells the prober what runs.
func (w *worker) setProbes() {
	running := map[string]probe.Container{}
	for _, c := range w.view.alive() {
		name := c.Metadata.GetName()
		if w.hooked(name) {
			continue // its postStart hook runs: it has not started yet
		}
		pc := probe.Container{ID: c.Id, Started: time.Unix(0, c.StartedAt)}
		if old := findStatus(w.pod, name); old != nil && old.ContainerID == w.m.id(c.Id) {
			pc.Ready = old.Ready
			pc.IsStarted = old.Started != nil && *old.Started
		}
		running[name] = pc
	}
	w.m.probes.Set(w.pod, w.probeIP(), running)
	if w.end != nil {
		w.m.probes.StopLiveness(w.uid)
	}
}

func (w *worker) probeIP() string {
	if ips := w.podIPs(); len(ips) > 0 {
		return ips[0]
	}
	return ""
}

// podIPs are the sandbox's, or the node's for a pod on its network.
func (w *worker) podIPs() []string {
	if container.HostNetwork(w.pod) {
		nodeIPs := w.m.nodeIP()
		out := make([]string, len(nodeIPs))
		for i, ip := range nodeIPs {
			out[i] = ip.String()
		}
		return out
	}
	return w.view.ips()
}

// hooked tells whether the container's start is not over because of its hook.
func (w *worker) hooked(name string) bool {
	if w.op == nil || w.op.name != opStart || w.op.container != name {
		return false
	}
	c := w.spec(name)
	return c != nil && c.Lifecycle != nil && c.Lifecycle.PostStart != nil
}

// finalContainers tells whether none of the pod's containers runs.
func (w *worker) quiet() bool {
	return w.op == nil && len(w.kills) == 0 && len(w.view.alive()) == 0
}

// startTime is when the agent first saw the pod.
func (w *worker) startTime() *time.Time {
	if w.hasStatus && w.status.StartTime != nil {
		return &w.status.StartTime.Time
	}
	if w.pod.Status.StartTime != nil {
		return &w.pod.Status.StartTime.Time
	}
	return nil
}

func final(p corev1.PodPhase) bool { return p == corev1.PodFailed || p == corev1.PodSucceeded }
