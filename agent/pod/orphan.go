package pod

import (
	"context"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/types"

	"skiff/agent/container"
)

const (
	opOwner = "owner"
	// retryOwner is how long an API that has not told whose a pod is is left alone.
	retryOwner = 5 * time.Second
)

// syncOrphan removes what runs without an object, once it is certain that there
// is none: the object may have come while the runtime was looked at, and a node that
// began with what its disk knows may lack some. So the API has the last word.
func (w *worker) syncOrphan() {
	w.m.mu.Lock()
	complete := w.m.complete
	w.m.mu.Unlock()
	if complete && w.pending() {
		return
	}
	if len(w.view.sandboxes)+len(w.view.containers) == 0 && complete {
		w.finished = true
		return
	}
	if !complete {
		return
	}
	if !w.disowned && !w.view.fromFile() {
		w.askOwner()
		return
	}
	w.pod = podFromView(w.uid, w.view)
	w.removed = true
	w.log().Info("removing a pod that is gone from the API")
	w.end = &ending{}
	w.syncEnd()
}

// askOwner asks the API whether it has the pod.
func (w *worker) askOwner() {
	if w.op != nil || !w.ready(opOwner) {
		return
	}
	m, pod := w.m, podFromView(w.uid, w.view)
	w.begin(opOwner, "", func(ctx context.Context) func(*worker) {
		has, err := m.inAPI(ctx, pod)
		return func(w *worker) {
			w.disowned = err == nil && !has
			if !w.disowned {
				w.retry(opOwner, retryOwner)
			}
		}
	})
}

// inAPI asks by a list, since a node may list its pods but not get one that is gone.
func (m *Manager) inAPI(ctx context.Context, pod *corev1.Pod) (bool, error) {
	selector := fields.Set{"spec.nodeName": m.cfg.Node.Name}
	if pod.Name != "" {
		selector[metav1.ObjectNameField] = pod.Name
	}
	list, err := m.cfg.Client.CoreV1().Pods(pod.Namespace).List(ctx, metav1.ListOptions{FieldSelector: selector.AsSelector().String()})
	if err != nil {
		return false, err
	}
	for i := range list.Items {
		if list.Items[i].UID == pod.UID {
			return true, nil
		}
	}
	return false, nil
}

// fromFile tells whether it is a static pod, of which the API knows nothing.
func (v view) fromFile() bool {
	for _, s := range v.sandboxes {
		if source := s.Annotations[AnnotationSource]; source != "" && source != "api" {
			return true
		}
	}
	return false
}

// podFromView rebuilds from labels and annotations what is needed to stop an
// orphan in good order.
func podFromView(uid types.UID, v view) *corev1.Pod {
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{UID: uid}}
	labels := map[string]string{}
	for _, s := range v.sandboxes {
		labels = s.Labels
	}
	for i := range v.containers {
		c := &v.containers[i]
		labels = c.Labels
		pod.Spec.Containers = append(pod.Spec.Containers, containerFromAnnotations(c))
		if pod.Spec.TerminationGracePeriodSeconds == nil {
			pod.Spec.TerminationGracePeriodSeconds = parseSeconds(c.Annotations[container.AnnotationGracePeriod])
		}
		if pod.DeletionGracePeriodSeconds == nil {
			pod.DeletionGracePeriodSeconds = parseSeconds(c.Annotations[container.AnnotationDeletionGracePeriod])
		}
	}
	pod.Name, pod.Namespace = labels[container.LabelPodName], labels[container.LabelPodNamespace]
	return pod
}
