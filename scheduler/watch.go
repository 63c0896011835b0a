package scheduler

import (
	"context"
	"errors"
	"fmt"
	"maps"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/client-go/tools/cache"

	"skiff/scheduler/framework"
)

// watch feeds the cache and the queue from the informers, waits until they have
// all that exists, and returns what ends it.
func (s *Scheduler) watch(ctx context.Context) (stop func(), err error) {
	nodes := s.informers.Core().V1().Nodes().Informer()
	pods := s.informers.Core().V1().Pods().Informer()
	nodeHandler, err := nodes.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    func(o any) { s.nodeAdded(o.(*corev1.Node)) },
		UpdateFunc: func(old, o any) { s.nodeChanged(old.(*corev1.Node), o.(*corev1.Node)) },
		DeleteFunc: func(o any) { s.nodeGone(deleted[*corev1.Node](o)) },
	})
	if err != nil {
		return nil, fmt.Errorf("watch nodes: %w", err)
	}
	podHandler, err := pods.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    func(o any) { s.podSet(nil, o.(*corev1.Pod)) },
		UpdateFunc: func(old, o any) { s.podSet(old.(*corev1.Pod), o.(*corev1.Pod)) },
		DeleteFunc: func(o any) { s.podGone(deleted[*corev1.Pod](o)) },
	})
	if err != nil {
		return nil, errors.Join(fmt.Errorf("watch pods: %w", err), nodes.RemoveEventHandler(nodeHandler))
	}
	stop = func() {
		_ = nodes.RemoveEventHandler(nodeHandler)
		_ = pods.RemoveEventHandler(podHandler)
	}
	if !cache.WaitForCacheSync(ctx.Done(), nodeHandler.HasSynced, podHandler.HasSynced, s.framework.HasSynced) {
		stop()
		return nil, ctx.Err()
	}
	return stop, nil
}

// deleted unwraps what an informer says of an object whose deletion it missed.
func deleted[T any](o any) T {
	if unknown, ok := o.(cache.DeletedFinalStateUnknown); ok {
		o = unknown.Obj
	}
	return o.(T)
}

func (s *Scheduler) nodeAdded(node *corev1.Node) {
	s.cache.SetNode(node)
	s.queue.Happened(framework.Event{Action: framework.NodeAdded, New: node})
}

func (s *Scheduler) nodeChanged(old, node *corev1.Node) {
	s.cache.SetNode(node)
	if action := nodeAction(old, node); action != 0 {
		s.queue.Happened(framework.Event{Action: action, Old: old, New: node})
	}
}

func (s *Scheduler) nodeGone(node *corev1.Node) {
	s.cache.RemoveNode(node.Name)
	s.queue.Happened(framework.Event{Action: framework.NodeDeleted, Old: node})
}

func nodeAction(old, node *corev1.Node) (action framework.Action) {
	if !equality.Semantic.DeepEqual(old.Status.Allocatable, node.Status.Allocatable) {
		action |= framework.NodeAllocatableChanged
	}
	if !equality.Semantic.DeepEqual(old.Labels, node.Labels) {
		action |= framework.NodeLabelsChanged
	}
	if !equality.Semantic.DeepEqual(old.Spec.Taints, node.Spec.Taints) {
		action |= framework.NodeTaintsChanged
	}
	if old.Spec.Unschedulable && !node.Spec.Unschedulable {
		action |= framework.NodeUnschedulableChanged
	}
	return action
}

// podSet takes over a pod as it is now; old is nil for one that was not known.
func (s *Scheduler) podSet(old, pod *corev1.Pod) {
	if old != nil && old.UID != pod.UID {
		s.podGone(old)
	}
	switch {
	case ended(pod):
		s.podGone(pod)
	case pod.Spec.NodeName != "":
		s.queue.Delete(pod.UID)
		s.podOnNode(old, pod)
	case pod.DeletionTimestamp != nil:
		s.queue.Delete(pod.UID) // only a finalizer still holds it
	case pod.Spec.SchedulerName == Name && !s.cache.Has(pod.UID):
		s.queue.Set(pod)
	}
}

// podOnNode takes over a pod that has a node, and tells the queue what that may
// change for others.
func (s *Scheduler) podOnNode(old, pod *corev1.Pod) {
	if old == nil || old.Spec.NodeName == "" {
		s.cache.SetPod(pod)
		s.queue.Happened(framework.Event{Action: framework.PodAssigned, New: pod})
		return
	}
	action := podAction(old, pod)
	if action == 0 && (old.DeletionTimestamp == nil) == (pod.DeletionTimestamp == nil) {
		return
	}
	s.cache.SetPod(pod)
	if action != 0 {
		s.queue.Happened(framework.Event{Action: action, Old: old, New: pod})
	}
}

func podAction(old, pod *corev1.Pod) (action framework.Action) {
	if requestsChanged(old, pod) {
		action |= framework.PodScaledDown
	}
	if !maps.Equal(old.Labels, pod.Labels) {
		action |= framework.PodLabelsChanged
	}
	return action
}

func requestsChanged(old, pod *corev1.Pod) bool {
	return old.Generation != pod.Generation || !equality.Semantic.DeepEqual(old.Status.ContainerStatuses, pod.Status.ContainerStatuses) &&
		!equality.Semantic.DeepEqual(framework.NewPodInfo(old).Requests, framework.NewPodInfo(pod).Requests)
}

func (s *Scheduler) podGone(pod *corev1.Pod) {
	s.queue.Delete(pod.UID)
	if !s.cache.Has(pod.UID) {
		return
	}
	s.cache.RemovePod(pod)
	s.queue.Happened(framework.Event{Action: framework.PodDeleted, Old: pod})
}

func ended(pod *corev1.Pod) bool {
	return pod.Status.Phase == corev1.PodSucceeded || pod.Status.Phase == corev1.PodFailed
}
