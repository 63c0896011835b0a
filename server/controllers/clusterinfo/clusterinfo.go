// Package clusterinfo keeps the config map kube-system/skiff-cluster, from which
// nodes learn what cluster they are of.
package clusterinfo

import (
	"context"
	"fmt"
	"maps"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	corelisters "k8s.io/client-go/listers/core/v1"
	"k8s.io/client-go/tools/cache"

	"skiff/server/client"
	"skiff/server/clusterinfo"
	"skiff/server/controller"
)

const (
	key         = clusterinfo.Namespace + "/" + clusterinfo.Name
	annotation  = "kubernetes.io/description"
	description = "What the nodes of this cluster have in common. The server writes it from its own configuration; changes to it are undone."
)

// Config is what is published.
type Config struct {
	// Info returns what nodes must know; it is asked on each reconcile.
	Info func() clusterinfo.Info
	// Changed, if not nil, gets a value when Info changed.
	Changed <-chan struct{}
}

// New returns the controller; it has one key, and watches that config map alone.
func New(clients kubernetes.Interface, cfg Config) controller.Controller {
	own := client.ConfigMapInformer(clients, clusterinfo.Namespace, clusterinfo.Name)
	r := &reconciler{Config: cfg, client: clients, maps: corelisters.NewConfigMapLister(own.GetIndexer())}
	return controller.Controller{
		Name: "cluster-info", Reconciler: r, Keys: []string{key},
		Sources: []controller.Source{controller.For(own)},
		Own:     []cache.SharedIndexInformer{own},
		Start:   controller.OnSignal(cfg.Changed, key),
	}
}

type reconciler struct {
	Config
	client kubernetes.Interface
	maps   corelisters.ConfigMapLister
}

// Reconcile implements controller.Reconciler.
func (r *reconciler) Reconcile(ctx context.Context, _ string) (controller.Result, error) {
	if err := r.publish(ctx, r.Info().ConfigMap()); err != nil {
		return controller.Result{}, fmt.Errorf("publish config map %s: %w", key, err)
	}
	return controller.Result{}, nil
}

func (r *reconciler) publish(ctx context.Context, want *corev1.ConfigMap) error {
	want.Annotations = map[string]string{annotation: description}
	configMaps := r.client.CoreV1().ConfigMaps(clusterinfo.Namespace)
	have, err := r.maps.ConfigMaps(clusterinfo.Namespace).Get(clusterinfo.Name)
	if apierrors.IsNotFound(err) {
		if _, err = configMaps.Create(ctx, want, metav1.CreateOptions{}); apierrors.IsAlreadyExists(err) {
			return nil // the cache is behind, and wakes this loop
		}
		return err
	}
	if err != nil || maps.Equal(have.Data, want.Data) && have.Annotations[annotation] == description {
		return err
	}
	update := have.DeepCopy()
	update.Data = want.Data
	metav1.SetMetaDataAnnotation(&update.ObjectMeta, annotation, description)
	_, err = configMaps.Update(ctx, update, metav1.UpdateOptions{})
	return err
}
