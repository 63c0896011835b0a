// Package kubedns keeps the service kube-system/kube-dns, under which tools and
// users look for the cluster's DNS. The service has no pods: each node answers at
// its address by itself (package proxy/dns), whether the object exists or not.
//
// So its endpoint is its own address, and a label tells other service proxies
// that it is not for them to make: one without endpoints would be refused by
// them, and the nodes' answers with it.
package kubedns

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"

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
	"skiff/server/controller/services"
)

// Namespace and Name are those of the service.
const (
	Namespace = metav1.NamespaceSystem
	Name      = "kube-dns"
)

const key = Namespace + "/" + Name

// New returns the controller. addresses are those at which the nodes answer, at
// most one of each family; without any, the cluster's DNS is not Skiff's, and the
// service that Skiff made for it goes away.
func New(client kubernetes.Interface, f informers.SharedInformerFactory, addresses []netip.Addr) controller.Controller {
	svc, slice := f.Core().V1().Services(), f.Discovery().V1().EndpointSlices()
	r := &reconciler{client: client, addresses: addresses, services: svc.Lister(), slices: slice.Lister()}
	c := controller.Controller{
		Name: "kube-dns-service", Reconciler: r, Keys: []string{key},
		Sources: []controller.Source{controller.ForOne(svc.Informer(), key)},
		Reads:   []cache.SharedIndexInformer{slice.Informer()},
	}
	for _, a := range addresses {
		c.Sources = append(c.Sources, controller.ForOne(slice.Informer(), Namespace+"/"+sliceName(a)))
	}
	return c
}

type reconciler struct {
	client    kubernetes.Interface
	addresses []netip.Addr
	services  corelisters.ServiceLister
	slices    discoverylisters.EndpointSliceLister
}

// Reconcile implements controller.Reconciler. Whatever changed, all is compared.
func (r *reconciler) Reconcile(ctx context.Context, _ string) (controller.Result, error) {
	if err := r.service(ctx); err != nil {
		return controller.Result{}, fmt.Errorf("keep service %s: %w", key, err)
	}
	for _, a := range r.addresses {
		if err := services.EnsureSlice(ctx, r.client, r.slices, slice(a)); err != nil {
			return controller.Result{}, fmt.Errorf("publish the endpoint of %s: %w", key, err)
		}
	}
	return controller.Result{}, r.removeSlices(ctx)
}

func (r *reconciler) service(ctx context.Context) error {
	have, err := r.services.Services(Namespace).Get(Name)
	switch {
	case apierrors.IsNotFound(err):
		return r.create(ctx)
	case err != nil:
		return err
	case len(r.addresses) == 0:
		if have.Labels[labelManagedBy] != managedBy || len(have.Spec.Selector) > 0 {
			return nil // the user's own DNS
		}
		return r.remove(ctx, have)
	case !slices.Equal(have.Spec.ClusterIPs, texts(r.addresses)): // immutable
		if err := r.remove(ctx, have); err != nil {
			return err
		}
		return r.create(ctx)
	}
	return r.update(ctx, have)
}

func (r *reconciler) create(ctx context.Context) error {
	if len(r.addresses) == 0 {
		return nil
	}
	_, err := r.client.CoreV1().Services(Namespace).Create(ctx, service(r.addresses), metav1.CreateOptions{})
	if err == nil || apierrors.IsAlreadyExists(err) {
		return nil // the cache is behind, and wakes this loop
	}
	// Of a service that is there as well, the API server finds its address taken first.
	if _, missing := r.client.CoreV1().Services(Namespace).Get(ctx, Name, metav1.GetOptions{}); missing == nil {
		return nil
	}
	return errors.Join(err, r.holder())
}

// holder tells which service has an address that is the DNS's.
func (r *reconciler) holder() error {
	all, err := r.services.List(labels.Everything())
	if err != nil {
		return err
	}
	for _, s := range all {
		for _, ip := range texts(r.addresses) {
			if slices.Contains(s.Spec.ClusterIPs, ip) {
				return fmt.Errorf("service %s/%s has the address %s: make it anew with another one, or give the DNS another one (cluster-dns)", s.Namespace, s.Name, ip)
			}
		}
	}
	return nil
}

func (r *reconciler) remove(ctx context.Context, have *corev1.Service) error {
	err := r.client.CoreV1().Services(Namespace).Delete(ctx, Name, metav1.DeleteOptions{Preconditions: metav1.NewUIDPreconditions(string(have.UID))})
	if apierrors.IsNotFound(err) {
		return nil
	}
	return err
}

// update puts right what matters of a service that is there; its type, say, is
// the user's.
func (r *reconciler) update(ctx context.Context, have *corev1.Service) error {
	change := have.DeepCopy()
	services.AddLabels(change, wellKnown)
	change.Spec.Selector = nil
	for _, p := range ports() {
		if !slices.ContainsFunc(have.Spec.Ports, func(h corev1.ServicePort) bool {
			return h.Name == p.Name && h.Port == p.Port && h.Protocol == p.Protocol && h.TargetPort == p.TargetPort
		}) {
			change.Spec.Ports = ports()
		}
	}
	if apiequality.Semantic.DeepEqual(have, change) {
		return nil
	}
	_, err := r.client.CoreV1().Services(Namespace).Update(ctx, change, metav1.UpdateOptions{})
	return err
}

// removeSlices removes those of an earlier configuration.
func (r *reconciler) removeSlices(ctx context.Context) error {
	ours := labels.Set{discoveryv1.LabelServiceName: Name, discoveryv1.LabelManagedBy: managedBy}
	list, err := r.slices.EndpointSlices(Namespace).List(ours.AsSelector())
	if err != nil {
		return err
	}
	for _, s := range list {
		if slices.ContainsFunc(r.addresses, func(a netip.Addr) bool { return sliceName(a) == s.Name }) {
			continue
		}
		if err := r.client.DiscoveryV1().EndpointSlices(Namespace).Delete(ctx, s.Name, metav1.DeleteOptions{}); err != nil && !apierrors.IsNotFound(err) {
			return err
		}
	}
	return nil
}
