// Package apiserver keeps the service default/kubernetes and its endpoints, by
// which pods reach the API servers.
package apiserver

import (
	"context"
	"fmt"
	"net/netip"
	"slices"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	apiequality "k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	corelisters "k8s.io/client-go/listers/core/v1"
	discoverylisters "k8s.io/client-go/listers/discovery/v1"
	"k8s.io/utils/ptr"

	"skiff/server/controller"
	"skiff/server/controller/services"
)

const (
	name = "kubernetes"
	key  = metav1.NamespaceDefault + "/" + name
	// labelSkipMirror keeps the mirroring of endpoints from making a second slice.
	labelSkipMirror = "endpointslice.kubernetes.io/skip-mirror"
)

// Config says where the API servers are.
type Config struct {
	// Addresses returns the API servers' addresses as pods reach them; it is
	// asked on each reconcile. Those of the first one's family are published.
	Addresses func() []netip.Addr
	// Changed, if not nil, gets a value when Addresses changed.
	Changed <-chan struct{}
	// Port is the one that the API servers listen on.
	Port int32
	// ServiceIP is the service's address, the first one of the service range.
	ServiceIP netip.Addr
}

// New returns the controller; it has one key.
func New(client kubernetes.Interface, f informers.SharedInformerFactory, cfg Config) controller.Controller {
	svc, ep, slice, ns := f.Core().V1().Services(), f.Core().V1().Endpoints(), f.Discovery().V1().EndpointSlices(), f.Core().V1().Namespaces()
	r := &reconciler{Config: cfg, client: client, services: svc.Lister(), endpoints: ep.Lister(), slices: slice.Lister(), namespaces: ns.Lister()}
	return controller.Controller{
		Name: "kubernetes-service", Reconciler: r, Keys: []string{key},
		Sources: []controller.Source{
			controller.ForOne(svc.Informer(), key), controller.ForOne(ep.Informer(), key), controller.ForOne(slice.Informer(), key),
			controller.Watch(ns.Informer(), func(old, new *corev1.Namespace, enqueue func(string)) {
				if old == nil && new.Name == metav1.NamespaceDefault {
					enqueue(key)
				}
			}),
		},
		Start: controller.OnSignal(cfg.Changed, key),
	}
}

type reconciler struct {
	Config
	client     kubernetes.Interface
	services   corelisters.ServiceLister
	endpoints  corelisters.EndpointsLister
	slices     discoverylisters.EndpointSliceLister
	namespaces corelisters.NamespaceLister
}

// Reconcile implements controller.Reconciler.
func (r *reconciler) Reconcile(ctx context.Context, _ string) (controller.Result, error) {
	if _, err := r.namespaces.Get(metav1.NamespaceDefault); apierrors.IsNotFound(err) {
		return controller.Result{}, nil // its creation wakes this loop
	}
	if err := r.service(ctx); err != nil {
		return controller.Result{}, fmt.Errorf("keep service %s: %w", key, err)
	}
	addrs := r.addresses()
	if len(addrs) == 0 {
		return controller.Result{}, nil // what is published stays rather than nothing
	}
	if err := r.publish(ctx, addrs); err != nil {
		return controller.Result{}, fmt.Errorf("publish endpoints of %s: %w", key, err)
	}
	return controller.Result{}, nil
}

func (r *reconciler) addresses() []netip.Addr {
	all := r.Addresses()
	if len(all) == 0 {
		return nil
	}
	first := all[0].Unmap()
	var out []netip.Addr
	for _, a := range all {
		if a = a.Unmap(); a.Is4() == first.Is4() {
			out = append(out, a)
		}
	}
	slices.SortFunc(out, netip.Addr.Compare)
	return slices.Compact(out)
}

