// Package disruption keeps the status of pod disruption budgets: how many of the
// selected pods are healthy, and how many may be evicted now.
package disruption

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	apiequality "k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	corelisters "k8s.io/client-go/listers/core/v1"
	policylisters "k8s.io/client-go/listers/policy/v1"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/record"
	pdbhelper "k8s.io/component-helpers/apps/poddisruptionbudget"
	"k8s.io/utils/clock"

	"skiff/server/controller"
	"skiff/server/controller/pods"
)

// deletionTimeout is how long an eviction counts although its pod is not being
// deleted.
const deletionTimeout = 2 * time.Minute

// Scales reads the wanted size of a controller that is none of the known kinds,
// by its scale subresource (custom resources). It returns NotFound for what has
// none.
type Scales func(ctx context.Context, kind schema.GroupVersionKind, namespace, name string) (size int32, uid types.UID, err error)

// New returns the controller; scales may be nil.
func New(client kubernetes.Interface, f informers.SharedInformerFactory, events record.EventRecorder, clk clock.PassiveClock, scales Scales) controller.Controller {
	pod, pdb := f.Core().V1().Pods(), f.Policy().V1().PodDisruptionBudgets()
	apps := f.Apps().V1()
	r := &reconciler{
		client: client, events: events, clock: clk, pods: pod.Lister(), budgets: pdb.Lister(), index: pdb.Informer().GetIndexer(),
		sizes: sizes{
			rs: apps.ReplicaSets().Lister(), rc: f.Core().V1().ReplicationControllers().Lister(),
			sts: apps.StatefulSets().Lister(), dep: apps.Deployments().Lister(), other: scales,
		},
	}
	return controller.Controller{
		Name: "disruption", Reconciler: r, Workers: 2,
		Sources: []controller.Source{controller.For(pdb.Informer()), controller.Watch(pod.Informer(), r.onPod)},
		Reads: []cache.SharedIndexInformer{
			apps.ReplicaSets().Informer(), f.Core().V1().ReplicationControllers().Informer(),
			apps.StatefulSets().Informer(), apps.Deployments().Informer(),
		},
	}
}

type reconciler struct {
	client  kubernetes.Interface
	events  record.EventRecorder
	clock   clock.PassiveClock
	pods    corelisters.PodLister
	budgets policylisters.PodDisruptionBudgetLister
	index   cache.Indexer
	sizes   sizes
}

func (r *reconciler) onPod(old, new *corev1.Pod, enqueue func(string)) {
	if old != nil && new != nil && pods.IsReady(old) == pods.IsReady(new) && old.Status.Phase == new.Status.Phase &&
		(old.DeletionTimestamp == nil) == (new.DeletionTimestamp == nil) && apiequality.Semantic.DeepEqual(old.Labels, new.Labels) {
		return
	}
	for _, p := range []*corev1.Pod{old, new} {
		if p == nil {
			continue
		}
		objs, err := r.index.ByIndex(cache.NamespaceIndex, p.Namespace)
		if err != nil {
			return
		}
		for _, o := range objs {
			b := o.(*policyv1.PodDisruptionBudget)
			if s, err := metav1.LabelSelectorAsSelector(b.Spec.Selector); err == nil && s.Matches(labels.Set(p.Labels)) {
				enqueue(controller.Key(b))
			}
		}
	}
}

// Reconcile implements controller.Reconciler.
func (r *reconciler) Reconcile(ctx context.Context, key string) (controller.Result, error) {
	ns, name, err := cache.SplitMetaNamespaceKey(key)
	if err != nil {
		return controller.Result{}, err
	}
	budget, err := r.budgets.PodDisruptionBudgets(ns).Get(name)
	if apierrors.IsNotFound(err) {
		return controller.Result{}, nil
	}
	if err != nil {
		return controller.Result{}, err
	}
	status, again, err := r.status(ctx, budget)
	if err != nil {
		return controller.Result{}, r.refuse(ctx, budget, err)
	}
	return controller.Result{RequeueAfter: again}, r.write(ctx, budget, status)
}

// refuse allows no disruption while the status can't be computed, and says why.
func (r *reconciler) refuse(ctx context.Context, budget *policyv1.PodDisruptionBudget, cause error) error {
	update := budget.DeepCopy()
	update.Status.DisruptionsAllowed = 0
	meta.SetStatusCondition(&update.Status.Conditions, metav1.Condition{
		Type: policyv1.DisruptionAllowedCondition, Status: metav1.ConditionFalse, Reason: policyv1.SyncFailedReason,
		Message: cause.Error(), ObservedGeneration: update.Status.ObservedGeneration,
	})
	if err := r.write(ctx, budget, update.Status); err != nil {
		return err
	}
	return cause
}

func (r *reconciler) write(ctx context.Context, budget *policyv1.PodDisruptionBudget, status policyv1.PodDisruptionBudgetStatus) error {
	if apiequality.Semantic.DeepEqual(budget.Status, status) {
		return nil
	}
	update := *budget
	update.Status = status
	_, err := r.client.PolicyV1().PodDisruptionBudgets(budget.Namespace).UpdateStatus(ctx, &update, metav1.UpdateOptions{})
	if apierrors.IsNotFound(err) {
		return nil
	}
	return err
}

