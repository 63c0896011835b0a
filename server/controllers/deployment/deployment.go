// Package deployment rolls deployments out: it keeps one replica set per pod
// template and moves replicas from the old ones to the new one within the bounds
// of maxSurge and maxUnavailable, or after all old pods are gone (Recreate).
//
// One reconcile reads the state into a rollout, changes what has to change, and
// writes the deployment's status once, at the end, if it differs.
package deployment

import (
	"context"
	"fmt"
	"slices"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apiequality "k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	appslisters "k8s.io/client-go/listers/apps/v1"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/record"
	"k8s.io/utils/clock"

	"skiff/server/controller"
	"skiff/server/controller/pods"
	"skiff/server/controller/refs"
)

var gvk = appsv1.SchemeGroupVersion.WithKind("Deployment")

// New returns the controller of deployments.
func New(client kubernetes.Interface, f informers.SharedInformerFactory, events record.EventRecorder, clk clock.PassiveClock) (controller.Controller, error) {
	deployments, sets, podInformer := f.Apps().V1().Deployments(), f.Apps().V1().ReplicaSets(), f.Core().V1().Pods().Informer()
	if err := pods.Index(podInformer); err != nil {
		return controller.Controller{}, err
	}
	r := &reconciler{
		client: client, events: events, clock: clk,
		deployments: deployments.Lister(), sets: sets.Lister(), pods: podInformer.GetIndexer(),
	}
	orphan := func(rs *appsv1.ReplicaSet, enqueue func(string)) {
		refs.Matching(deployments.Informer().GetIndexer(), rs, func(d *appsv1.Deployment) *metav1.LabelSelector { return d.Spec.Selector }, enqueue)
	}
	return controller.Controller{
		Name: "deployment", Reconciler: r, Workers: 5,
		Sources: []controller.Source{
			controller.For(deployments.Informer()),
			refs.Wake(sets.Informer(), gvk, orphan),
			controller.Watch(podInformer, r.podGone),
		},
	}, nil
}

type reconciler struct {
	client      kubernetes.Interface
	events      record.EventRecorder
	clock       clock.PassiveClock
	deployments appslisters.DeploymentLister
	sets        appslisters.ReplicaSetLister
	pods        cache.Indexer
}

// podGone wakes a deployment that recreates when one of its pods ended or is
// gone: only then may the new ones start.
func (r *reconciler) podGone(old, new *corev1.Pod, enqueue func(string)) {
	if new != nil && !pods.IsTerminal(new) {
		return
	}
	pod := new
	if pod == nil {
		pod = old
	}
	ref := metav1.GetControllerOfNoCopy(pod)
	if ref == nil || ref.Kind != "ReplicaSet" {
		return
	}
	rs, err := r.sets.ReplicaSets(pod.Namespace).Get(ref.Name)
	if err != nil {
		return
	}
	key, ok := refs.Controller(rs, gvk)
	if !ok {
		return
	}
	ns, name, _ := cache.SplitMetaNamespaceKey(key)
	if d, err := r.deployments.Deployments(ns).Get(name); err == nil && d.Spec.Strategy.Type == appsv1.RecreateDeploymentStrategyType {
		enqueue(key)
	}
}

// Reconcile implements controller.Reconciler.
func (r *reconciler) Reconcile(ctx context.Context, key string) (controller.Result, error) {
	ns, name, err := cache.SplitMetaNamespaceKey(key)
	if err != nil {
		return controller.Result{}, err
	}
	cached, err := r.deployments.Deployments(ns).Get(name)
	if apierrors.IsNotFound(err) {
		return controller.Result{}, nil
	}
	if err != nil {
		return controller.Result{}, err
	}
	ro := &rollout{reconciler: r, d: cached.DeepCopy(), now: metav1.NewTime(r.clock.Now())}
	if apiequality.Semantic.DeepEqual(ro.d.Spec.Selector, &metav1.LabelSelector{}) {
		r.events.Eventf(ro.d, corev1.EventTypeWarning, "SelectingAll", "This deployment is selecting all pods. A non-empty selector is required.")
		ro.d.Status.ObservedGeneration = ro.d.Generation
		return controller.Result{}, ro.write(ctx, cached)
	}
	if ro.all, err = r.ownSets(ctx, ro.d); err != nil {
		return controller.Result{}, err
	}
	ro.sort()
	again, err := ro.sync(ctx)
	if werr := ro.write(ctx, cached); err == nil {
		err = werr
	}
	return controller.Result{RequeueAfter: again}, err
}

