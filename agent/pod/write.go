package pod

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/strategicpatch"
)

const maxWriteDelay = time.Minute

// object is what the status is written to: the pod, or a static pod's mirror.
func (w *worker) object() *corev1.Pod {
	if isStatic(w.pod) {
		return w.mirror
	}
	return w.pod
}

// merged is the computed status with what others own.
func (w *worker) merged(base *corev1.Pod) corev1.PodStatus {
	s := w.status
	s.ResourceClaimStatuses = base.Status.ResourceClaimStatuses
	s.ExtendedResourceClaimStatus = base.Status.ExtendedResourceClaimStatus
	s.NodeAllocatableResourceClaimStatuses = base.Status.NodeAllocatableResourceClaimStatuses
	s.NominatedNodeName = base.Status.NominatedNodeName
	s.Resize = base.Status.Resize
	return s
}

// needsWrite tells whether the API does not have the status yet.
func (w *worker) needsWrite() bool {
	base := w.object()
	if base == nil || w.removed || !w.hasStatus {
		return false
	}
	s := w.merged(base)
	return !equality.Semantic.DeepEqual(&s, &base.Status)
}

// write brings the API's status up to date, one write at a time.
func (w *worker) write() {
	if w.writing || !w.needsWrite() {
		return
	}
	if time.Until(w.writeAfter) > 0 {
		w.wake(w.writeAfter)
		return
	}
	base := w.object()
	status := w.merged(base)
	m := w.m
	w.writing = m.spawn(func() {
		updated, err := m.patchStatus(m.ctx, base, status)
		w.post(func(w *worker) { w.endWrite(updated, err) })
	})
}

func (w *worker) endWrite(updated *corev1.Pod, err error) {
	w.writing = false
	switch {
	case err == nil:
		w.writeDelay, w.writeAfter = 0, time.Time{}
		if isStatic(w.pod) {
			w.mirror = updated
		} else if updated.UID == w.uid && !older(updated, w.pod) {
			w.pod = updated
		}
	case apierrors.IsNotFound(err), apierrors.IsConflict(err):
		// The object is another one, or gone; the informer will tell.
		w.writeAfter = time.Now().Add(time.Second)
	case w.m.ctx.Err() == nil:
		w.writeDelay = min(max(2*w.writeDelay, 200*time.Millisecond), maxWriteDelay)
		w.writeAfter = time.Now().Add(w.writeDelay)
		if w.writeDelay >= 10*time.Second && w.m.unwritten.Due(time.Minute) {
			w.log().Warn("cannot write the pod's status", "err", err)
		}
	}
}

// ServerBack tells that the API server answers again after it did not: what waits to
// be told it is told now.
func (m *Manager) ServerBack() {
	m.each(func(w *worker) {
		w.post(func(w *worker) {
			w.writeDelay, w.writeAfter = 0, time.Time{}
			for _, op := range []string{opSetup, opOwner, opDelete} {
				if !w.finished && !w.retryAt[op].After(time.Now().Add(maxWriteDelay)) {
					delete(w.retryAt, op)
				}
			}
		})
	})
}

// patchStatus writes the difference between the object's status and the new one,
// provided that it is still the same object.
func (m *Manager) patchStatus(ctx context.Context, base *corev1.Pod, status corev1.PodStatus) (*corev1.Pod, error) {
	patch, err := statusPatch(base, status)
	if err != nil {
		return nil, fmt.Errorf("make a patch of the status: %w", err)
	}
	return m.cfg.Client.CoreV1().Pods(base.Namespace).Patch(ctx, base.Name, types.StrategicMergePatchType, patch, metav1.PatchOptions{}, "status")
}

func statusPatch(base *corev1.Pod, status corev1.PodStatus) ([]byte, error) {
	before, err := json.Marshal(corev1.Pod{Status: base.Status})
	if err != nil {
		return nil, err
	}
	after, err := json.Marshal(corev1.Pod{ObjectMeta: metav1.ObjectMeta{UID: base.UID}, Status: status})
	if err != nil {
		return nil, err
	}
	return strategicpatch.CreateTwoWayMergePatch(before, after, corev1.Pod{})
}
