// Package statefulset runs pods with stable names, storage and order.
//
// One reconcile reads the state into a plan (which pods there are by ordinal,
// which are surplus), does what the pod management policy lets it do now, and
// writes the status if it differs. Pods' names are fixed, so a stale cache can
// never make a pod twice.
package statefulset

import (
	"context"
	"fmt"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apiequality "k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
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

var (
	gvk    = appsv1.SchemeGroupVersion.WithKind("StatefulSet")
	podGVK = corev1.SchemeGroupVersion.WithKind("Pod")
)

// New returns the controller of stateful sets.
func New(client kubernetes.Interface, f informers.SharedInformerFactory, events record.EventRecorder, clk clock.PassiveClock) (controller.Controller, error) {
	sets, podInformer := f.Apps().V1().StatefulSets(), f.Core().V1().Pods().Informer()
	claims, revisions := f.Core().V1().PersistentVolumeClaims(), f.Apps().V1().ControllerRevisions()
	if err := pods.Index(podInformer); err != nil {
		return controller.Controller{}, err
	}
	r := &reconciler{
		client: client, events: events, clock: clk, sets: sets.Lister(), pods: podInformer.GetIndexer(), claims: claims.Lister(),
		history: history.Client{API: client, Lister: revisions.Lister()},
		pending: pending.New(podInformer.GetIndexer()), pendingClaims: pending.New(claims.Informer().GetIndexer()),
	}
	orphan := func(p *corev1.Pod, enqueue func(string)) {
		refs.Matching(sets.Informer().GetIndexer(), p, func(s *appsv1.StatefulSet) *metav1.LabelSelector { return s.Spec.Selector }, enqueue)
	}
	return controller.Controller{
		Name: "statefulset", Reconciler: r, Workers: 5,
		Sources: []controller.Source{controller.For(sets.Informer()), refs.Wake(podInformer, gvk, orphan)},
		Reads:   []cache.SharedIndexInformer{claims.Informer(), revisions.Informer()},
	}, nil
}

type reconciler struct {
	client                 kubernetes.Interface
	events                 record.EventRecorder
	clock                  clock.PassiveClock
	sets                   appslisters.StatefulSetLister
	pods                   cache.Indexer
	claims                 corelisters.PersistentVolumeClaimLister
	history                history.Client
	pending, pendingClaims *pending.Tracker
}

// Reconcile implements controller.Reconciler.
func (r *reconciler) Reconcile(ctx context.Context, key string) (controller.Result, error) {
	ns, name, err := cache.SplitMetaNamespaceKey(key)
	if err != nil {
		return controller.Result{}, err
	}
	set, err := r.sets.StatefulSets(ns).Get(name)
	if apierrors.IsNotFound(err) {
		r.pending.Forget(key)
		r.pendingClaims.Forget(key)
		return controller.Result{}, nil
	}
	if err != nil {
		return controller.Result{}, err
	}
	if !r.pending.Synced(key) || !r.pendingClaims.Synced(key) {
		return controller.Result{RequeueAfter: pending.Recheck}, nil
	}
	own, err := r.own(ctx, set)
	if err != nil {
		return controller.Result{}, err
	}
	// A pod whose deletion the cache has not seen must not be counted on.
	if _, going := pending.Split(r.pending, key, own); len(going) > 0 {
		return controller.Result{RequeueAfter: pending.Recheck}, nil
	}
	return r.sync(ctx, key, set, own)
}

func (r *reconciler) owner(set *appsv1.StatefulSet) history.Owner {
	return history.Owner{
		Object: set, Kind: gvk, Selector: set.Spec.Selector, HashLabel: "controller.kubernetes.io/hash",
		Live: func(ctx context.Context) (metav1.Object, error) {
			return r.client.AppsV1().StatefulSets(set.Namespace).Get(ctx, set.Name, metav1.GetOptions{})
		},
	}
}

// own returns the set's pods after adoption; only pods with a name of the set's
// are adopted.
func (r *reconciler) own(ctx context.Context, set *appsv1.StatefulSet) ([]*corev1.Pod, error) {
	selector, err := metav1.LabelSelectorAsSelector(set.Spec.Selector)
	if err != nil {
		return nil, fmt.Errorf("selector of stateful set %s/%s: %w", set.Namespace, set.Name, err)
	}
	all, err := pods.ControlledOrOrphaned(r.pods, set.UID, set.Namespace)
	if err != nil {
		return nil, err
	}
	control := pods.Control{Client: r.client}
	claimer := &refs.Claimer{
		Owner: set, Kind: gvk, Selector: selector, Live: r.owner(set).Live,
		Patch: func(ctx context.Context, name string, patch []byte) error {
			return control.Patch(ctx, set.Namespace, name, patch)
		},
	}
	return refs.Claim(ctx, claimer, all, func(p *corev1.Pod) bool {
		parent, _ := split(p.Name)
		return parent == set.Name
	})
}

func (r *reconciler) sync(ctx context.Context, key string, set *appsv1.StatefulSet, own []*corev1.Pod) (controller.Result, error) {
	owner := r.owner(set)
	revs, err := r.history.List(ctx, owner)
	if err != nil {
		return controller.Result{}, err
	}
	var collisions int32
	if set.Status.CollisionCount != nil {
		collisions = *set.Status.CollisionCount
	}
	update, err := r.history.Ensure(ctx, owner, &set.Spec.Template, revs, &collisions)
	if err != nil {
		return controller.Result{}, err
	}
	current := update
	for _, rev := range revs {
		if rev.Name == set.Status.CurrentRevision {
			current = rev
		}
	}
	p := &plan{reconciler: r, key: key, set: set, now: r.clock.Now(), current: current, update: update, collisions: collisions}
	if err := p.arrange(own); err != nil {
		return controller.Result{}, err
	}
	if set.DeletionTimestamp == nil {
		err = p.act(ctx)
	}
	status := p.status()
	if werr := r.writeStatus(ctx, set, status); err == nil {
		err = werr
	}
	if err != nil {
		return controller.Result{}, err
	}
	live := map[string]bool{current.Name: true, update.Name: true}
	for _, pod := range own {
		live[pod.Labels[appsv1.StatefulSetRevisionLabel]] = true
	}
	var again time.Duration
	if status.ReadyReplicas != status.AvailableReplicas {
		again = pods.UntilAvailable(own, set.Spec.MinReadySeconds, p.now)
	}
	return controller.Result{RequeueAfter: again}, r.history.Truncate(ctx, revs, set.Spec.RevisionHistoryLimit, live)
}

func (r *reconciler) writeStatus(ctx context.Context, set *appsv1.StatefulSet, status appsv1.StatefulSetStatus) error {
	if apiequality.Semantic.DeepEqual(set.Status, status) {
		return nil
	}
	write := *set
	write.Status = status
	_, err := r.client.AppsV1().StatefulSets(set.Namespace).UpdateStatus(ctx, &write, metav1.UpdateOptions{})
	if apierrors.IsNotFound(err) {
		return nil
	}
	return err
}
