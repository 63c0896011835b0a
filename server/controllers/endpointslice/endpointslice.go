// Package endpointslice publishes the addresses of a service's pods as endpoint
// slices, with the reconciler of the published library k8s.io/endpointslice.
package endpointslice

import (
	"context"
	"log/slog"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	corelisters "k8s.io/client-go/listers/core/v1"
	discoverylisters "k8s.io/client-go/listers/discovery/v1"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/record"
	lib "k8s.io/endpointslice"
	"k8s.io/endpointslice/topologycache"
	libutil "k8s.io/endpointslice/util"

	"skiff/server/controller"
	"skiff/server/controller/pending"
	"skiff/server/controller/services"
)

// name is that of the manager in the slices' label.
const name = "endpointslice-controller.k8s.io"

// perSlice is the number of endpoints that a slice holds at most.
const perSlice = 100

// nodesKey is the key that looks at the nodes' topology; no service has it, as it
// has no namespace.
const nodesKey = "nodes"

// New returns the controller of endpoint slices.
func New(client kubernetes.Interface, f informers.SharedInformerFactory, events record.EventRecorder, log *slog.Logger) controller.Controller {
	svc, pod, node, slice := f.Core().V1().Services(), f.Core().V1().Pods(), f.Core().V1().Nodes(), f.Discovery().V1().EndpointSlices()
	tracker, topology := libutil.NewEndpointSliceTracker(), topologycache.NewTopologyCache()
	r := &reconciler{
		services: svc.Lister(), pods: pod.Lister(), nodes: node.Lister(), slices: slice.Lister(),
		events: events, log: logr.FromSlogHandler(log.Handler()), tracker: tracker, topology: topology,
		triggers: libutil.NewTriggerTimeTracker(),
		lib: lib.NewReconciler(client, node.Lister(), perSlice, tracker, topology, events, name,
			lib.WithPreferSameTrafficDistributionEnabled(true)),
	}
	return controller.Controller{
		Name: "endpointslice", Reconciler: r, Workers: 5,
		Sources: []controller.Source{
			controller.For(svc.Informer()),
			services.Pods(pod.Informer(), svc.Informer()),
			controller.Watch(slice.Informer(), r.onSlice),
			controller.Watch(node.Informer(), onNode),
		},
	}
}

type reconciler struct {
	services corelisters.ServiceLister
	pods     corelisters.PodLister
	nodes    corelisters.NodeLister
	slices   discoverylisters.EndpointSliceLister
	events   record.EventRecorder
	log      logr.Logger
	lib      *lib.Reconciler
	tracker  *libutil.EndpointSliceTracker
	topology *topologycache.TopologyCache
	triggers *libutil.TriggerTimeTracker
}

// onSlice wakes the service of a slice that somebody else changed or removed.
func (r *reconciler) onSlice(old, new *discoveryv1.EndpointSlice, enqueue func(string)) {
	wake := func(s *discoveryv1.EndpointSlice) {
		if svc := s.Labels[discoveryv1.LabelServiceName]; svc != "" {
			enqueue(s.Namespace + "/" + svc)
		}
	}
	switch {
	case new == nil:
		if r.lib.ManagedByController(old) && r.tracker.Has(old) && !r.tracker.HandleDeletion(old) {
			wake(old)
		}
	case old != nil && old.Labels[discoveryv1.LabelServiceName] != new.Labels[discoveryv1.LabelServiceName]:
		wake(old)
		wake(new)
	case old != nil && r.lib.ManagedByChanged(old, new), r.lib.ManagedByController(new) && r.tracker.ShouldSync(new):
		wake(new)
	}
}

// onNode looks at the topology again when it changed: zones, readiness, capacity.
func onNode(old, new *corev1.Node, enqueue func(string)) {
	if old != nil && new != nil && old.Labels[corev1.LabelTopologyZone] == new.Labels[corev1.LabelTopologyZone] &&
		ready(old) == ready(new) && old.Status.Allocatable.Cpu().Equal(*new.Status.Allocatable.Cpu()) {
		return
	}
	enqueue(nodesKey)
}

func ready(n *corev1.Node) bool {
	for _, c := range n.Status.Conditions {
		if c.Type == corev1.NodeReady {
			return c.Status == corev1.ConditionTrue
		}
	}
	return false
}

// Reconcile implements controller.Reconciler.
func (r *reconciler) Reconcile(ctx context.Context, key string) (controller.Result, error) {
	if key == nodesKey {
		return controller.Result{}, r.reconcileNodes(ctx)
	}
	ns, svcName, err := cache.SplitMetaNamespaceKey(key)
	if err != nil {
		return controller.Result{}, err
	}
	svc, err := r.services.Services(ns).Get(svcName)
	if apierrors.IsNotFound(err) {
		r.triggers.DeleteService(ns, svcName)
		r.lib.DeleteService(ns, svcName)
		r.tracker.DeleteService(ns, svcName)
		return controller.Result{}, nil
	}
	if err != nil {
		return controller.Result{}, err
	}
	if svc.Spec.Type == corev1.ServiceTypeExternalName || svc.Spec.Selector == nil || svc.DeletionTimestamp != nil {
		return controller.Result{}, nil
	}
	return r.reconcileService(svc)
}

func (r *reconciler) reconcileService(svc *corev1.Service) (controller.Result, error) {
	own, err := r.pods.Pods(svc.Namespace).List(labels.Set(svc.Spec.Selector).AsSelectorPreValidated())
	if err != nil {
		return controller.Result{}, err
	}
	all, err := r.slices.EndpointSlices(svc.Namespace).List(labels.Set{
		discoveryv1.LabelServiceName: svc.Name, discoveryv1.LabelManagedBy: name,
	}.AsSelectorPreValidated())
	if err != nil {
		return controller.Result{}, err
	}
	var slices []*discoveryv1.EndpointSlice
	for _, s := range all {
		if s.DeletionTimestamp == nil {
			slices = append(slices, s)
		}
	}
	if r.tracker.StaleSlices(svc, slices) {
		return controller.Result{RequeueAfter: pending.Recheck}, nil
	}
	trigger := r.triggers.ComputeEndpointLastChangeTriggerTime(svc.Namespace, svc, own)
	if err := r.lib.Reconcile(r.log, svc, own, slices, trigger); err != nil {
		r.events.Eventf(svc, corev1.EventTypeWarning, "FailedToUpdateEndpointSlices",
			"Error updating Endpoint Slices for Service %s/%s: %v", svc.Namespace, svc.Name, err)
		return controller.Result{}, err
	}
	return controller.Result{}, nil
}

// reconcileNodes tells the library the nodes, and looks at the services again
// whose topology hints no longer fit.
func (r *reconciler) reconcileNodes(context.Context) error {
	nodes, err := r.nodes.List(labels.Everything())
	if err != nil {
		return err
	}
	// Nodes without a zone are the rule on small clusters: nothing to report.
	r.topology.SetNodes(r.log.V(1), nodes)
	for _, key := range r.topology.GetOverloadedServices() {
		ns, svcName, err := cache.SplitMetaNamespaceKey(key)
		if err != nil {
			return err
		}
		svc, err := r.services.Services(ns).Get(svcName)
		if apierrors.IsNotFound(err) {
			continue
		}
		if err != nil {
			return err
		}
		if _, err := r.reconcileService(svc); err != nil {
			return err
		}
	}
	return nil
}
