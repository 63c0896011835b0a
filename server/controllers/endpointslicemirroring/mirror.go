// Package endpointslicemirroring shows the Endpoints that users write for services
// without a selector as endpoint slices, which is all that proxies read.
package endpointslicemirroring

import (
	"context"
	"maps"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	apiequality "k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	corelisters "k8s.io/client-go/listers/core/v1"
	discoverylisters "k8s.io/client-go/listers/discovery/v1"
	"k8s.io/client-go/tools/cache"

	"skiff/server/controller"
	"skiff/server/controller/pending"
)

const (
	name = "endpointslicemirroring-controller.k8s.io"
	// labelSkip keeps Endpoints from being mirrored, as does the annotation of
	// those that were used for leader election.
	labelSkip        = "endpointslice.kubernetes.io/skip-mirror"
	annotationLeader = "control-plane.alpha.kubernetes.io/leader"
	// labelManagedBy is on Endpoints that were computed from a selector.
	labelManagedBy = "endpoints.kubernetes.io/managed-by"
)

// New returns the controller; its keys are those of services and of their
// Endpoints, which are the same.
func New(client kubernetes.Interface, f informers.SharedInformerFactory) controller.Controller {
	svc, ep, slice := f.Core().V1().Services(), f.Core().V1().Endpoints(), f.Discovery().V1().EndpointSlices()
	r := &reconciler{client: client, services: svc.Lister(), endpoints: ep.Lister(), slices: slice.Lister(), pending: pending.New(slice.Informer().GetIndexer())}
	return controller.Controller{
		Name: "endpointslice-mirroring", Reconciler: r, Workers: 2,
		Sources: []controller.Source{
			controller.For(svc.Informer()),
			controller.For(ep.Informer()),
			controller.Watch(slice.Informer(), func(old, new *discoveryv1.EndpointSlice, enqueue func(string)) {
				for _, s := range []*discoveryv1.EndpointSlice{old, new} {
					if s != nil && s.Labels[discoveryv1.LabelManagedBy] == name {
						enqueue(s.Namespace + "/" + s.Labels[discoveryv1.LabelServiceName])
					}
				}
			}),
		},
	}
}

type reconciler struct {
	client    kubernetes.Interface
	services  corelisters.ServiceLister
	endpoints corelisters.EndpointsLister
	slices    discoverylisters.EndpointSliceLister
	pending   *pending.Tracker
}

// Reconcile implements controller.Reconciler.
func (r *reconciler) Reconcile(ctx context.Context, key string) (controller.Result, error) {
	ns, svcName, err := cache.SplitMetaNamespaceKey(key)
	if err != nil {
		return controller.Result{}, err
	}
	if !r.pending.Synced(key) {
		return controller.Result{RequeueAfter: pending.Recheck}, nil
	}
	all, err := r.slices.EndpointSlices(ns).List(labels.Set{
		discoveryv1.LabelServiceName: svcName, discoveryv1.LabelManagedBy: name,
	}.AsSelectorPreValidated())
	if err != nil {
		return controller.Result{}, err
	}
	have, _ := pending.Split(r.pending, key, all)
	svc, err := r.services.Services(ns).Get(svcName)
	if err != nil && !apierrors.IsNotFound(err) {
		return controller.Result{}, err
	}
	ep, eperr := r.endpoints.Endpoints(ns).Get(svcName)
	if eperr != nil && !apierrors.IsNotFound(eperr) {
		return controller.Result{}, eperr
	}
	var want []*discoveryv1.EndpointSlice
	if err == nil && eperr == nil && svc.Spec.Selector == nil && svc.DeletionTimestamp == nil && mirrored(ep) {
		want = desired(ep)
	}
	return controller.Result{}, r.apply(ctx, key, ns, have, want)
}

func mirrored(ep *corev1.Endpoints) bool {
	_, leader := ep.Annotations[annotationLeader]
	return ep.DeletionTimestamp == nil && ep.Labels[labelSkip] != "true" && ep.Labels[labelManagedBy] == "" && !leader
}

// apply brings the slices to what is wanted: those of the same addresses' type
// and ports are updated, the others made or removed.
func (r *reconciler) apply(ctx context.Context, key, ns string, have, want []*discoveryv1.EndpointSlice) error {
	client := r.client.DiscoveryV1().EndpointSlices(ns)
	used := map[string]bool{}
	for _, w := range want {
		var match *discoveryv1.EndpointSlice
		for _, h := range have {
			if !used[h.Name] && h.DeletionTimestamp == nil && h.AddressType == w.AddressType && apiequality.Semantic.DeepEqual(h.Ports, w.Ports) {
				match = h
				break
			}
		}
		var out *discoveryv1.EndpointSlice
		var err error
		switch {
		case match == nil:
			out, err = client.Create(ctx, w, metav1.CreateOptions{})
		case same(match, w):
			used[match.Name] = true
			continue
		default:
			used[match.Name] = true
			update := match.DeepCopy()
			update.Endpoints, update.Labels, update.Annotations, update.OwnerReferences = w.Endpoints, w.Labels, w.Annotations, w.OwnerReferences
			out, err = client.Update(ctx, update, metav1.UpdateOptions{})
		}
		if apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause) {
			return nil
		}
		if err != nil {
			return err
		}
		r.pending.Wrote(key, out.ResourceVersion)
	}
	for _, h := range have {
		if used[h.Name] || h.DeletionTimestamp != nil {
			continue
		}
		err := client.Delete(ctx, h.Name, *metav1.NewPreconditionDeleteOptions(string(h.UID)))
		if err != nil && !apierrors.IsNotFound(err) {
			return err
		}
		r.pending.Deleted(key, h.UID)
	}
	return nil
}

func same(a, b *discoveryv1.EndpointSlice) bool {
	return apiequality.Semantic.DeepEqual(a.Endpoints, b.Endpoints) && maps.Equal(a.Labels, b.Labels) &&
		maps.Equal(a.Annotations, b.Annotations) && apiequality.Semantic.DeepEqual(a.OwnerReferences, b.OwnerReferences)
}
