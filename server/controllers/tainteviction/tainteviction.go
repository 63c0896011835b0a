// Package tainteviction deletes pods from nodes with NoExecute taints that they
// don't tolerate, at once or when the time for which they tolerate them is over.
package tainteviction

import (
	"context"
	"encoding/json"
	"time"

	corev1 "k8s.io/api/core/v1"
	apiequality "k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	corelisters "k8s.io/client-go/listers/core/v1"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/record"
	"k8s.io/klog/v2"
	"k8s.io/utils/clock"

	"skiff/server/controller"
	"skiff/server/controller/pods"
)

// New returns the controller; its keys are pods'.
func New(client kubernetes.Interface, f informers.SharedInformerFactory, events record.EventRecorder, clk clock.PassiveClock) (controller.Controller, error) {
	pod, node := f.Core().V1().Pods(), f.Core().V1().Nodes()
	if err := pods.Index(pod.Informer()); err != nil {
		return controller.Controller{}, err
	}
	r := &reconciler{client: client, events: events, clock: clk, pods: pod.Informer().GetIndexer(), nodes: node.Lister()}
	return controller.Controller{
		Name: "taint-eviction", Reconciler: r, Workers: 8,
		Sources: []controller.Source{
			controller.Watch(node.Informer(), r.onNode),
			controller.Watch(pod.Informer(), r.onPod),
		},
	}, nil
}

type reconciler struct {
	client kubernetes.Interface
	events record.EventRecorder
	clock  clock.PassiveClock
	pods   cache.Indexer
	nodes  corelisters.NodeLister
}

func evicting(n *corev1.Node) []corev1.Taint {
	var out []corev1.Taint
	for _, t := range n.Spec.Taints {
		if t.Effect == corev1.TaintEffectNoExecute {
			out = append(out, t)
		}
	}
	return out
}

func (r *reconciler) onNode(old, new *corev1.Node, enqueue func(string)) {
	if new == nil {
		return
	}
	was := []corev1.Taint(nil)
	if old != nil {
		was = evicting(old)
	}
	if apiequality.Semantic.DeepEqual(was, evicting(new)) {
		return
	}
	on, err := pods.OnNode(r.pods, new.Name)
	if err != nil {
		return
	}
	for _, p := range on {
		enqueue(controller.Key(p))
	}
}

func (r *reconciler) onPod(old, new *corev1.Pod, enqueue func(string)) {
	if new == nil || new.Spec.NodeName == "" || old != nil && old.Spec.NodeName != "" && len(old.Spec.Tolerations) == len(new.Spec.Tolerations) {
		return
	}
	if n, err := r.nodes.Get(new.Spec.NodeName); err == nil && len(evicting(n)) > 0 {
		enqueue(controller.Key(new))
	}
}

// Reconcile implements controller.Reconciler.
func (r *reconciler) Reconcile(ctx context.Context, key string) (controller.Result, error) {
	obj, ok, err := r.pods.GetByKey(key)
	if err != nil || !ok {
		return controller.Result{}, err
	}
	p := obj.(*corev1.Pod)
	if p.DeletionTimestamp != nil || p.Spec.NodeName == "" {
		return controller.Result{}, nil
	}
	node, err := r.nodes.Get(p.Spec.NodeName)
	if apierrors.IsNotFound(err) {
		return controller.Result{}, nil
	}
	if err != nil {
		return controller.Result{}, err
	}
	at, evict := r.due(p, evicting(node))
	if !evict {
		return controller.Result{}, nil
	}
	if left := at.Sub(r.clock.Now()); left > 0 {
		return controller.Result{RequeueAfter: left}, nil
	}
	return controller.Result{}, r.evict(ctx, p)
}

// due returns when the pod has to go; false if it tolerates the taints for good.
// Each taint's time runs from when it was added.
func (r *reconciler) due(p *corev1.Pod, taints []corev1.Taint) (time.Time, bool) {
	var first time.Time
	found := false
	for i := range taints {
		t := &taints[i]
		since := r.clock.Now()
		if t.TimeAdded != nil {
			since = t.TimeAdded.Time
		}
		at, forever, tolerated := since, false, false
		var shortest *int64
		for j := range p.Spec.Tolerations {
			tol := &p.Spec.Tolerations[j]
			if !tol.ToleratesTaint(klog.Background(), t, true) {
				continue
			}
			tolerated = true
			if tol.TolerationSeconds == nil {
				continue
			}
			if shortest == nil || *tol.TolerationSeconds < *shortest {
				shortest = tol.TolerationSeconds
			}
		}
		switch {
		case !tolerated:
			return time.Time{}, true
		case shortest == nil:
			forever = true
		default:
			at = since.Add(time.Duration(max(*shortest, 0)) * time.Second)
		}
		if !forever && (!found || at.Before(first)) {
			first, found = at, true
		}
	}
	return first, found
}

func (r *reconciler) evict(ctx context.Context, p *corev1.Pod) error {
	now := metav1.NewTime(r.clock.Now())
	patch, err := json.Marshal(map[string]any{
		"metadata": map[string]any{"uid": p.UID},
		"status": map[string]any{"conditions": []corev1.PodCondition{{
			Type: corev1.DisruptionTarget, Status: corev1.ConditionTrue, Reason: "DeletionByTaintManager",
			Message: "Taint manager: deleting due to NoExecute taint", LastTransitionTime: now,
		}}},
	})
	if err != nil {
		return err
	}
	r.events.Eventf(p, corev1.EventTypeNormal, "TaintManagerEviction", "Marking for deletion Pod %s/%s", p.Namespace, p.Name)
	c := r.client.CoreV1().Pods(p.Namespace)
	if _, err := c.Patch(ctx, p.Name, types.StrategicMergePatchType, patch, metav1.PatchOptions{}, "status"); err != nil && !apierrors.IsNotFound(err) {
		return err
	}
	err = c.Delete(ctx, p.Name, *metav1.NewPreconditionDeleteOptions(string(p.UID)))
	if apierrors.IsNotFound(err) || apierrors.IsConflict(err) {
		return nil
	}
	return err
}