func (r *reconciler) status(ctx context.Context, budget *policyv1.PodDisruptionBudget) (policyv1.PodDisruptionBudgetStatus, time.Duration, error) {
	selector, err := metav1.LabelSelectorAsSelector(budget.Spec.Selector)
	if err != nil {
		return policyv1.PodDisruptionBudgetStatus{}, 0, err
	}
	own, err := r.pods.Pods(budget.Namespace).List(selector)
	if err != nil {
		return policyv1.PodDisruptionBudgetStatus{}, 0, err
	}
	if len(own) == 0 {
		r.events.Eventf(budget, corev1.EventTypeNormal, "NoPods", "No matching pods found")
	}
	expected, desired, err := r.wanted(ctx, budget, own)
	if err != nil {
		r.events.Eventf(budget, corev1.EventTypeWarning, "CalculateExpectedPodCountFailed", "Failed to calculate the number of expected pods: %v", err)
		return policyv1.PodDisruptionBudgetStatus{}, 0, err
	}
	now := r.clock.Now()
	disrupted, again := r.disrupted(budget, own, now)
	var healthy int32
	for _, p := range own {
		if _, going := disrupted[p.Name]; p.DeletionTimestamp == nil && !going && pods.IsReady(p) {
			healthy++
		}
	}
	allowed := max(0, healthy-desired)
	if expected <= 0 {
		allowed = 0
	}
	update := budget.DeepCopy()
	update.Status = policyv1.PodDisruptionBudgetStatus{
		CurrentHealthy: healthy, DesiredHealthy: desired, ExpectedPods: expected, DisruptionsAllowed: allowed,
		DisruptedPods: disrupted, ObservedGeneration: budget.Generation, Conditions: update.Status.Conditions,
	}
	if !pdbhelper.ConditionsAreUpToDate(update) {
		pdbhelper.UpdateDisruptionAllowedCondition(update)
	}
	return update.Status, again, nil
}

// disrupted returns the pods whose eviction was allowed and that are not being
// deleted yet, and when that has to be looked at again.
func (r *reconciler) disrupted(budget *policyv1.PodDisruptionBudget, own []*corev1.Pod, now time.Time) (map[string]metav1.Time, time.Duration) {
	out := map[string]metav1.Time{}
	var again time.Duration
	for _, p := range own {
		since, ok := budget.Status.DisruptedPods[p.Name]
		if !ok || p.DeletionTimestamp != nil {
			continue
		}
		left := since.Add(deletionTimeout).Sub(now)
		if left <= 0 {
			r.events.Eventf(p, corev1.EventTypeWarning, "NotDeleted", "Pod was expected by PDB %s/%s to be deleted but it wasn't", budget.Namespace, budget.Name)
			continue
		}
		out[p.Name] = since
		if again == 0 || left < again {
			again = left
		}
	}
	return out, again
}

// wanted returns how many pods there should be and how many must be healthy.
func (r *reconciler) wanted(ctx context.Context, budget *policyv1.PodDisruptionBudget, own []*corev1.Pod) (expected, desired int32, err error) {
	switch spec := budget.Spec; {
	case spec.MaxUnavailable != nil:
		if expected, err = r.scale(ctx, budget, own); err != nil {
			return 0, 0, err
		}
		n, err := intstr.GetScaledValueFromIntOrPercent(spec.MaxUnavailable, int(expected), true)
		return expected, max(0, expected-int32(n)), err
	case spec.MinAvailable == nil:
		return 0, 0, nil
	case spec.MinAvailable.Type == intstr.Int:
		return int32(len(own)), spec.MinAvailable.IntVal, nil
	default:
		if expected, err = r.scale(ctx, budget, own); err != nil {
			return 0, 0, err
		}
		n, err := intstr.GetScaledValueFromIntOrPercent(spec.MinAvailable, int(expected), true)
		return expected, int32(n), err
	}
}

// scale adds up the wanted sizes of the pods' controllers.
func (r *reconciler) scale(ctx context.Context, budget *policyv1.PodDisruptionBudget, own []*corev1.Pod) (int32, error) {
	counted := map[types.UID]bool{}
	total := map[types.UID]int32{}
	unmanaged := false
	for _, p := range own {
		ref := metav1.GetControllerOfNoCopy(p)
		if ref == nil {
			unmanaged = true
			continue
		}
		if counted[ref.UID] {
			continue
		}
		counted[ref.UID] = true
		size, uid, err := r.sizes.of(ctx, p.Namespace, ref)
		if err != nil {
			return 0, err
		}
		if uid == "" {
			return 0, fmt.Errorf("found no controllers for pod %q", p.Name)
		}
		total[uid] = size
	}
	if unmanaged {
		r.events.Eventf(budget, corev1.EventTypeWarning, "UnmanagedPods", "Pods selected by this PodDisruptionBudget (selector: %v) were found "+
			"to be unmanaged. As a result, the status of the PDB cannot be calculated correctly, which may result in undefined behavior. "+
			"To account for these pods please set \".spec.minAvailable\" "+
			"field of the PDB to an integer value.", budget.Spec.Selector)
	}
	var sum int32
	for _, n := range total {
		sum += n
	}
	return sum, nil
}