func (r *reconciler) service(ctx context.Context) error {
	ports := []corev1.ServicePort{{Name: "https", Protocol: corev1.ProtocolTCP, Port: 443, TargetPort: intstr.FromInt32(r.Port)}}
	have, err := r.services.Services(metav1.NamespaceDefault).Get(name)
	if apierrors.IsNotFound(err) {
		family := corev1.IPv4Protocol
		if r.ServiceIP.Is6() {
			family = corev1.IPv6Protocol
		}
		_, err = r.client.CoreV1().Services(metav1.NamespaceDefault).Create(ctx, &corev1.Service{
			ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: metav1.NamespaceDefault, Labels: map[string]string{"provider": "kubernetes", "component": "apiserver"}},
			Spec: corev1.ServiceSpec{
				Type: corev1.ServiceTypeClusterIP, ClusterIP: r.ServiceIP.String(), Ports: ports, SessionAffinity: corev1.ServiceAffinityNone,
				IPFamilies: []corev1.IPFamily{family}, IPFamilyPolicy: ptr.To(corev1.IPFamilyPolicySingleStack),
			},
		}, metav1.CreateOptions{})
		return ignoreExists(err)
	}
	if err != nil || apiequality.Semantic.DeepEqual(have.Spec.Ports, ports) {
		return err
	}
	update := have.DeepCopy()
	update.Spec.Ports = ports
	_, err = r.client.CoreV1().Services(metav1.NamespaceDefault).Update(ctx, update, metav1.UpdateOptions{})
	return err
}

func ignoreExists(err error) error {
	if apierrors.IsAlreadyExists(err) {
		return nil
	}
	return err
}

func (r *reconciler) publish(ctx context.Context, addrs []netip.Addr) error {
	if err := r.publishEndpoints(ctx, addrs); err != nil {
		return err
	}
	return r.publishSlice(ctx, addrs)
}

func (r *reconciler) publishEndpoints(ctx context.Context, addrs []netip.Addr) error {
	want := corev1.EndpointSubset{Ports: []corev1.EndpointPort{{Name: "https", Port: r.Port, Protocol: corev1.ProtocolTCP}}}
	for _, a := range addrs {
		want.Addresses = append(want.Addresses, corev1.EndpointAddress{IP: a.String()})
	}
	subsets := []corev1.EndpointSubset{want}
	have, err := r.endpoints.Endpoints(metav1.NamespaceDefault).Get(name)
	if apierrors.IsNotFound(err) {
		_, err = r.client.CoreV1().Endpoints(metav1.NamespaceDefault).Create(ctx, &corev1.Endpoints{
			ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: metav1.NamespaceDefault, Labels: map[string]string{labelSkipMirror: "true"}},
			Subsets:    subsets,
		}, metav1.CreateOptions{})
		return ignoreExists(err)
	}
	if err != nil || apiequality.Semantic.DeepEqual(have.Subsets, subsets) && have.Labels[labelSkipMirror] == "true" {
		return err
	}
	update := have.DeepCopy()
	update.Subsets = subsets
	metav1.SetMetaDataLabel(&update.ObjectMeta, labelSkipMirror, "true")
	_, err = r.client.CoreV1().Endpoints(metav1.NamespaceDefault).Update(ctx, update, metav1.UpdateOptions{})
	return err
}

func (r *reconciler) publishSlice(ctx context.Context, addrs []netip.Addr) error {
	family := discoveryv1.AddressTypeIPv4
	if addrs[0].Is6() {
		family = discoveryv1.AddressTypeIPv6
	}
	want := &discoveryv1.EndpointSlice{
		ObjectMeta:  metav1.ObjectMeta{Name: name, Namespace: metav1.NamespaceDefault, Labels: map[string]string{discoveryv1.LabelServiceName: name}},
		AddressType: family,
		Ports:       []discoveryv1.EndpointPort{{Name: ptr.To("https"), Port: ptr.To(r.Port), Protocol: ptr.To(corev1.ProtocolTCP)}},
	}
	for _, a := range addrs {
		want.Endpoints = append(want.Endpoints, discoveryv1.Endpoint{Addresses: []string{a.String()}, Conditions: discoveryv1.EndpointConditions{Ready: ptr.To(true)}})
	}
	return services.EnsureSlice(ctx, r.client, r.slices, want)
}
