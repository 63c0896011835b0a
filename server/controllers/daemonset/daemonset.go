// Package daemonset runs one pod of a daemon set on each node that it fits on.
//
// Pods are made for a node by name: a required node affinity on the node's name
// pins them, and the scheduler binds them.
package daemonset

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apiequality "k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	appslisters "k8s.io/client-go/listers/apps/v1"
	corelisters "k8s.io/client-go/listers/core/v1"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/record"
	"k8s.io/utils/clock"

	"skiff/server/controller"
	"skiff/server/controller/history"
	"skiff/server/controller/pending"
	"skiff/server/controller/pods"
	"skiff/server/controller/refs"
)

var gvk = appsv1.SchemeGroupVersion.WithKind("DaemonSet")

// New returns the controller of daemon sets.
func New(client kubernetes.Interface, f informers.SharedInformerFactory, events record.EventRecorder, clk clock.PassiveClock) (controller.Controller, error) {
	sets, podInformer, nodes, revisions := f.Apps().V1().DaemonSets(), f.Core().V1().Pods().Informer(), f.Core().V1().Nodes(), f.Apps().V1().ControllerRevisions()
	if err := pods.Index(podInformer); err != nil {
		return controller.Controller{}, err
	}
	tracker := pending.New(podInformer.GetIndexer())
	r := &reconciler{
		client: client, control: pods.Control{Client: client, Events: events, Pending: tracker}, clock: clk,
		sets: sets.Lister(), nodes: nodes.Lister(), pods: podInformer.GetIndexer(),
		history: history.Client{API: client, Lister: revisions.Lister()},
		pending: tracker, failed: map[string]backoff{},
	}
	orphan := func(p *corev1.Pod, enqueue func(string)) {
		refs.Matching(sets.Informer().GetIndexer(), p, func(s *appsv1.DaemonSet) *metav1.LabelSelector { return s.Spec.Selector }, enqueue)
	}
	return controller.Controller{
		Name: "daemonset", Reconciler: r, Workers: 2,
		Sources: []controller.Source{
			controller.For(sets.Informer()), refs.Wake(podInformer, gvk, orphan), controller.Watch(nodes.Informer(), r.onNode),
		},
		Reads: []cache.SharedIndexInformer{revisions.Informer()},
	}, nil
}

type reconciler struct {
	client  kubernetes.Interface
	control pods.Control
	clock   clock.PassiveClock
	sets    appslisters.DaemonSetLister
	nodes   corelisters.NodeLister
	pods    cache.Indexer
	history history.Client
	pending *pending.Tracker

	mu     sync.Mutex
	failed map[string]backoff // by set's UID and node
}

// onNode wakes all daemon sets when a node comes, goes, or changes in what
// decides about them.
func (r *reconciler) onNode(old, new *corev1.Node, enqueue func(string)) {
	if old != nil && new != nil && apiequality.Semantic.DeepEqual(old.Labels, new.Labels) &&
		apiequality.Semantic.DeepEqual(old.Spec.Taints, new.Spec.Taints) {
		return
	}
	all, err := r.sets.List(labels.Everything())
	if err != nil {
		return
	}
	for _, s := range all {
		if old != nil && new != nil && fit(s, old) == fit(s, new) {
			continue
		}
		enqueue(controller.Key(s))
	}
}

// Reconcile implements controller.Reconciler.
func (r *reconciler) Reconcile(ctx context.Context, key string) (controller.Result, error) {
	ns, name, err := cache.SplitMetaNamespaceKey(key)
	if err != nil {
		return controller.Result{}, err
	}
	set, err := r.sets.DaemonSets(ns).Get(name)
	if apierrors.IsNotFound(err) {
		r.pending.Forget(key)
		return controller.Result{}, nil
	}
	if err != nil {
		return controller.Result{}, err
	}
	if apiequality.Semantic.DeepEqual(set.Spec.Selector, &metav1.LabelSelector{}) {
		r.control.Events.Eventf(set, corev1.EventTypeWarning, "SelectingAll", "This daemon set is selecting all pods. A non-empty selector is required.")
		return controller.Result{}, nil
	}
	if !r.pending.Synced(key) {
		return controller.Result{RequeueAfter: pending.Recheck}, nil
	}
	own, err := r.own(ctx, set)
	if err != nil {
		return controller.Result{}, err
	}
	if _, going := pending.Split(r.pending, key, own); len(going) > 0 {
		return controller.Result{RequeueAfter: pending.Recheck}, nil
	}
	return r.sync(ctx, key, set, own)
}

