package pod

import (
	"context"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"time"
)

// Annotations of pods that do not come from the API.
const (
	AnnotationSource = "kubernetes.io/config.source"
	AnnotationHash   = "kubernetes.io/config.hash"
	AnnotationMirror = corev1.MirrorPodAnnotationKey
	AnnotationSeen   = "kubernetes.io/config.seen"
)

// isStatic tells whether the pod comes from a file of the node.
func isStatic(pod *corev1.Pod) bool {
	source, ok := pod.Annotations[AnnotationSource]
	return ok && source != "api" && pod.Annotations[AnnotationMirror] == ""
}

// isMirror tells whether an object only shows a static pod in the API.
func isMirror(pod *corev1.Pod) bool {
	_, ok := pod.Annotations[AnnotationMirror]
	return ok
}

// static finds the worker of the static pod that a mirror shows.
func (m *Manager) static(mirror *corev1.Pod) *worker {
	var found *worker
	m.each(func(w *worker) {
		if s := w.shown.Load(); s != nil && !s.removed && isStatic(s.pod) && s.pod.Name == mirror.Name && s.pod.Namespace == mirror.Namespace {
			found = w
		}
	})
	return found
}

// updateMirror takes the API's object of a static pod; one that has no static
// pod any more, or another one, is deleted.
func (m *Manager) updateMirror(mirror *corev1.Pod) {
	if w := m.static(mirror); w != nil {
		w.post(func(w *worker) {
			if w.mirror == nil || w.mirror.UID != mirror.UID || !older(mirror, w.mirror) {
				w.mirror = mirror
			}
		})
		return
	}
	m.mu.Lock()
	complete := m.complete
	m.mu.Unlock()
	if complete {
		m.spawn(func() { m.deleteMirror(m.ctx, mirror) })
	}
}

func (m *Manager) removeMirror(mirror *corev1.Pod) {
	if w := m.static(mirror); w != nil {
		w.post(func(w *worker) {
			if w.mirror != nil && w.mirror.UID == mirror.UID {
				w.mirror = nil
			}
		})
	}
}

// syncMirror makes the mirror of a static pod, or replaces one of an earlier
// version of the file.
func (w *worker) syncMirror() {
	if w.mirroring || w.end != nil && w.removed || !isStatic(w.pod) {
		return
	}
	hash := w.pod.Annotations[AnnotationHash]
	if w.mirror != nil && w.mirror.DeletionTimestamp == nil && w.mirror.Annotations[AnnotationMirror] == hash {
		return
	}
	if !w.ready("mirror") {
		return
	}
	pod, old, m := w.pod, w.mirror, w.m
	w.mirroring = m.spawn(func() {
		mirror, err := m.makeMirror(m.ctx, pod, old)
		w.post(func(w *worker) {
			w.mirroring = false
			if err != nil {
				if m.ctx.Err() == nil {
					w.log().Warn("cannot make the mirror of a static pod", "err", err)
				}
				w.retry("mirror", 10*time.Second)
				return
			}
			w.mirror = mirror
		})
	})
}

// makeMirror creates the object that shows a static pod in the API.
func (m *Manager) makeMirror(ctx context.Context, pod, old *corev1.Pod) (*corev1.Pod, error) {
	if old != nil {
		m.deleteMirror(ctx, old)
	}
	mirror := pod.DeepCopy()
	mirror.UID, mirror.ResourceVersion = "", ""
	mirror.Annotations[AnnotationMirror] = pod.Annotations[AnnotationHash]
	if node, err := m.cfg.GetNode(); err == nil && node.UID != "" {
		yes := true
		mirror.OwnerReferences = []metav1.OwnerReference{{APIVersion: "v1", Kind: "Node", Name: node.Name, UID: node.UID, Controller: &yes}}
	}
	made, err := m.cfg.Client.CoreV1().Pods(mirror.Namespace).Create(ctx, mirror, metav1.CreateOptions{})
	if apierrors.IsAlreadyExists(err) {
		have, getErr := m.cfg.Client.CoreV1().Pods(mirror.Namespace).Get(ctx, mirror.Name, metav1.GetOptions{})
		if getErr == nil && have.Annotations[AnnotationMirror] == mirror.Annotations[AnnotationMirror] {
			return have, nil
		}
		if getErr == nil && isMirror(have) {
			m.deleteMirror(ctx, have)
			return m.cfg.Client.CoreV1().Pods(mirror.Namespace).Create(ctx, mirror, metav1.CreateOptions{})
		}
	}
	return made, err
}

// predecessor tells whether an earlier version of a static pod has not ended yet:
// two of them would fight for ports and files.
func (m *Manager) predecessor(pod *corev1.Pod) bool {
	found := false
	m.each(func(w *worker) {
		s := w.shown.Load()
		if s != nil && s.pod.UID != pod.UID && isStatic(s.pod) && s.admitted && s.pod.Name == pod.Name && s.pod.Namespace == pod.Namespace {
			found = true
		}
	})
	return found
}

// forgetMirror deletes the mirror of a static pod that is gone, and lets its
// successor go on.
func (w *worker) forgetMirror() {
	m, mirror := w.m, w.mirror
	w.removed = true
	if mirror != nil {
		m.spawn(func() { m.deleteMirror(m.ctx, mirror) })
	}
	m.forget(w)
	m.each(func(other *worker) {
		if s := other.shown.Load(); s != nil && isStatic(s.pod) {
			other.post(nil)
		}
	})
}

func (m *Manager) deleteMirror(ctx context.Context, mirror *corev1.Pod) {
	zero := int64(0)
	err := m.cfg.Client.CoreV1().Pods(mirror.Namespace).Delete(ctx, mirror.Name, metav1.DeleteOptions{
		GracePeriodSeconds: &zero, Preconditions: metav1.NewUIDPreconditions(string(mirror.UID)),
	})
	if err != nil && !apierrors.IsNotFound(err) && !apierrors.IsConflict(err) && ctx.Err() == nil {
		m.cfg.Log.Warn("cannot delete the mirror of a static pod", "pod", mirror.Namespace+"/"+mirror.Name, "err", err)
	}
}
