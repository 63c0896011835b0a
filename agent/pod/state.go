package pod

import (
	"cmp"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"skiff/agent/container"
)

// kind says what kind of containers statuses are made of.
type kind struct {
	// init containers these are; hasInit tells whether the pod has any.
	init, hasInit bool
	// reset tells that those which are missing were removed to begin anew.
	reset bool
}

// of is k for init containers, or for others.
func (k kind) of(init bool) kind {
	k.init = init
	return k
}

// containerStatuses returns the statuses of the containers in specs, given those
// before.
func (w *worker) containerStatuses(specs []corev1.Container, old []corev1.ContainerStatus, k kind) []corev1.ContainerStatus {
	if len(specs) == 0 {
		return nil
	}
	out := make([]corev1.ContainerStatus, 0, len(specs))
	for i := range specs {
		c := &specs[i]
		var before *corev1.ContainerStatus
		for j := range old {
			if old[j].Name == c.Name {
				before = &old[j]
			}
		}
		s := w.containerStatus(c, before, k)
		w.setReady(c, &s, k.init)
		out = append(out, s)
	}
	if !k.init {
		slices.SortFunc(out, func(a, b corev1.ContainerStatus) int { return cmp.Compare(a.Name, b.Name) })
	}
	return out
}

// containerStatus returns one container's status: that of its newest instance
// with the one before as its last state, or what was known if there is none.
func (w *worker) containerStatus(c *corev1.Container, before *corev1.ContainerStatus, k kind) corev1.ContainerStatus {
	var s corev1.ContainerStatus
	found := 0
	for i := range w.view.containers {
		inst := &w.view.containers[i]
		if inst.Metadata.GetName() != c.Name || found == 2 {
			continue
		}
		if found == 0 {
			s = w.instanceStatus(c, inst, before)
		} else {
			s.LastTerminationState = w.instanceStatus(c, inst, before).State
			s.LastTerminationState.Waiting, s.LastTerminationState.Running = nil, nil
		}
		found++
	}
	if found == 0 && k.reset && before != nil && before.State.Waiting == nil {
		s = resetStatus(c, before)
	} else if found == 0 {
		s = w.missingStatus(c, before, k)
	} else if found == 1 && before != nil {
		s.LastTerminationState = lastState(before, &s)
	}
	if s.VolumeMounts == nil {
		s.VolumeMounts = w.mountStatuses(c)
	}
	w.setWaiting(c, &s, k.init)
	return s
}

// lastState keeps how the container before ended, after it is removed.
func lastState(before, now *corev1.ContainerStatus) corev1.ContainerState {
	if before.ContainerID != now.ContainerID && before.State.Terminated != nil {
		return before.State
	}
	return before.LastTerminationState
}

// instanceStatus describes a container of the runtime.
func (w *worker) instanceStatus(c *corev1.Container, inst *instance, before *corev1.ContainerStatus) corev1.ContainerStatus {
	s := corev1.ContainerStatus{
		Name: c.Name, RestartCount: int32(restartCount(inst)), ContainerID: w.m.id(inst.Id),
		Image: inst.GetImage().GetImage(), ImageID: inst.ImageRef,
	}
	if s.Image == "" || strings.HasPrefix(s.Image, "sha256:") {
		s.Image = cmp.Or(inst.GetImage().GetUserSpecifiedImage(), c.Image)
	}
	if before != nil {
		s.VolumeMounts = before.VolumeMounts
		s.RestartCount = max(s.RestartCount, before.RestartCount)
	}
	s.AllocatedResources = c.Resources.Requests
	s.Resources = c.Resources.DeepCopy()
	if u := inst.GetUser().GetLinux(); u != nil {
		s.User = &corev1.ContainerUser{Linux: &corev1.LinuxContainerUser{UID: u.Uid, GID: u.Gid, SupplementalGroups: u.SupplementalGroups}}
	}
	switch {
	case inst.State == stateRunning && w.hooked(c.Name):
		s.State.Waiting = &corev1.ContainerStateWaiting{Reason: "ContainerCreating"}
	case inst.State == stateRunning:
		s.State.Running = &corev1.ContainerStateRunning{StartedAt: timeOf(inst.StartedAt)}
	case inst.State == stateExited:
		s.State.Terminated = &corev1.ContainerStateTerminated{
			ExitCode: inst.ExitCode, Reason: inst.Reason, Message: w.lastMessage(c, inst),
			StartedAt: timeOf(inst.StartedAt), FinishedAt: timeOf(inst.FinishedAt), ContainerID: s.ContainerID,
		}
	case inst.State == stateUnknown && before != nil && before.State.Running != nil:
		s.State.Terminated = &corev1.ContainerStateTerminated{
			Reason: "ContainerStatusUnknown", Message: "The container could not be located when the pod was terminated", ExitCode: 137,
		}
		s.RestartCount = before.RestartCount + 1
	default:
		s.State.Waiting = &corev1.ContainerStateWaiting{Reason: "ContainerCreating"}
	}
	return s
}