// ownSets returns the deployment's replica sets after adoption.
func (r *reconciler) ownSets(ctx context.Context, d *appsv1.Deployment) ([]*appsv1.ReplicaSet, error) {
	selector, err := metav1.LabelSelectorAsSelector(d.Spec.Selector)
	if err != nil {
		return nil, fmt.Errorf("deployment %s/%s has invalid label selector: %w", d.Namespace, d.Name, err)
	}
	all, err := r.sets.ReplicaSets(d.Namespace).List(labels.Everything())
	if err != nil {
		return nil, err
	}
	claimer := &refs.Claimer{
		Owner: d, Kind: gvk, Selector: selector,
		Live: func(ctx context.Context) (metav1.Object, error) {
			return r.client.AppsV1().Deployments(d.Namespace).Get(ctx, d.Name, metav1.GetOptions{})
		},
		Patch: func(ctx context.Context, name string, patch []byte) error {
			_, err := r.client.AppsV1().ReplicaSets(d.Namespace).Patch(ctx, name, types.StrategicMergePatchType, patch, metav1.PatchOptions{})
			return err
		},
	}
	return refs.Claim(ctx, claimer, all, nil)
}

// rollout is one deployment with its replica sets during one reconcile.
type rollout struct {
	*reconciler
	d   *appsv1.Deployment
	now metav1.Time
	// all are the deployment's replica sets, oldest first.
	all []*appsv1.ReplicaSet
	// latest is the one with the deployment's template, nil if there is none;
	// old are the others.
	latest *appsv1.ReplicaSet
	old    []*appsv1.ReplicaSet
}

// sort finds the latest set: the oldest one whose template is the deployment's.
func (ro *rollout) sort() {
	slices.SortFunc(ro.all, older)
	ro.latest, ro.old = nil, nil
	for _, rs := range ro.all {
		if ro.latest == nil && sameTemplate(&rs.Spec.Template, &ro.d.Spec.Template) {
			ro.latest = rs
		} else {
			ro.old = append(ro.old, rs)
		}
	}
}

// sync does what is due and returns when to look again.
func (ro *rollout) sync(ctx context.Context) (time.Duration, error) {
	if ro.d.DeletionTimestamp != nil {
		if err := ro.syncRevision(ctx); err != nil {
			return 0, err
		}
		ro.setStatus()
		return 0, nil
	}
	ro.checkPaused()
	if err := ro.syncRevision(ctx); err != nil {
		return 0, err
	}
	switch {
	case ro.d.Spec.Paused:
		if err := ro.scale(ctx); err != nil {
			return 0, err
		}
		err := ro.cleanup(ctx)
		ro.setStatus()
		return 0, err
	case ro.resized():
		err := ro.scale(ctx)
		ro.setStatus()
		return 0, err
	case ro.d.Spec.Strategy.Type == appsv1.RecreateDeploymentStrategyType:
		return ro.recreate(ctx)
	case ro.d.Spec.Strategy.Type == appsv1.RollingUpdateDeploymentStrategyType:
		return ro.roll(ctx)
	}
	return 0, fmt.Errorf("unexpected deployment strategy type: %s", ro.d.Spec.Strategy.Type)
}

// write sends the status (and the revision annotation, which goes with it) if it
// changed.
func (ro *rollout) write(ctx context.Context, cached *appsv1.Deployment) error {
	if apiequality.Semantic.DeepEqual(cached.Status, ro.d.Status) && apiequality.Semantic.DeepEqual(cached.Annotations, ro.d.Annotations) {
		return nil
	}
	_, err := ro.client.AppsV1().Deployments(ro.d.Namespace).UpdateStatus(ctx, ro.d, metav1.UpdateOptions{})
	if apierrors.IsNotFound(err) {
		return nil
	}
	return err
}
