package pod

import (
	"context"
	"time"

	"k8s.io/apimachinery/pkg/types"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"skiff/agent/container"
)

// followRuntime turns the runtime's events into messages to the workers, until
// ctx ends. Every subscription begins with a list of everything, and one more is
// made now and then, should an event be lost.
func (m *Manager) followRuntime(ctx context.Context) {
	relist := time.NewTicker(m.cfg.RelistPeriod)
	defer relist.Stop()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		m.subscribe(ctx)
	}()
	for {
		select {
		case <-ctx.Done():
			<-ended
			return
		case <-relist.C:
			m.relist(ctx)
		}
	}
}

func (m *Manager) subscribe(ctx context.Context) {
	for delay := time.Second; ctx.Err() == nil; delay = min(2*delay, 30*time.Second) {
		began := time.Now()
		err := m.cfg.Runtime.Events(ctx, func() { m.relist(ctx) }, m.handleEvent)
		if ctx.Err() != nil {
			return
		}
		m.cfg.Log.Warn("the runtime's events have ended, subscribing again", "err", err)
		if time.Since(began) > time.Minute {
			delay = time.Second
		}
		select {
		case <-ctx.Done():
		case <-time.After(delay):
		}
	}
}

// handleEvent wakes the worker of the pod that an event is about.
func (m *Manager) handleEvent(ev *runtimeapi.ContainerEventResponse) {
	stale := func(w *worker) { w.stale = true }
	if uid := ev.GetPodSandboxStatus().GetMetadata().GetUid(); uid != "" {
		m.kick(types.UID(uid), stale)
		return
	}
	for _, c := range ev.GetContainersStatuses() {
		if uid := c.GetLabels()[container.LabelPodUID]; uid != "" {
			m.kick(types.UID(uid), stale)
			return
		}
	}
	// The event does not say whose it is.
	m.each(func(w *worker) {
		if s := w.shown.Load(); s != nil && s.has(ev.ContainerId) {
			w.post(stale)
		}
	})
}

func (s *shown) has(id string) bool {
	if s.sandbox == id {
		return true
	}
	for _, c := range s.containers {
		if c.id == id {
			return true
		}
	}
	return false
}

// relist makes every worker look at the runtime, and makes workers for what runs
// without one.
func (m *Manager) relist(ctx context.Context) {
	uids := map[types.UID]bool{}
	sandboxes, err := m.cfg.Runtime.ListPodSandbox(ctx, &runtimeapi.ListPodSandboxRequest{})
	if err != nil {
		if ctx.Err() == nil {
			m.cfg.Log.Error("cannot list the runtime's sandboxes", "err", err)
		}
		return
	}
	for _, s := range sandboxes.Items {
		if uid := s.Labels[container.LabelPodUID]; uid != "" {
			uids[types.UID(uid)] = true
		}
	}
	containers, err := m.cfg.Runtime.ListContainers(ctx, &runtimeapi.ListContainersRequest{})
	if err != nil {
		if ctx.Err() == nil {
			m.cfg.Log.Error("cannot list the runtime's containers", "err", err)
		}
		return
	}
	for _, c := range containers.Containers {
		if uid := c.Labels[container.LabelPodUID]; uid != "" {
			uids[types.UID(uid)] = true
		}
	}
	for uid := range uids {
		m.worker(uid)
	}
	m.each(func(w *worker) { w.post(func(w *worker) { w.stale = true }) })
}

// Complete tells that all pods have been given to Update: what else is found on
// the node is removed from now on.
func (m *Manager) Complete() {
	m.mu.Lock()
	m.complete = true
	known := map[types.UID]bool{}
	for uid := range m.workers {
		known[uid] = true
	}
	m.mu.Unlock()
	m.each(func(w *worker) { w.post(nil) })
	m.cleanFiles(known)
}

// cleanFiles removes volumes and cgroups of pods that neither the API nor the
// runtime knows, left by a crash.
func (m *Manager) cleanFiles(known map[types.UID]bool) {
	left, err := m.cfg.Volumes.Pods()
	if err != nil {
		m.cfg.Log.Error("cannot list the files of pods", "err", err)
	}
	if m.cfg.Cgroups != nil {
		for uid := range m.cfg.Cgroups.Pods() {
			left = append(left, uid)
		}
	}
	for _, uid := range left {
		if known[uid] {
			continue
		}
		if err := m.removeFiles(uid); err != nil {
			m.cfg.Log.Error("cannot remove the files of a pod that is gone", "pod", string(uid), "err", err)
		}
		if m.cfg.Cgroups != nil {
			if err := m.cfg.Cgroups.RemovePod(uid); err != nil {
				m.cfg.Log.Error("cannot remove the cgroup of a pod that is gone", "pod", string(uid), "err", err)
			}
		}
	}
}