// missingStatus describes a container that the runtime does not have.
func (w *worker) missingStatus(c *corev1.Container, before *corev1.ContainerStatus, k kind) corev1.ContainerStatus {
	if before != nil && before.State.Terminated != nil {
		return *before
	}
	s := corev1.ContainerStatus{Name: c.Name, Image: c.Image}
	reason := "ContainerCreating"
	if k.hasInit {
		reason = "PodInitializing"
	}
	s.State.Waiting = &corev1.ContainerStateWaiting{Reason: reason}
	if before != nil {
		s.RestartCount, s.LastTerminationState, s.VolumeMounts = before.RestartCount, before.LastTerminationState, before.VolumeMounts
		if before.State.Running != nil && s.LastTerminationState.Terminated == nil {
			s.LastTerminationState.Terminated = &corev1.ContainerStateTerminated{
				Reason: "ContainerStatusUnknown", Message: "The container could not be located when the pod was deleted.  The container used to be Running", ExitCode: 137,
			}
			if w.pod.DeletionTimestamp == nil {
				s.RestartCount++
			}
		}
	}
	if k.init && !container.IsSidecar(c) && len(w.view.sandboxes) > 0 && w.hasInitialized(w.view.sandboxes[0].Id) {
		s.State = corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{
			Reason: "Completed", Message: "Unable to get init container status from container runtime and pod has been initialized, treat it as exited normally",
		}}
	}
	return s
}

// setWaiting shows why a container that is to be started does not run.
func (w *worker) setWaiting(c *corev1.Container, s *corev1.ContainerStatus, init bool) {
	why, ok := w.waits[c.Name]
	if !ok || w.end != nil {
		return
	}
	last := w.view.latest(c.Name)
	if init && last != nil && last.State == stateExited && last.ExitCode == 0 && !container.IsSidecar(c) {
		return
	}
	if s.State.Running != nil || !w.shouldStart(c, last) {
		return
	}
	if s.State.Terminated != nil {
		s.LastTerminationState = s.State
	}
	s.State = corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: why.reason, Message: why.message}}
}

// sandboxFeatures are those of the handler that the pod's sandbox has.
func (w *worker) sandboxFeatures() container.Features {
	if len(w.view.sandboxes) == 0 {
		return w.m.features("")
	}
	return w.m.features(w.view.sandboxes[0].RuntimeHandler)
}

// setReady sets what probes say about a container.
func (w *worker) setReady(c *corev1.Container, s *corev1.ContainerStatus, init bool) {
	no, yes := false, true
	s.Started = &no
	switch {
	case s.State.Running != nil:
		id := strings.TrimPrefix(s.ContainerID, w.m.cfg.RuntimeName+"://")
		if init && !container.IsSidecar(c) {
			s.Started = &yes
			return
		}
		if w.m.probes.Started(w.uid, c, id) {
			s.Started = &yes
			s.Ready = w.m.probes.Ready(w.uid, c, id)
		}
	case init && !container.IsSidecar(c) && s.State.Terminated != nil && s.State.Terminated.ExitCode == 0:
		s.Ready = true
	}
}

// mountStatuses show how each volume is mounted.
func (w *worker) mountStatuses(c *corev1.Container) []corev1.VolumeMountStatus {
	var out []corev1.VolumeMountStatus
	features := w.sandboxFeatures()
	for i := range c.VolumeMounts {
		m := &c.VolumeMounts[i]
		s := corev1.VolumeMountStatus{Name: m.Name, MountPath: m.MountPath, ReadOnly: m.ReadOnly}
		if m.ReadOnly {
			mode := corev1.RecursiveReadOnlyDisabled
			if is, err := container.RecursiveReadOnly(m, features); err == nil && is {
				mode = corev1.RecursiveReadOnlyEnabled
			}
			s.RecursiveReadOnly = &mode
		}
		out = append(out, s)
	}
	return out
}
