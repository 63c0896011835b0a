// Package replicaset keeps the wanted number of pods running for replica sets and
// replication controllers.
//
// Both kinds are one loop: an adapter shows a replication controller as the
// replica set that it is in all but name.
package replicaset

import (
	"context"
	"fmt"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/record"
	"k8s.io/utils/clock"

	"skiff/server/controller"
	"skiff/server/controller/pending"
	"skiff/server/controller/pods"
	"skiff/server/controller/refs"
)

// burst bounds the pods that one reconcile creates or deletes for one owner.
const burst = 500

// New returns the controller of replica sets.
func New(client kubernetes.Interface, f informers.SharedInformerFactory, events record.EventRecorder, clk clock.PassiveClock) (controller.Controller, error) {
	k := replicaSets{client: client, informer: f.Apps().V1().ReplicaSets().Informer(), lister: f.Apps().V1().ReplicaSets().Lister()}
	return build("replicaset", k, client, f, events, clk)
}

// NewReplicationController returns the controller of replication controllers.
func NewReplicationController(client kubernetes.Interface, f informers.SharedInformerFactory, events record.EventRecorder, clk clock.PassiveClock) (controller.Controller, error) {
	k := replicationControllers{client: client, informer: f.Core().V1().ReplicationControllers().Informer(), lister: f.Core().V1().ReplicationControllers().Lister()}
	return build("replicationcontroller", k, client, f, events, clk)
}

func build(name string, k kind, client kubernetes.Interface, f informers.SharedInformerFactory, events record.EventRecorder, clk clock.PassiveClock) (controller.Controller, error) {
	podInformer := f.Core().V1().Pods().Informer()
	if err := pods.Index(podInformer); err != nil {
		return controller.Controller{}, err
	}
	tracker := pending.New(podInformer.GetIndexer())
	r := &reconciler{
		kind: k, control: pods.Control{Client: client, Events: events, Pending: tracker}, clock: clk,
		pods: podInformer.GetIndexer(), pending: tracker,
	}
	return controller.Controller{
		Name: name, Reconciler: r, Workers: 5,
		Sources: []controller.Source{
			controller.For(k.source()),
			refs.Wake(podInformer, k.gvk(), k.adopters),
		},
	}, nil
}

type reconciler struct {
	kind    kind
	control pods.Control
	pods    cache.Indexer
	pending *pending.Tracker
	clock   clock.PassiveClock
}

// Reconcile implements controller.Reconciler.
func (r *reconciler) Reconcile(ctx context.Context, key string) (controller.Result, error) {
	ns, name, err := cache.SplitMetaNamespaceKey(key)
	if err != nil {
		return controller.Result{}, err
	}
	rs, err := r.kind.get(ns, name)
	if apierrors.IsNotFound(err) {
		r.pending.Forget(key)
		return controller.Result{}, nil
	}
	if err != nil {
		return controller.Result{}, err
	}
	if !r.pending.Synced(key) {
		return controller.Result{RequeueAfter: pending.Recheck}, nil
	}
	active, terminating, err := r.own(ctx, key, rs)
	if err != nil {
		return controller.Result{}, err
	}
	var manageErr error
	if rs.DeletionTimestamp == nil {
		manageErr = r.manage(ctx, key, rs, active)
	}
	now := r.clock.Now()
	status := newStatus(rs, active, terminating, manageErr, now)
	if err := r.writeStatus(ctx, rs, status); err != nil {
		return controller.Result{}, err
	}
	if manageErr != nil {
		return controller.Result{}, manageErr
	}
	var again time.Duration
	if status.ReadyReplicas != status.AvailableReplicas {
		again = pods.UntilAvailable(active, rs.Spec.MinReadySeconds, now)
	}
	return controller.Result{RequeueAfter: again}, nil
}

// own returns the owner's pods, active and terminating, after adoption.
func (r *reconciler) own(ctx context.Context, key string, rs *appsv1.ReplicaSet) (active, terminating []*corev1.Pod, err error) {
	selector, err := metav1.LabelSelectorAsSelector(rs.Spec.Selector)
	if err != nil {
		return nil, nil, fmt.Errorf("selector of %s: %w", key, err)
	}
	all, err := pods.ControlledOrOrphaned(r.pods, rs.UID, rs.Namespace)
	if err != nil {
		return nil, nil, err
	}
	there, going := pending.Split(r.pending, key, all)
	for _, p := range append(going, pods.Filter(there, pods.IsTerminating)...) {
		if metav1.IsControlledBy(p, rs) && selector.Matches(labels.Set(p.Labels)) {
			terminating = append(terminating, p)
		}
	}
	claimer := &refs.Claimer{
		Owner: rs, Kind: r.kind.gvk(), Selector: selector,
		Live: func(ctx context.Context) (metav1.Object, error) { return r.kind.live(ctx, rs.Namespace, rs.Name) },
		Patch: func(ctx context.Context, name string, patch []byte) error {
			return r.control.Patch(ctx, rs.Namespace, name, patch)
		},
	}
	active, err = refs.Claim(ctx, claimer, pods.Filter(there, pods.IsActive), nil)
	return active, terminating, err
}

// manage creates missing pods or deletes surplus ones.
func (r *reconciler) manage(ctx context.Context, key string, rs *appsv1.ReplicaSet, active []*corev1.Pod) error {
	diff := len(active) - int(*rs.Spec.Replicas)
	owner := r.kind.object(rs)
	if diff < 0 {
		ref := metav1.NewControllerRef(rs, r.kind.gvk())
		_, err := pods.SlowStart(min(-diff, burst), func(int) error {
			_, err := r.control.Create(ctx, key, pods.FromTemplate(&rs.Spec.Template, rs, ref), owner)
			return err
		})
		return err
	}
	if diff == 0 {
		return nil
	}
	victims := active
	if diff < len(active) {
		rank, err := r.ranks(rs)
		if err != nil {
			return err
		}
		victims = append([]*corev1.Pod(nil), active...)
		pods.SortForDeletion(victims, rank, r.clock.Now())
	}
	return pods.Each(victims[:min(diff, burst)], func(p *corev1.Pod) error {
		_, err := r.control.Delete(ctx, key, p, owner)
		return err
	})
}

// ranks counts per node the active pods of the replica sets that share this
// one's controller, so that a deployment's pods stay spread while it scales.
func (r *reconciler) ranks(rs *appsv1.ReplicaSet) (func(*corev1.Pod) int, error) {
	related, err := r.kind.siblings(rs)
	if err != nil {
		return nil, err
	}
	nodes := map[string]int{}
	for _, s := range related {
		own, err := pods.Controlled(r.pods, s.UID)
		if err != nil {
			return nil, err
		}
		for _, p := range own {
			if pods.IsActive(p) {
				nodes[p.Spec.NodeName]++
			}
		}
	}
	return func(p *corev1.Pod) int { return nodes[p.Spec.NodeName] }, nil
}
