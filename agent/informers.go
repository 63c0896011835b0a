package agent

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/tools/cache"
)

// makeInformers makes those that the agent was not given, over as little as
// possible.
func (a *Agent) makeInformers() {
	only := func(field string) informers.SharedInformerOption {
		return informers.WithTweakListOptions(func(o *metav1.ListOptions) {
			o.FieldSelector = fields.OneTermEqualSelector(field, a.cfg.NodeName).String()
		})
	}
	client := a.deps.Client
	if a.deps.Pods == nil {
		a.deps.Pods = informers.NewSharedInformerFactoryWithOptions(client, 0, only("spec.nodeName")).Core().V1().Pods().Informer()
		a.own = append(a.own, a.deps.Pods)
	}
	if a.deps.Nodes == nil {
		a.deps.Nodes = informers.NewSharedInformerFactoryWithOptions(client, 0, only("metadata.name")).Core().V1().Nodes().Informer()
		a.own = append(a.own, a.deps.Nodes)
	}
	if a.deps.Services == nil {
		a.deps.Services = informers.NewSharedInformerFactory(client, 0).Core().V1().Services().Informer()
		a.own = append(a.own, a.deps.Services)
	}
}

// services returns all services of a namespace.
func (a *Agent) services(namespace string) ([]*corev1.Service, error) {
	if !a.deps.Services.HasSynced() {
		return nil, fmt.Errorf("services are not known yet")
	}
	var out []*corev1.Service
	add := func(obj any) {
		if s, ok := obj.(*corev1.Service); ok && s.Namespace == namespace {
			out = append(out, s)
		}
	}
	indexer := a.deps.Services.GetIndexer()
	if _, ok := indexer.GetIndexers()[cache.NamespaceIndex]; ok {
		objs, err := indexer.ByIndex(cache.NamespaceIndex, namespace)
		if err != nil {
			return nil, err
		}
		for _, obj := range objs {
			add(obj)
		}
		return out, nil
	}
	for _, obj := range indexer.List() {
		add(obj)
	}
	return out, nil
}

// followPods passes this node's pods, and the static ones, to the pod manager,
// until ctx ends.
func (a *Agent) followPods(ctx context.Context) error {
	reg, err := a.deps.Pods.AddEventHandler(a.podHandler())
	if err != nil {
		return fmt.Errorf("follow pods: %w", err)
	}
	defer a.deps.Pods.RemoveEventHandler(reg)
	static, err := newStaticPods(a)
	if err != nil {
		a.log.Error("static pods are off", "err", err)
	} else {
		defer static.close()
	}
	// Orphans are removed, and mirrors checked, once every pod is known.
	if !cache.WaitForCacheSync(ctx.Done(), reg.HasSynced, a.deps.Services.HasSynced) {
		return ctx.Err()
	}
	a.pods.Complete()
	if static != nil {
		return static.run(ctx)
	}
	<-ctx.Done()
	return ctx.Err()
}

func (a *Agent) podHandler() cache.ResourceEventHandler {
	mine := func(obj any) *corev1.Pod {
		if tomb, ok := obj.(cache.DeletedFinalStateUnknown); ok {
			obj = tomb.Obj
		}
		if p, ok := obj.(*corev1.Pod); ok && p.Spec.NodeName == a.cfg.NodeName {
			return p
		}
		return nil
	}
	update := func(obj any) {
		if p := mine(obj); p != nil {
			a.pods.Update(p)
		}
	}
	return cache.ResourceEventHandlerFuncs{
		AddFunc: update,
		UpdateFunc: func(before, obj any) {
			if old, now := mine(before), mine(obj); old != nil && (now == nil || now.UID != old.UID) {
				a.pods.Remove(old)
			}
			update(obj)
		},
		DeleteFunc: func(obj any) {
			if p := mine(obj); p != nil {
				a.pods.Remove(p)
			}
		},
	}
}
