// Package services is what the controllers that publish endpoints share: it finds
// the services that a pod serves for, and keeps slices that come from no pods.
package services

import (
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/tools/cache"

	"skiff/server/controller"
	"skiff/server/controller/pods"
)

// Pods wakes the services whose endpoints a pod's change may alter.
func Pods(podInformer, serviceInformer cache.SharedIndexInformer) controller.Source {
	ix := serviceInformer.GetIndexer()
	return controller.Watch(podInformer, func(old, new *corev1.Pod, enqueue func(string)) {
		if old != nil && new != nil && !changed(old, new) {
			return
		}
		for _, p := range []*corev1.Pod{old, new} {
			if p != nil && (len(p.Status.PodIPs) > 0 || old != nil) {
				selecting(ix, p, enqueue)
			}
			if old != nil && new != nil && maps.Equal(old.Labels, new.Labels) {
				return // both select the same
			}
		}
	})
}

// changed tells whether something that shows in endpoints differs.
func changed(old, new *corev1.Pod) bool {
	return (old.DeletionTimestamp == nil) != (new.DeletionTimestamp == nil) ||
		pods.IsReady(old) != pods.IsReady(new) || pods.IsTerminal(old) != pods.IsTerminal(new) ||
		!slices.Equal(old.Status.PodIPs, new.Status.PodIPs) || !maps.Equal(old.Labels, new.Labels) ||
		old.Spec.Hostname != new.Spec.Hostname || old.Spec.Subdomain != new.Spec.Subdomain
}

func selecting(ix cache.Indexer, pod *corev1.Pod, enqueue func(string)) {
	objs, err := ix.ByIndex(cache.NamespaceIndex, pod.Namespace)
	if err != nil {
		return
	}
	for _, o := range objs {
		if s, ok := o.(*corev1.Service); ok && len(s.Spec.Selector) > 0 && selects(s.Spec.Selector, pod.Labels) {
			enqueue(controller.Key(s))
		}
	}
}

func selects(selector, labels map[string]string) bool {
	for k, v := range selector {
		if have, ok := labels[k]; !ok || have != v {
			return false
		}
	}
	return true
}
