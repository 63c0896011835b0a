// Package tokencleaner removes join tokens when they have expired.
package tokencleaner

import (
	"context"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	coreinformers "k8s.io/client-go/informers/core/v1"
	"k8s.io/client-go/kubernetes"
	corelisters "k8s.io/client-go/listers/core/v1"
	"k8s.io/client-go/tools/cache"
	"k8s.io/utils/clock"

	"skiff/server/controller"
	"skiff/server/join"
)

// New returns the controller; its keys are those of the Secrets. It watches only
// tokens, so that other Secrets need not be held in memory.
func New(client kubernetes.Interface, clk clock.PassiveClock) controller.Controller {
	own := coreinformers.NewFilteredSecretInformer(client, join.Namespace, 0,
		cache.Indexers{cache.NamespaceIndex: cache.MetaNamespaceIndexFunc},
		func(o *metav1.ListOptions) {
			o.FieldSelector = fields.OneTermEqualSelector("type", string(join.SecretType)).String()
		})
	r := &reconciler{client: client, clock: clk, secrets: corelisters.NewSecretLister(own.GetIndexer())}
	return controller.Controller{
		Name: "token-cleaner", Reconciler: r,
		Sources: []controller.Source{controller.For(own)},
		Own:     []cache.SharedIndexInformer{own},
	}
}

type reconciler struct {
	client  kubernetes.Interface
	clock   clock.PassiveClock
	secrets corelisters.SecretLister
}

// Reconcile implements controller.Reconciler.
func (r *reconciler) Reconcile(ctx context.Context, key string) (controller.Result, error) {
	namespace, name, err := cache.SplitMetaNamespaceKey(key)
	if err != nil {
		return controller.Result{}, err
	}
	s, err := r.secrets.Secrets(namespace).Get(name)
	if apierrors.IsNotFound(err) {
		return controller.Result{}, nil
	}
	if err != nil {
		return controller.Result{}, err
	}
	at, err := join.Expiration(s)
	if err != nil || at.IsZero() {
		return controller.Result{}, nil //nolint:nilerr // who shows it is refused, and the log says why
	}
	if left := at.Sub(r.clock.Now()); left > 0 {
		return controller.Result{RequeueAfter: left}, nil
	}
	// Of this version alone: its owner may have prolonged it meanwhile.
	err = r.client.CoreV1().Secrets(namespace).Delete(ctx, name, metav1.DeleteOptions{
		Preconditions: &metav1.Preconditions{UID: &s.UID, ResourceVersion: &s.ResourceVersion},
	})
	if err != nil && !apierrors.IsNotFound(err) {
		return controller.Result{}, fmt.Errorf("remove expired join token %s: %w", key, err)
	}
	return controller.Result{}, nil
}
