// Package podgc removes pods that nobody else will: those bound to a node that is
// gone, deleted ones that were never bound, those that end on a node taken out of
// service, and the oldest ended ones above a limit.
package podgc

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	corelisters "k8s.io/client-go/listers/core/v1"
	"k8s.io/client-go/tools/cache"
	"k8s.io/utils/clock"

	"skiff/server/controller"
	"skiff/server/controller/pods"
)

// Keys: a node's name with nodeKey before it, a pod's key, or the count.
const (
	nodeKey  = "node!"
	countKey = "terminated"
	// quarantine is how long a node must be missing before its pods are removed:
	// it may be registered again, or the cache of nodes be behind that of pods.
	quarantine = 40 * time.Second
)

// New returns the controller; threshold bounds the ended pods that are kept, 0 for
// no limit.
func New(client kubernetes.Interface, f informers.SharedInformerFactory, clk clock.PassiveClock, threshold int) (controller.Controller, error) {
	pod, node := f.Core().V1().Pods(), f.Core().V1().Nodes()
	if err := pods.Index(pod.Informer()); err != nil {
		return controller.Controller{}, err
	}
	r := &reconciler{client: client, clock: clk, threshold: threshold, pods: pod.Informer().GetIndexer(), nodes: node.Lister(), missing: map[string]time.Time{}}
	return controller.Controller{
		Name: "pod-gc", Reconciler: r,
		Sources: []controller.Source{
			controller.Watch(node.Informer(), func(old, new *corev1.Node, enqueue func(string)) {
				switch {
				case new == nil:
					enqueue(nodeKey + old.Name)
				case old == nil, outOfService(new) && !outOfService(old):
					// A new one also ends a quarantine: its pods may have been seen
					// before it.
					enqueue(nodeKey + new.Name)
				}
			}),
			controller.Watch(pod.Informer(), r.onPod),
		},
	}, nil
}

type reconciler struct {
	client    kubernetes.Interface
	clock     clock.PassiveClock
	threshold int
	pods      cache.Indexer
	nodes     corelisters.NodeLister
	missing   map[string]time.Time
}

func (r *reconciler) onPod(old, new *corev1.Pod, enqueue func(string)) {
	if new == nil {
		return
	}
	if new.DeletionTimestamp != nil && new.Spec.NodeName == "" {
		enqueue(controller.Key(new))
	}
	if pods.IsTerminal(new) && (old == nil || !pods.IsTerminal(old)) && r.threshold > 0 {
		enqueue(countKey)
	}
	if new.Spec.NodeName == "" || old != nil && old.Spec.NodeName != "" && (old.DeletionTimestamp != nil) == (new.DeletionTimestamp != nil) {
		return
	}
	if n, err := r.nodes.Get(new.Spec.NodeName); apierrors.IsNotFound(err) || err == nil && outOfService(n) {
		enqueue(nodeKey + new.Spec.NodeName)
	}
}

func outOfService(n *corev1.Node) bool {
	for _, c := range n.Status.Conditions {
		if c.Type == corev1.NodeReady && c.Status == corev1.ConditionTrue {
			return false
		}
	}
	return slices.ContainsFunc(n.Spec.Taints, func(t corev1.Taint) bool { return t.Key == corev1.TaintNodeOutOfService })
}

// Reconcile implements controller.Reconciler.
func (r *reconciler) Reconcile(ctx context.Context, key string) (controller.Result, error) {
	switch {
	case key == countKey:
		return controller.Result{}, r.trim(ctx)
	case len(key) > len(nodeKey) && key[:len(nodeKey)] == nodeKey:
		return r.node(ctx, key[len(nodeKey):])
	}
	obj, ok, err := r.pods.GetByKey(key)
	if err != nil || !ok {
		return controller.Result{}, err
	}
	if p := obj.(*corev1.Pod); p.DeletionTimestamp != nil && p.Spec.NodeName == "" {
		return controller.Result{}, r.remove(ctx, p, nil)
	}
	return controller.Result{}, nil
}