func (r *reconciler) owner(set *appsv1.DaemonSet) history.Owner {
	return history.Owner{
		Object: set, Kind: gvk, Selector: set.Spec.Selector, HashLabel: appsv1.ControllerRevisionHashLabelKey,
		Live: func(ctx context.Context) (metav1.Object, error) {
			return r.client.AppsV1().DaemonSets(set.Namespace).Get(ctx, set.Name, metav1.GetOptions{})
		},
	}
}

func (r *reconciler) own(ctx context.Context, set *appsv1.DaemonSet) ([]*corev1.Pod, error) {
	selector, err := metav1.LabelSelectorAsSelector(set.Spec.Selector)
	if err != nil {
		return nil, fmt.Errorf("selector of daemon set %s/%s: %w", set.Namespace, set.Name, err)
	}
	all, err := pods.ControlledOrOrphaned(r.pods, set.UID, set.Namespace)
	if err != nil {
		return nil, err
	}
	claimer := &refs.Claimer{
		Owner: set, Kind: gvk, Selector: selector, Live: r.owner(set).Live,
		Patch: func(ctx context.Context, name string, patch []byte) error {
			return r.control.Patch(ctx, set.Namespace, name, patch)
		},
	}
	return refs.Claim(ctx, claimer, all, nil)
}

func (r *reconciler) sync(ctx context.Context, key string, set *appsv1.DaemonSet, own []*corev1.Pod) (controller.Result, error) {
	nodes, err := r.nodes.List(labels.Everything())
	if err != nil {
		return controller.Result{}, err
	}
	slices.SortFunc(nodes, func(a, b *corev1.Node) int { return strings.Compare(a.Name, b.Name) })
	owner := r.owner(set)
	revs, err := r.history.List(ctx, owner)
	if err != nil {
		return controller.Result{}, err
	}
	var collisions int32
	if set.Status.CollisionCount != nil {
		collisions = *set.Status.CollisionCount
	}
	rev, err := r.history.Ensure(ctx, owner, &set.Spec.Template, revs, &collisions)
	if err != nil {
		return controller.Result{}, err
	}
	d := &day{reconciler: r, key: key, set: set, nodes: nodes, hash: rev.Labels[appsv1.ControllerRevisionHashLabelKey], now: r.clock.Now(), byNode: byNode(own)}
	var again time.Duration
	var actErr error
	if set.DeletionTimestamp == nil {
		again, actErr = d.act(ctx)
	}
	status := d.status()
	if collisions != 0 || set.Status.CollisionCount != nil {
		status.CollisionCount = &collisions
	}
	if err := r.writeStatus(ctx, set, status); actErr == nil {
		actErr = err
	}
	if actErr != nil {
		return controller.Result{}, actErr
	}
	if status.NumberReady != status.NumberAvailable {
		if next := pods.UntilAvailable(own, set.Spec.MinReadySeconds, d.now); next > 0 && (again == 0 || next < again) {
			again = next
		}
	}
	live := map[string]bool{rev.Name: true}
	for _, old := range revs {
		for _, p := range own {
			if p.Labels[appsv1.ControllerRevisionHashLabelKey] == old.Labels[appsv1.ControllerRevisionHashLabelKey] {
				live[old.Name] = true
			}
		}
	}
	return controller.Result{RequeueAfter: again}, r.history.Truncate(ctx, revs, set.Spec.RevisionHistoryLimit, live)
}

func (r *reconciler) writeStatus(ctx context.Context, set *appsv1.DaemonSet, status appsv1.DaemonSetStatus) error {
	if apiequality.Semantic.DeepEqual(set.Status, status) {
		return nil
	}
	write := *set
	write.Status = status
	_, err := r.client.AppsV1().DaemonSets(set.Namespace).UpdateStatus(ctx, &write, metav1.UpdateOptions{})
	if apierrors.IsNotFound(err) {
		return nil
	}
	return err
}
