package pods

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/cache"
)

// Names of the indices that Index adds.
const (
	byController = "skiff.controller"
	byNode       = "skiff.node"
)

// Index makes pods be found by their controller's UID and by their node. It must
// be called before the informer starts, and may be called again.
func Index(informer cache.SharedIndexInformer) error {
	have := informer.GetIndexer().GetIndexers()
	add := cache.Indexers{}
	for name, f := range map[string]cache.IndexFunc{byController: controllerKey, byNode: nodeKey} {
		if have[name] == nil {
			add[name] = f
		}
	}
	if len(add) == 0 {
		return nil
	}
	if err := informer.AddIndexers(add); err != nil {
		return fmt.Errorf("index pods: %w", err)
	}
	return nil
}

func controllerKey(obj any) ([]string, error) {
	pod, ok := obj.(*corev1.Pod)
	if !ok {
		return nil, nil
	}
	if ref := metav1.GetControllerOfNoCopy(pod); ref != nil {
		return []string{string(ref.UID)}, nil
	}
	return []string{orphans(pod.Namespace)}, nil
}

func nodeKey(obj any) ([]string, error) {
	pod, ok := obj.(*corev1.Pod)
	if !ok || pod.Spec.NodeName == "" {
		return nil, nil
	}
	return []string{pod.Spec.NodeName}, nil
}

func orphans(namespace string) string { return "orphans/" + namespace }

// Controlled returns the pods whose controller has this UID.
func Controlled(ix cache.Indexer, uid types.UID) ([]*corev1.Pod, error) {
	return by(ix, byController, string(uid))
}

// ControlledOrOrphaned returns the pods whose controller has this UID, and those
// of the namespace that have no controller.
func ControlledOrOrphaned(ix cache.Indexer, uid types.UID, namespace string) ([]*corev1.Pod, error) {
	own, err := Controlled(ix, uid)
	if err != nil {
		return nil, err
	}
	free, err := by(ix, byController, orphans(namespace))
	return append(own, free...), err
}

// OnNode returns the pods that are bound to a node.
func OnNode(ix cache.Indexer, node string) ([]*corev1.Pod, error) { return by(ix, byNode, node) }

func by(ix cache.Indexer, index, key string) ([]*corev1.Pod, error) {
	objs, err := ix.ByIndex(index, key)
	if err != nil {
		return nil, fmt.Errorf("list pods by %s: %w", index, err)
	}
	out := make([]*corev1.Pod, 0, len(objs))
	for _, o := range objs {
		out = append(out, o.(*corev1.Pod))
	}
	return out, nil
}