func (r *reconciler) node(ctx context.Context, name string) (controller.Result, error) {
	on, err := pods.OnNode(r.pods, name)
	if err != nil {
		return controller.Result{}, err
	}
	n, err := r.nodes.Get(name)
	if err == nil {
		delete(r.missing, name)
		if !outOfService(n) {
			return controller.Result{}, nil
		}
		return controller.Result{}, pods.Each(pods.Filter(on, pods.IsTerminating), func(p *corev1.Pod) error { return r.remove(ctx, p, nil) })
	}
	if !apierrors.IsNotFound(err) {
		return controller.Result{}, err
	}
	if len(on) == 0 {
		delete(r.missing, name)
		return controller.Result{}, nil
	}
	since, ok := r.missing[name]
	if !ok {
		since = r.clock.Now()
		r.missing[name] = since
	}
	if left := since.Add(quarantine).Sub(r.clock.Now()); left > 0 {
		return controller.Result{RequeueAfter: left}, nil
	}
	if _, err := r.client.CoreV1().Nodes().Get(ctx, name, metav1.GetOptions{}); !apierrors.IsNotFound(err) {
		return controller.Result{RequeueAfter: quarantine}, err // it is there: the cache is behind
	}
	err = pods.Each(on, func(p *corev1.Pod) error {
		return r.remove(ctx, p, &corev1.PodCondition{
			Type: corev1.DisruptionTarget, Status: corev1.ConditionTrue,
			Reason: "DeletionByPodGC", Message: "PodGC: node no longer exists", LastTransitionTime: metav1.NewTime(r.clock.Now()),
		})
	})
	return controller.Result{}, err
}

// trim removes the oldest ended pods above the threshold, evicted ones first.
func (r *reconciler) trim(ctx context.Context) error {
	var ended []*corev1.Pod
	err := cache.ListAll(r.pods, labels.Everything(), func(obj any) {
		if p := obj.(*corev1.Pod); pods.IsTerminal(p) && p.DeletionTimestamp == nil {
			ended = append(ended, p)
		}
	})
	if err != nil || len(ended) <= r.threshold {
		return err
	}
	slices.SortFunc(ended, func(a, b *corev1.Pod) int {
		ea, eb := a.Status.Reason == "Evicted", b.Status.Reason == "Evicted"
		if ea != eb {
			if ea {
				return -1
			}
			return 1
		}
		return cmp.Or(a.CreationTimestamp.Time.Compare(b.CreationTimestamp.Time), cmp.Compare(a.Name, b.Name))
	})
	return pods.Each(ended[:len(ended)-r.threshold], func(p *corev1.Pod) error { return r.remove(ctx, p, nil) })
}

// remove marks a pod as failed if it did not end, and deletes it without grace.
func (r *reconciler) remove(ctx context.Context, p *corev1.Pod, c *corev1.PodCondition) error {
	if !pods.IsTerminal(p) {
		status := map[string]any{"phase": corev1.PodFailed}
		if c != nil {
			status["conditions"] = []corev1.PodCondition{*c}
		}
		patch, err := json.Marshal(map[string]any{"metadata": map[string]any{"uid": p.UID}, "status": status})
		if err != nil {
			return err
		}
		_, err = r.client.CoreV1().Pods(p.Namespace).Patch(ctx, p.Name, types.StrategicMergePatchType, patch, metav1.PatchOptions{}, "status")
		if err != nil && !apierrors.IsNotFound(err) {
			return fmt.Errorf("mark pod %s/%s as failed: %w", p.Namespace, p.Name, err)
		}
	}
	opts := metav1.NewDeleteOptions(0)
	opts.Preconditions = &metav1.Preconditions{UID: &p.UID}
	err := r.client.CoreV1().Pods(p.Namespace).Delete(ctx, p.Name, *opts)
	if apierrors.IsNotFound(err) || apierrors.IsConflict(err) {
		return nil
	}
	return err
}
