package pod

import (
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"

	"skiff/agent/container"
	"skiff/agent/fieldpath"
	"skiff/agent/probe"
)

// syncContainers starts, in order, what should run in the sandbox and does not,
// and kills what should be restarted.
func (w *worker) syncContainers(sandbox string) {
	if w.syncReset() {
		return
	}
	var start []*corev1.Container
	for i := range w.pod.Spec.EphemeralContainers {
		c := (*corev1.Container)(&w.pod.Spec.EphemeralContainers[i].EphemeralContainerCommon)
		if w.view.latest(c.Name) == nil {
			start = append(start, c)
		}
	}
	initialized, first := w.syncInit(sandbox)
	start = append(start, first...)
	if initialized {
		for i := range w.pod.Spec.Containers {
			c := &w.pod.Spec.Containers[i]
			now := w.view.latest(c.Name)
			if w.check(c, now) && w.shouldStart(c, now) {
				start = append(start, c)
			}
		}
	}
	for _, c := range start {
		if w.kills[c.Name] != nil || !w.ready(opStart+c.Name) {
			continue
		}
		if w.backingOff(c) {
			continue
		}
		w.beginStart(c, sandbox)
		return
	}
}

// syncInit returns whether the init containers are through, and those to be
// started now. Sidecars are started in their turn, and kept running ever after.
func (w *worker) syncInit(sandbox string) (initialized bool, start []*corev1.Container) {
	was := w.hasInitialized(sandbox)
	for i := range w.pod.Spec.InitContainers {
		c := &w.pod.Spec.InitContainers[i]
		now := w.view.latestIn(sandbox, c.Name)
		if container.IsSidecar(c) {
			switch {
			case now == nil || now.State == stateExited || now.State == stateCreated:
				start = append(start, c)
			case !w.check(c, now):
			case now.State == stateRunning && w.isStarted(c, now):
				continue
			}
			if !was {
				return false, start
			}
			continue
		}
		if was {
			continue
		}
		switch {
		case now == nil || now.State == stateCreated:
			return false, append(start, c)
		case now.State != stateExited:
			return false, start
		case now.ExitCode == 0:
			continue
		case restarts(w.pod, c, now.ExitCode):
			return false, append(start, c)
		}
		return false, start
	}
	return true, start
}

// hasInitialized tells whether any of the pod's main containers was made in the
// sandbox, which is only done once all init containers are through.
func (w *worker) hasInitialized(sandbox string) bool {
	for i := range w.pod.Spec.Containers {
		if w.view.latestIn(sandbox, w.pod.Spec.Containers[i].Name) != nil {
			return true
		}
	}
	return false
}

// isStarted tells whether a sidecar lets the next container start.
func (w *worker) isStarted(c *corev1.Container, now *instance) bool {
	return !w.hooked(c.Name) && w.m.probes.Started(w.uid, c, now.Id)
}

// shouldStart tells whether a container is to be started, given its last life.
func (w *worker) shouldStart(c *corev1.Container, now *instance) bool {
	switch {
	case now == nil || now.State == stateCreated:
		return true
	case now.State != stateExited:
		return false
	}
	return restarts(w.pod, c, now.ExitCode)
}

// check kills a running container that must be restarted, and returns false then.
func (w *worker) check(c *corev1.Container, now *instance) bool {
	if now == nil || now.State != stateRunning && now.State != stateUnknown || w.kills[c.Name] != nil {
		return true
	}
	req := killRequest{grace: w.grace()}
	// Whether it comes back after a kill depends on the pod's policy; a new
	// definition always does.
	again := c.RestartPolicy == nil && w.pod.Spec.RestartPolicy != corev1.RestartPolicyNever || c.RestartPolicy != nil && *c.RestartPolicy != corev1.ContainerRestartPolicyNever
	switch {
	case now.State == stateUnknown:
		req.message = fmt.Sprintf("Container is in %q state, try killing it before restart", "unknown")
		again = false
	case now.Annotations[container.AnnotationHash] != "" && now.Annotations[container.AnnotationHash] != container.Hash(c):
		req.message = fmt.Sprintf("Container %s definition changed", c.Name)
		again = true
	default:
		kind, failed := w.m.probes.Failed(now.Id)
		if !failed {
			return true
		}
		spec := c.LivenessProbe
		req.message = fmt.Sprintf("Container %s failed liveness probe", c.Name)
		if kind == probe.Startup {
			spec = c.StartupProbe
			req.message = fmt.Sprintf("Container %s failed startup probe", c.Name)
		}
		if spec != nil && spec.TerminationGracePeriodSeconds != nil && w.pod.DeletionGracePeriodSeconds == nil {
			req.grace = *spec.TerminationGracePeriodSeconds
		}
	}
	if again {
		req.message += ", will be restarted"
	}
	w.killOne(now, req)
	return false
}

// backingOff tells whether a crashed container has to wait, and says why.
func (w *worker) backingOff(c *corev1.Container) bool {
	var last *instance
	for i := range w.view.containers {
		if one := &w.view.containers[i]; one.Metadata.GetName() == c.Name && one.State == stateExited {
			last = one
			break
		}
	}
	if last == nil {
		return false
	}
	key, now := w.crashKey(c), time.Now()
	// A clock that was set back must not keep a container down.
	since := time.Unix(0, last.FinishedAt)
	if since.After(now) || last.FinishedAt == 0 {
		since = now
	}
	if left := w.m.crashes.Remaining(key, since, now); left > 0 {
		w.wake(now.Add(left))
		delay := w.m.crashes.Delay(key)
		msg := fmt.Sprintf("back-off %s restarting failed container=%s pod=%s", delay, c.Name, container.Describe(w.pod))
		if w.waits[c.Name].message != msg {
			w.waits[c.Name] = wait{"CrashLoopBackOff", msg}
			w.m.cfg.Events.Event(container.Ref(w.pod, c.Name), corev1.EventTypeWarning, "BackOff",
				fmt.Sprintf("Back-off restarting failed container %s in pod %s", c.Name, container.Describe(w.pod)))
		}
		return true
	}
	w.m.crashes.Next(key, since, now)
	return false
}

func (w *worker) crashKey(c *corev1.Container) string {
	return string(w.uid) + "/" + c.Name + "/" + container.Hash(c)
}

// spec finds a container of any kind.
func (w *worker) spec(name string) *corev1.Container { return fieldpath.Container(w.pod, name) }

// grace is the pod's grace period in seconds.
func (w *worker) grace() int64 {
	switch {
	case w.end != nil && w.end.grace != nil:
		return *w.end.grace
	case w.pod.DeletionGracePeriodSeconds != nil:
		return *w.pod.DeletionGracePeriodSeconds
	case w.pod.Spec.TerminationGracePeriodSeconds != nil:
		return *w.pod.Spec.TerminationGracePeriodSeconds
	}
	return minGrace
}
