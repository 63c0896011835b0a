// Package rootca publishes the API server's certificate authority to the pods of
// each namespace, as the config map kube-root-ca.crt.
package rootca

import (
	"context"
	"maps"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/client-go/informers"
	coreinformers "k8s.io/client-go/informers/core/v1"
	"k8s.io/client-go/kubernetes"
	corelisters "k8s.io/client-go/listers/core/v1"
	"k8s.io/client-go/tools/cache"

	"skiff/server/controller"
)

// Name is the config map's, in each namespace; its key is ca.crt.
const Name = "kube-root-ca.crt"

const (
	annotation  = "kubernetes.io/description"
	description = "Contains a CA bundle that can be used to verify the kube-apiserver when using internal endpoints such as the internal service IP or kubernetes.default.svc. " +
		"No other usage is guaranteed across distributions of Kubernetes clusters."
)

// New returns the controller; its keys are namespaces' names. It watches only the
// config maps of this name, so that the others need not be held in memory. ca
// returns the bundle (PEM); it is asked on each reconcile.
func New(client kubernetes.Interface, f informers.SharedInformerFactory, ca func() []byte) controller.Controller {
	ns := f.Core().V1().Namespaces()
	own := coreinformers.NewFilteredConfigMapInformer(client, metav1.NamespaceAll, 0,
		cache.Indexers{cache.NamespaceIndex: cache.MetaNamespaceIndexFunc},
		func(o *metav1.ListOptions) {
			o.FieldSelector = fields.OneTermEqualSelector("metadata.name", Name).String()
		})
	r := &reconciler{client: client, ca: ca, namespaces: ns.Lister(), maps: corelisters.NewConfigMapLister(own.GetIndexer())}
	return controller.Controller{
		Name: "root-ca-publisher", Reconciler: r, Workers: 2,
		Sources: []controller.Source{
			controller.For(ns.Informer()),
			controller.Watch(own, func(old, new *corev1.ConfigMap, enqueue func(string)) {
				if new == nil {
					new = old
				}
				enqueue(new.Namespace)
			}),
		},
		Own: []cache.SharedIndexInformer{own},
	}
}

type reconciler struct {
	client     kubernetes.Interface
	ca         func() []byte
	namespaces corelisters.NamespaceLister
	maps       corelisters.ConfigMapLister
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
	data := map[string]string{"ca.crt": string(r.ca())}
	have, err := r.maps.ConfigMaps(key).Get(Name)
	switch {
	case apierrors.IsNotFound(err):
		_, err = r.client.CoreV1().ConfigMaps(key).Create(ctx, &corev1.ConfigMap{
			ObjectMeta: metav1.ObjectMeta{Name: Name, Namespace: key, Annotations: map[string]string{annotation: description}},
			Data:       data,
		}, metav1.CreateOptions{})
	case err != nil:
	case maps.Equal(have.Data, data) && have.Annotations[annotation] != "":
		return controller.Result{}, nil
	default:
		update := have.DeepCopy()
		update.Data = data
		if update.Annotations == nil {
			update.Annotations = map[string]string{}
		}
		update.Annotations[annotation] = description
		_, err = r.client.CoreV1().ConfigMaps(key).Update(ctx, update, metav1.UpdateOptions{})
	}
	if apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause) || apierrors.IsNotFound(err) || apierrors.IsAlreadyExists(err) {
		return controller.Result{}, nil
	}
	return controller.Result{}, err
}
