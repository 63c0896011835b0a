package nodeapproval

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/informers"
	coreinformers "k8s.io/client-go/informers/core/v1"
	"k8s.io/client-go/kubernetes"
	corelisters "k8s.io/client-go/listers/core/v1"
	"k8s.io/client-go/tools/cache"
	"k8s.io/utils/clock"

	"skiff/server/controller"
)

// NewKeys returns the controller that lets go of the keys of nodes that were
// deleted, or never came; its keys are nodes' names. It watches only the records,
// so that other config maps need not be held in memory.
func NewKeys(client kubernetes.Interface, f informers.SharedInformerFactory, clk clock.PassiveClock) controller.Controller {
	nodes := f.Core().V1().Nodes()
	own := coreinformers.NewFilteredConfigMapInformer(client, Namespace, 0,
		cache.Indexers{cache.NamespaceIndex: cache.MetaNamespaceIndexFunc},
		func(o *metav1.ListOptions) { o.LabelSelector = recordLabel })
	k := &keeper{
		nodes: nodes.Lister(), records: records{client: client, clock: clk},
		maps: corelisters.NewConfigMapLister(own.GetIndexer()).ConfigMaps(Namespace),
	}
	return controller.Controller{
		Name: "node-keys", Reconciler: k,
		Sources: []controller.Source{
			controller.Watch(own, func(old, new *corev1.ConfigMap, enqueue func(string)) {
				if new == nil {
					new = old
				}
				if node := new.Data[keyNode]; RecordName(node) == new.Name {
					enqueue(node)
				}
			}),
			controller.Watch(nodes.Informer(), func(old, new *corev1.Node, enqueue func(string)) {
				switch {
				case new == nil:
					enqueue(old.Name)
				case old == nil || old.UID != new.UID:
					enqueue(new.Name)
				}
			}),
		},
		Own: []cache.SharedIndexInformer{own},
	}
}

type keeper struct {
	nodes   corelisters.NodeLister
	maps    corelisters.ConfigMapNamespaceLister
	records records
}

// Reconcile implements controller.Reconciler.
func (k *keeper) Reconcile(ctx context.Context, name string) (controller.Result, error) {
	record, err := k.maps.Get(RecordName(name))
	if apierrors.IsNotFound(err) {
		return controller.Result{}, nil
	}
	if err != nil {
		return controller.Result{}, err
	}
	uid := record.Data[keyUID]
	node, err := k.nodes.Get(name)
	switch {
	case err == nil && uid == string(node.UID):
	case err == nil:
		// A Node that was made anew is made by who has the key.
		if err := k.records.noteNode(ctx, record, node.UID); err != nil {
			return controller.Result{}, fmt.Errorf("note the node of config map %s/%s: %w", Namespace, record.Name, err)
		}
	case !apierrors.IsNotFound(err):
		return controller.Result{}, err
	default:
		left := noShow - k.records.clock.Since(record.CreationTimestamp.Time)
		if uid == "" && left > 0 {
			return controller.Result{RequeueAfter: left}, nil
		}
		if err := k.records.remove(ctx, record); err != nil {
			return controller.Result{}, fmt.Errorf("let go of the key of node %s: %w", name, err)
		}
	}
	return controller.Result{}, nil
}
