// Package serviceaccount keeps a service account "default" in each namespace.
package serviceaccount

import (
	"context"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	corelisters "k8s.io/client-go/listers/core/v1"

	"skiff/server/controller"
)

const name = "default"

// New returns the controller; its keys are namespaces' names.
func New(client kubernetes.Interface, f informers.SharedInformerFactory) controller.Controller {
	ns, sa := f.Core().V1().Namespaces(), f.Core().V1().ServiceAccounts()
	r := &reconciler{client: client, namespaces: ns.Lister(), accounts: sa.Lister()}
	return controller.Controller{
		Name: "serviceaccount", Reconciler: r, Workers: 2,
		Sources: []controller.Source{
			controller.For(ns.Informer()),
			controller.Watch(sa.Informer(), func(old, new *corev1.ServiceAccount, enqueue func(string)) {
				if new == nil && old.Name == name {
					enqueue(old.Namespace)
				}
			}),
		},
	}
}

type reconciler struct {
	client     kubernetes.Interface
	namespaces corelisters.NamespaceLister
	accounts   corelisters.ServiceAccountLister
}

// Reconcile implements controller.Reconciler.
func (r *reconciler) Reconcile(ctx context.Context, key string) (controller.Result, error) {
	ns, err := r.namespaces.Get(key)
	if apierrors.IsNotFound(err) || err == nil && ns.Status.Phase != corev1.NamespaceActive {
		return controller.Result{}, nil
	}
	if err != nil {
		return controller.Result{}, err
	}
	if _, err := r.accounts.ServiceAccounts(key).Get(name); !apierrors.IsNotFound(err) {
		return controller.Result{}, err
	}
	sa := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: key}}
	_, err = r.client.CoreV1().ServiceAccounts(key).Create(ctx, sa, metav1.CreateOptions{})
	if apierrors.IsAlreadyExists(err) || apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause) || apierrors.IsNotFound(err) {
		return controller.Result{}, nil
	}
	return controller.Result{}, err
}
