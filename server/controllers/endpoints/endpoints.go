// Package endpoints publishes the addresses of a service's pods in the legacy
// Endpoints API, for clients that have not moved to endpoint slices.
package endpoints

import (
	"context"
	"maps"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apiequality "k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	corelisters "k8s.io/client-go/listers/core/v1"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/record"
	libutil "k8s.io/endpointslice/util"

	"skiff/server/controller"
	"skiff/server/controller/pending"
	"skiff/server/controller/services"
)

const (
	labelManagedBy = "endpoints.kubernetes.io/managed-by"
	name           = "endpoint-controller"
)

// New returns the controller of endpoints.
func New(client kubernetes.Interface, f informers.SharedInformerFactory, events record.EventRecorder) controller.Controller {
	svc, pod, ep := f.Core().V1().Services(), f.Core().V1().Pods(), f.Core().V1().Endpoints()
	r := &reconciler{
		client: client, events: events, services: svc.Lister(), pods: pod.Lister(), endpoints: ep.Lister(),
		triggers: libutil.NewTriggerTimeTracker(), pending: pending.New(ep.Informer().GetIndexer()),
	}
	return controller.Controller{
		Name: "endpoints", Reconciler: r, Workers: 5,
		Sources: []controller.Source{
			controller.Watch(svc.Informer(), onService),
			services.Pods(pod.Informer(), svc.Informer()),
			controller.Watch(ep.Informer(), onEndpoints),
		},
	}
}

// gone prefixes the key of a service that was seen to be deleted.
const gone = "!"

func onService(old, new *corev1.Service, enqueue func(string)) {
	if new == nil {
		enqueue(gone + controller.Key(old))
		return
	}
	enqueue(controller.Key(new))
}

// onEndpoints wakes the service of endpoints that this controller made: to make
// removed ones again, and at the start to find those whose service is gone. What
// somebody writes into them stays until the service or a pod changes, as with
// upstream.
func onEndpoints(old, new *corev1.Endpoints, enqueue func(string)) {
	switch {
	case new == nil:
		enqueue(controller.Key(old))
	case old == nil && new.Labels[labelManagedBy] == name:
		enqueue(controller.Key(new))
	}
}

type reconciler struct {
	client    kubernetes.Interface
	events    record.EventRecorder
	services  corelisters.ServiceLister
	pods      corelisters.PodLister
	endpoints corelisters.EndpointsLister
	triggers  *libutil.TriggerTimeTracker
	pending   *pending.Tracker
}

// Reconcile implements controller.Reconciler.
func (r *reconciler) Reconcile(ctx context.Context, key string) (controller.Result, error) {
	key, deleted := strings.CutPrefix(key, gone)
	ns, svcName, err := cache.SplitMetaNamespaceKey(key)
	if err != nil {
		return controller.Result{}, err
	}
	svc, err := r.services.Services(ns).Get(svcName)
	if apierrors.IsNotFound(err) {
		r.triggers.DeleteService(ns, svcName)
		return controller.Result{}, r.remove(ctx, ns, svcName, deleted)
	}
	if err != nil {
		return controller.Result{}, err
	}
	if svc.Spec.Type == corev1.ServiceTypeExternalName || svc.Spec.Selector == nil || svc.DeletionTimestamp != nil {
		return controller.Result{}, nil
	}
	if !r.pending.Synced(key) {
		return controller.Result{RequeueAfter: pending.Recheck}, nil
	}
	own, err := r.pods.Pods(ns).List(labels.Set(svc.Spec.Selector).AsSelectorPreValidated())
	if err != nil {
		return controller.Result{}, err
	}
	current, err := r.endpoints.Endpoints(ns).Get(svcName)
	if apierrors.IsNotFound(err) {
		current = nil
	} else if err != nil {
		return controller.Result{}, err
	}
	trigger := r.triggers.ComputeEndpointLastChangeTriggerTime(ns, svc, own)
	return controller.Result{}, r.write(ctx, key, svc, current, subsets(svc, own), trigger)
}

// remove deletes the endpoints of a service that is not there. Endpoints that
// users made without a service stay; with a deleted service they go as well.
func (r *reconciler) remove(ctx context.Context, ns, svcName string, deleted bool) error {
	ep, err := r.endpoints.Endpoints(ns).Get(svcName)
	if apierrors.IsNotFound(err) || err == nil && !deleted && ep.Labels[labelManagedBy] != name {
		return nil
	}
	if err != nil {
		return err
	}
	err = r.client.CoreV1().Endpoints(ns).Delete(ctx, svcName, *metav1.NewPreconditionDeleteOptions(string(ep.UID)))
	if apierrors.IsNotFound(err) || apierrors.IsConflict(err) {
		return nil
	}
	return err
}

func (r *reconciler) write(ctx context.Context, key string, svc *corev1.Service, current *corev1.Endpoints, want []corev1.EndpointSubset, trigger time.Time) error {
	update := &corev1.Endpoints{ObjectMeta: metav1.ObjectMeta{Name: svc.Name, Namespace: svc.Namespace}}
	if current != nil {
		update = current.DeepCopy()
	}
	over := truncate(want)
	update.Subsets = want
	update.Labels = maps.Clone(svc.Labels)
	if update.Labels == nil {
		update.Labels = map[string]string{}
	}
	delete(update.Labels, corev1.IsHeadlessService)
	if svc.Spec.ClusterIP == "" || svc.Spec.ClusterIP == corev1.ClusterIPNone {
		update.Labels[corev1.IsHeadlessService] = ""
	}
	update.Labels[labelManagedBy] = name
	if update.Annotations == nil {
		update.Annotations = map[string]string{}
	}
	delete(update.Annotations, corev1.EndpointsOverCapacity)
	if over {
		update.Annotations[corev1.EndpointsOverCapacity] = "truncated"
	}
	if current != nil && apiequality.Semantic.DeepEqual(current, update) {
		return nil
	}
	delete(update.Annotations, corev1.EndpointsLastChangeTriggerTime)
	if !trigger.IsZero() {
		update.Annotations[corev1.EndpointsLastChangeTriggerTime] = trigger.UTC().Format(time.RFC3339Nano)
	}
	return r.send(ctx, key, svc, current, update)
}

func (r *reconciler) send(ctx context.Context, key string, svc *corev1.Service, current, update *corev1.Endpoints) error {
	var out *corev1.Endpoints
	var err error
	if current == nil {
		out, err = r.client.CoreV1().Endpoints(svc.Namespace).Create(ctx, update, metav1.CreateOptions{})
	} else {
		out, err = r.client.CoreV1().Endpoints(svc.Namespace).Update(ctx, update, metav1.UpdateOptions{})
	}
	switch {
	case err == nil:
		r.pending.Wrote(key, out.ResourceVersion)
	case apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause):
		return nil
	case current == nil && !apierrors.IsAlreadyExists(err):
		r.events.Eventf(update, corev1.EventTypeWarning, "FailedToCreateEndpoint", "Failed to create endpoint for service %v/%v: %v", svc.Namespace, svc.Name, err)
	case !apierrors.IsConflict(err):
		r.events.Eventf(update, corev1.EventTypeWarning, "FailedToUpdateEndpoint", "Failed to update endpoint %v/%v: %v", svc.Namespace, svc.Name, err)
	}
	return err
}
