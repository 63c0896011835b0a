package pod

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// retryDown is how long a teardown that failed waits.
const retryDown = 5 * time.Second

// syncEnd stops the pod and takes down what it has. What remains of a pod that
// has ended but is not deleted are its dead containers and their logs.
func (w *worker) syncEnd() {
	if w.op != nil {
		if w.op.name != opDown {
			w.op.cancel()
		}
		return
	}
	if alive := w.view.alive(); len(alive) > 0 {
		var o *order
		if len(w.kills) == 0 {
			o = newOrder(w.pod, alive)
		}
		for _, c := range alive {
			w.killOne(c, killRequest{grace: w.grace(), order: o})
		}
		return
	}
	if len(w.kills) > 0 {
		return
	}
	gone := w.gone()
	if w.tornDown && (!gone || len(w.view.containers)+len(w.view.sandboxes) == 0) {
		if gone {
			w.deleteObject()
		}
		return
	}
	if !w.ready(opDown) {
		return
	}
	w.beginDown(gone)
}

// gone tells whether not even the dead containers are needed any more.
func (w *worker) gone() bool { return w.removed || w.pod.DeletionTimestamp != nil }

// beginDown stops the sandboxes and removes the pod's volumes and cgroup; with
// everything, also its containers, sandboxes and logs.
func (w *worker) beginDown(everything bool) {
	pod, v, m := w.pod, w.view, w.m
	w.begin(opDown, "", func(ctx context.Context) func(*worker) {
		err := m.tearDown(ctx, pod, v, everything)
		return func(w *worker) {
			w.stale = true
			if err != nil {
				if m.ctx.Err() == nil {
					w.log().Error("cannot take the pod down", "err", err)
				}
				w.retry(opDown, retryDown)
				return
			}
			w.tornDown = true
		}
	})
}

func (m *Manager) tearDown(ctx context.Context, pod *corev1.Pod, v view, everything bool) error {
	var errs []error
	for _, s := range v.sandboxes {
		if _, err := m.cfg.Runtime.StopPodSandbox(ctx, &runtimeapi.StopPodSandboxRequest{PodSandboxId: s.Id}); err != nil {
			errs = append(errs, fmt.Errorf("stop sandbox %s: %w", s.Id, err))
		}
	}
	if everything {
		for i := range v.containers {
			if _, err := m.cfg.Runtime.RemoveContainer(ctx, &runtimeapi.RemoveContainerRequest{ContainerId: v.containers[i].Id}); err != nil && !isNotFound(err) {
				errs = append(errs, fmt.Errorf("remove container %s: %w", v.containers[i].Id, err))
			}
		}
		for _, s := range v.sandboxes {
			if _, err := m.cfg.Runtime.RemovePodSandbox(ctx, &runtimeapi.RemovePodSandboxRequest{PodSandboxId: s.Id}); err != nil {
				errs = append(errs, fmt.Errorf("remove sandbox %s: %w", s.Id, err))
			}
		}
	}
	errs = append(errs, m.removeFiles(pod.UID))
	if m.cfg.Cgroups != nil {
		errs = append(errs, m.removeCgroup(ctx, pod.UID))
		m.updateShares()
	}
	if everything && errors.Join(errs...) == nil {
		errs = append(errs, os.RemoveAll(m.cfg.Node.PodLogDir(pod)))
	}
	return errors.Join(errs...)
}

// removeFiles removes a pod's volumes and what else is in its directory.
func (m *Manager) removeFiles(uid types.UID) error {
	if err := m.cfg.Volumes.Unset(uid); err != nil || m.cfg.Node.Users == nil {
		return err
	}
	return m.cfg.Node.Users.Release(uid)
}

// removeCgroup waits a moment for the last processes to be gone.
func (m *Manager) removeCgroup(ctx context.Context, uid types.UID) error {
	var err error
	for delay := time.Millisecond; delay < time.Second; delay *= 2 {
		if err = m.cfg.Cgroups.RemovePod(uid); err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(delay):
		}
	}
	return err
}

// deleteObject removes the object of a pod of which nothing is left here, after
// its last status is written.
func (w *worker) deleteObject() {
	if w.removed || isStatic(w.pod) {
		w.forgetPod()
		if isStatic(w.pod) {
			w.forgetMirror()
		}
		return
	}
	w.updateStatus()
	if w.writing || w.needsWrite() {
		return
	}
	if !w.ready(opDelete) {
		return
	}
	pod, m := w.pod, w.m
	w.begin(opDown, "", func(ctx context.Context) func(*worker) {
		zero := int64(0)
		err := m.cfg.Client.CoreV1().Pods(pod.Namespace).Delete(ctx, pod.Name, metav1.DeleteOptions{
			GracePeriodSeconds: &zero, Preconditions: metav1.NewUIDPreconditions(string(pod.UID)),
		})
		return func(w *worker) {
			switch {
			case err == nil, apierrors.IsNotFound(err), apierrors.IsConflict(err):
				// Other finalizers may hold the object; its removal will be seen.
				w.retry(opDelete, time.Hour)
				if apierrors.IsNotFound(err) || apierrors.IsConflict(err) {
					w.removed = true
				}
			case m.ctx.Err() == nil:
				if m.undeleted.Due(time.Minute) {
					w.log().Error("cannot delete the pod's object", "err", err)
				}
				w.retry(opDelete, retryDown)
			}
		}
	})
}

// forgetPod drops all that is remembered about the pod.
func (w *worker) forgetPod() {
	m := w.m
	m.probes.Remove(w.uid)
	m.cfg.Objects.Untrack(w.uid)
	m.cfg.Images.Forget(w.pod)
	m.crashes.ForgetPrefix(string(w.uid) + "/")
	m.setups.ForgetPrefix(string(w.uid))
	w.finished = true
}
