package services

import (
	"context"
	"maps"

	discoveryv1 "k8s.io/api/discovery/v1"
	apiequality "k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	discoverylisters "k8s.io/client-go/listers/discovery/v1"
)

// EnsureSlice keeps an endpoint slice that a controller writes by itself, not
// from pods: its address type, endpoints and ports are want's, and it has want's
// labels among its own.
func EnsureSlice(ctx context.Context, client kubernetes.Interface, lister discoverylisters.EndpointSliceLister, want *discoveryv1.EndpointSlice) error {
	api := client.DiscoveryV1().EndpointSlices(want.Namespace)
	have, err := lister.EndpointSlices(want.Namespace).Get(want.Name)
	if err == nil && have.AddressType != want.AddressType { // immutable
		if err = api.Delete(ctx, want.Name, metav1.DeleteOptions{}); err != nil && !apierrors.IsNotFound(err) {
			return err
		}
		err = apierrors.NewNotFound(discoveryv1.Resource("endpointslices"), want.Name)
	}
	if apierrors.IsNotFound(err) {
		_, err = api.Create(ctx, want, metav1.CreateOptions{})
		if apierrors.IsAlreadyExists(err) {
			return nil // the cache is behind, and will wake whoever asked
		}
		return err
	}
	if err != nil || apiequality.Semantic.DeepEqual(have.Endpoints, want.Endpoints) &&
		apiequality.Semantic.DeepEqual(have.Ports, want.Ports) && HasLabels(have, want.Labels) {
		return err
	}
	update := have.DeepCopy()
	update.Endpoints, update.Ports = want.Endpoints, want.Ports
	AddLabels(update, want.Labels)
	_, err = api.Update(ctx, update, metav1.UpdateOptions{})
	return err
}

// HasLabels tells whether an object has all of the labels.
func HasLabels(o metav1.Object, labels map[string]string) bool { return selects(labels, o.GetLabels()) }

// AddLabels sets labels beside those that an object has.
func AddLabels(o metav1.Object, labels map[string]string) {
	all := maps.Clone(o.GetLabels())
	if all == nil {
		all = map[string]string{}
	}
	maps.Copy(all, labels)
	o.SetLabels(all)
}
