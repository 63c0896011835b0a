package pod

import (
	"context"
	"errors"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"

	"skiff/agent/container"
	"skiff/agent/volume"
)

// The names of operations, and of what is retried.
const (
	opSetup   = "setup"
	opSandbox = "sandbox"
	opStart   = "start"
	opReset   = "reset"
	opDown    = "down"
	opDelete  = "delete"
)

// beginSetup makes the pod's cgroup and volumes, or brings its volumes up to
// date.
func (w *worker) beginSetup() {
	pod, ips, fresh := w.pod, w.podIPs(), !w.setUp
	if !fresh && !volume.HasConfig(pod) {
		w.refresh, w.refreshAt = false, time.Time{}
		w.post(nil)
		return
	}
	w.refresh = false
	m := w.m
	w.begin(opSetup, "", func(ctx context.Context) func(*worker) {
		good, err := m.setup(ctx, pod, ips, fresh)
		return func(w *worker) { w.endSetup(good, err) }
	})
}

func (m *Manager) setup(ctx context.Context, pod *corev1.Pod, ips []string, fresh bool) (time.Duration, error) {
	if fresh && m.cfg.Cgroups != nil {
		if err := m.cfg.Cgroups.EnsurePod(pod, container.QOS(pod)); err != nil {
			return 0, cgroupError{err}
		}
		m.updateShares()
	}
	// Configuration objects may still be on their way.
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	return m.cfg.Volumes.Set(ctx, pod, ips)
}

type cgroupError struct{ error }

func (w *worker) endSetup(good time.Duration, err error) {
	key := string(w.uid)
	if err == nil {
		w.m.setups.Forget(key)
		w.setUp = true
		w.refreshAt = time.Time{}
		if good > 0 {
			w.refreshAt = time.Now().Add(good)
		}
		return
	}
	if w.m.ctx.Err() != nil || errors.Is(err, context.Canceled) {
		w.refresh = true
		return
	}
	w.refresh = true
	w.m.setups.Next(key, time.Time{}, time.Now())
	w.retry(opSetup, w.m.setups.Delay(key))
	var mount *volume.MountError
	var cg cgroupError
	switch {
	case errors.As(err, &cg):
		w.event(corev1.EventTypeWarning, "FailedCreatePodContainer", fmt.Sprintf("unable to ensure pod container exists: %v", cg.error))
	case errors.As(err, &mount):
		for _, one := range split(err) {
			w.event(corev1.EventTypeWarning, "FailedMount", one.Error())
		}
	default:
		w.event(corev1.EventTypeWarning, "Failed", fmt.Sprintf("error making pod data directories: %v", err))
	}
}

// split returns the errors that were joined.
func split(err error) []error {
	if many, ok := err.(interface{ Unwrap() []error }); ok {
		return many.Unwrap()
	}
	return []error{err}
}

// updateShares gives the burstable pods together the weight of their requests.
func (m *Manager) updateShares() {
	var milli int64
	m.each(func(w *worker) {
		s := w.shown.Load()
		if s != nil && s.admitted && !s.done && container.QOS(s.pod) == corev1.PodQOSBurstable {
			requests := podRequests(s.pod)
			milli += requests.Cpu().MilliValue()
		}
	})
	m.mu.Lock()
	same := m.shares == milli
	m.shares = milli
	m.mu.Unlock()
	if same {
		return
	}
	if err := m.cfg.Cgroups.SetBurstableShares(milli); err != nil {
		m.cfg.Log.Warn("cannot set the weight of burstable pods", "err", err)
	}
}
