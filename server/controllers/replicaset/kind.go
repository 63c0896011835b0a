package replicaset

import (
	"context"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/kubernetes"
	appslisters "k8s.io/client-go/listers/apps/v1"
	corelisters "k8s.io/client-go/listers/core/v1"
	"k8s.io/client-go/tools/cache"

	"skiff/server/controller/refs"
)

// kind is what distinguishes replica sets from replication controllers. Objects
// that it returns may share memory with the cache and are read-only.
type kind interface {
	gvk() schema.GroupVersionKind
	source() cache.SharedIndexInformer
	adopters(pod *corev1.Pod, enqueue func(string))
	get(namespace, name string) (*appsv1.ReplicaSet, error)
	live(ctx context.Context, namespace, name string) (metav1.Object, error)
	// siblings are rs and those with the same controller.
	siblings(rs *appsv1.ReplicaSet) ([]*appsv1.ReplicaSet, error)
	updateStatus(ctx context.Context, rs *appsv1.ReplicaSet, s appsv1.ReplicaSetStatus) error
	// countsTerminating tells whether the kind's status has that number.
	countsTerminating() bool
	// object is what events are about.
	object(rs *appsv1.ReplicaSet) runtime.Object
}

type replicaSets struct {
	client   kubernetes.Interface
	informer cache.SharedIndexInformer
	lister   appslisters.ReplicaSetLister
}

func (k replicaSets) gvk() schema.GroupVersionKind {
	return appsv1.SchemeGroupVersion.WithKind("ReplicaSet")
}
func (k replicaSets) source() cache.SharedIndexInformer { return k.informer }

func (k replicaSets) adopters(pod *corev1.Pod, enqueue func(string)) {
	refs.Matching(k.informer.GetIndexer(), pod, func(rs *appsv1.ReplicaSet) *metav1.LabelSelector { return rs.Spec.Selector }, enqueue)
}

func (k replicaSets) get(namespace, name string) (*appsv1.ReplicaSet, error) {
	return k.lister.ReplicaSets(namespace).Get(name)
}

func (k replicaSets) live(ctx context.Context, namespace, name string) (metav1.Object, error) {
	return k.client.AppsV1().ReplicaSets(namespace).Get(ctx, name, metav1.GetOptions{})
}

func (k replicaSets) siblings(rs *appsv1.ReplicaSet) ([]*appsv1.ReplicaSet, error) {
	ref := metav1.GetControllerOfNoCopy(rs)
	if ref == nil {
		return []*appsv1.ReplicaSet{rs}, nil
	}
	all, err := k.lister.ReplicaSets(rs.Namespace).List(labels.Everything())
	if err != nil {
		return nil, err
	}
	var same []*appsv1.ReplicaSet
	for _, s := range all {
		if other := metav1.GetControllerOfNoCopy(s); other != nil && other.UID == ref.UID {
			same = append(same, s)
		}
	}
	return same, nil
}

func (k replicaSets) updateStatus(ctx context.Context, rs *appsv1.ReplicaSet, s appsv1.ReplicaSetStatus) error {
	update := *rs
	update.Status = s
	_, err := k.client.AppsV1().ReplicaSets(rs.Namespace).UpdateStatus(ctx, &update, metav1.UpdateOptions{})
	return err
}

func (k replicaSets) countsTerminating() bool { return true }

func (k replicaSets) object(rs *appsv1.ReplicaSet) runtime.Object { return rs }

type replicationControllers struct {
	client   kubernetes.Interface
	informer cache.SharedIndexInformer
	lister   corelisters.ReplicationControllerLister
}

func (k replicationControllers) gvk() schema.GroupVersionKind {
	return corev1.SchemeGroupVersion.WithKind("ReplicationController")
}
func (k replicationControllers) source() cache.SharedIndexInformer { return k.informer }

func (k replicationControllers) adopters(pod *corev1.Pod, enqueue func(string)) {
	selector := func(rc *corev1.ReplicationController) *metav1.LabelSelector {
		return &metav1.LabelSelector{MatchLabels: rc.Spec.Selector}
	}
	refs.Matching(k.informer.GetIndexer(), pod, selector, enqueue)
}

func (k replicationControllers) get(namespace, name string) (*appsv1.ReplicaSet, error) {
	rc, err := k.lister.ReplicationControllers(namespace).Get(name)
	if err != nil {
		return nil, err
	}
	return asReplicaSet(rc), nil
}

func (k replicationControllers) live(ctx context.Context, namespace, name string) (metav1.Object, error) {
	return k.client.CoreV1().ReplicationControllers(namespace).Get(ctx, name, metav1.GetOptions{})
}

func (k replicationControllers) siblings(rs *appsv1.ReplicaSet) ([]*appsv1.ReplicaSet, error) {
	return []*appsv1.ReplicaSet{rs}, nil
}

func (k replicationControllers) updateStatus(ctx context.Context, rs *appsv1.ReplicaSet, s appsv1.ReplicaSetStatus) error {
	rc, err := k.lister.ReplicationControllers(rs.Namespace).Get(rs.Name)
	if err != nil {
		return err
	}
	update := *rc
	update.Status = corev1.ReplicationControllerStatus{
		Replicas: s.Replicas, FullyLabeledReplicas: s.FullyLabeledReplicas, ReadyReplicas: s.ReadyReplicas,
		AvailableReplicas: s.AvailableReplicas, ObservedGeneration: s.ObservedGeneration,
	}
	for _, c := range s.Conditions {
		update.Status.Conditions = append(update.Status.Conditions, corev1.ReplicationControllerCondition{
			Type: corev1.ReplicationControllerConditionType(c.Type), Status: c.Status,
			LastTransitionTime: c.LastTransitionTime, Reason: c.Reason, Message: c.Message,
		})
	}
	_, err = k.client.CoreV1().ReplicationControllers(rs.Namespace).UpdateStatus(ctx, &update, metav1.UpdateOptions{})
	return err
}

func (k replicationControllers) countsTerminating() bool { return false }

func (k replicationControllers) object(rs *appsv1.ReplicaSet) runtime.Object {
	return &corev1.ReplicationController{ObjectMeta: rs.ObjectMeta}
}

// asReplicaSet shows rc as a replica set.
func asReplicaSet(rc *corev1.ReplicationController) *appsv1.ReplicaSet {
	rs := &appsv1.ReplicaSet{ObjectMeta: rc.ObjectMeta, Spec: appsv1.ReplicaSetSpec{
		Replicas: rc.Spec.Replicas, MinReadySeconds: rc.Spec.MinReadySeconds,
		Selector: &metav1.LabelSelector{MatchLabels: rc.Spec.Selector},
	}}
	if rc.Spec.Template != nil {
		rs.Spec.Template = *rc.Spec.Template
	}
	rs.Status = appsv1.ReplicaSetStatus{
		Replicas: rc.Status.Replicas, FullyLabeledReplicas: rc.Status.FullyLabeledReplicas, ReadyReplicas: rc.Status.ReadyReplicas,
		AvailableReplicas: rc.Status.AvailableReplicas, ObservedGeneration: rc.Status.ObservedGeneration,
	}
	for _, c := range rc.Status.Conditions {
		rs.Status.Conditions = append(rs.Status.Conditions, appsv1.ReplicaSetCondition{
			Type: appsv1.ReplicaSetConditionType(c.Type), Status: c.Status,
			LastTransitionTime: c.LastTransitionTime, Reason: c.Reason, Message: c.Message,
		})
	}
	return rs
}
