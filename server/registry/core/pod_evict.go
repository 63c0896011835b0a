package core

import (
	"context"
	"errors"
	"fmt"
	"reflect"

	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"skiff/server/registry"
)

var (
	budgetResource = schema.GroupResource{Group: policyv1.GroupName, Resource: "poddisruptionbudgets"}
	evictionKind   = schema.GroupKind{Group: policyv1.GroupName, Kind: "Eviction"}
	evicted        = &metav1.Status{Status: metav1.StatusSuccess}
)

// maxDisrupted bounds the evictions that the disruption controller has not
// confirmed yet.
const maxDisrupted = 2000

// evict answers pods/eviction: it deletes a pod if its disruption budget allows
// (KEP-85).
func (d Deps) evict(ctx context.Context, s registry.Objects, namespace, name string, obj runtime.Object, opts *metav1.CreateOptions) (runtime.Object, error) {
	e, ok := obj.(*policyv1.Eviction)
	if !ok {
		return nil, apierrors.NewBadRequest(fmt.Sprintf("not a Eviction object: %T", obj))
	}
	if e.Name != name {
		return nil, apierrors.NewBadRequest("name in URL does not match name in Eviction object")
	}
	del, err := evictionOptions(e, opts)
	if err != nil {
		return nil, err
	}
	v := &eviction{deps: d, pods: s, namespace: namespace, name: name, opts: del}
	pod, done, err := v.unprotected(ctx)
	if err != nil || done {
		return evicted, err
	}
	return v.protected(ctx, pod)
}

// evictionOptions merges the dry run of the request into the eviction's options.
func evictionOptions(e *policyv1.Eviction, opts *metav1.CreateOptions) (*metav1.DeleteOptions, error) {
	var asked []string
	if opts != nil {
		asked = opts.DryRun
	}
	del := e.DeleteOptions
	if del == nil {
		return &metav1.DeleteOptions{DryRun: asked}, nil
	}
	if isTrue(del.IgnoreStoreReadErrorWithClusterBreakingPotential) {
		return nil, apierrors.NewInvalid(evictionKind, e.Name, field.ErrorList{field.Invalid(
			path("deleteOptions", "ignoreStoreReadErrorWithClusterBreakingPotential"), true, "can not be set for pod eviction, try after removing the option")})
	}
	del = del.DeepCopy()
	switch {
	case len(del.DryRun) == 0:
		del.DryRun = asked
	case len(asked) > 0 && !reflect.DeepEqual(asked, del.DryRun):
		return nil, fmt.Errorf("Non-matching dry-run options in request and content: %v and %v", asked, del.DryRun)
	}
	return del, nil
}

// eviction is one eviction under way.
type eviction struct {
	deps            Deps
	pods            registry.Objects
	namespace, name string
	opts            *metav1.DeleteOptions
}

func (v *eviction) dryRun() bool { return len(v.opts.DryRun) > 0 }

// conditional tells whether the client itself named the version to delete.
func conditional(opts *metav1.DeleteOptions) bool {
	return opts.Preconditions != nil && opts.Preconditions.ResourceVersion != nil
}

// maxConflicts bounds how often an eviction starts over because the pod or the
// budget changed meanwhile.
const maxConflicts = 20

// unprotected evicts a pod that no budget protects: one that has ended, is going,
// or does not run yet.
func (v *eviction) unprotected(ctx context.Context) (pod *corev1.Pod, done bool, err error) {
	for range maxConflicts {
		obj, err := v.pods.Get(ctx, v.namespace, v.name)
		if err != nil {
			return nil, false, err
		}
		pod = obj.(*corev1.Pod)
		ended := pod.Status.Phase == corev1.PodSucceeded || pod.Status.Phase == corev1.PodFailed || pod.DeletionTimestamp != nil
		if !ended && pod.Status.Phase != corev1.PodPending {
			return pod, false, nil
		}
		opts := v.opts
		if !ended && !conditional(opts) {
			// It must not have become ready since.
			opts = atVersion(opts, pod.ResourceVersion)
		}
		err = v.remove(ctx, opts)
		if err == nil {
			return pod, true, nil
		}
		if !apierrors.IsConflict(err) || conditional(v.opts) {
			return nil, false, err
		}
	}
	return nil, false, apierrors.NewConflict(podResource, v.name, errors.New("the pod keeps changing, please try again"))
}

func atVersion(opts *metav1.DeleteOptions, version string) *metav1.DeleteOptions {
	opts = opts.DeepCopy()
	if opts.Preconditions == nil {
		opts.Preconditions = &metav1.Preconditions{}
	}
	opts.Preconditions.ResourceVersion = &version
	return opts
}

// protected evicts a pod that budgets may protect.
func (v *eviction) protected(ctx context.Context, pod *corev1.Pod) (runtime.Object, error) {
	budgets, err := v.budgets(ctx, pod)
	if err != nil {
		return nil, err
	}
	if len(budgets) > 1 {
		return &metav1.Status{
			Status: metav1.StatusFailure, Code: 500,
			Message: "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support.",
		}, nil
	}
	opts, budget, pinned := v.opts, "", false
	if len(budgets) == 1 {
		budget = budgets[0].Name
		if harmless(pod, budgets[0]) {
			opts, pinned = atVersion(opts, pod.ResourceVersion), true
		} else if err := v.spend(ctx, budgets[0]); err != nil {
			return nil, err
		}
	}
	err = v.remove(ctx, opts)
	if pinned && apierrors.IsConflict(err) && !conditional(v.opts) {
		return nil, tooManyRequests(budget) // it may be ready now: the client tries again
	}
	if err != nil {
		return nil, err
	}
	return evicted, nil
}

// harmless tells whether a pod is not ready anyway, and its budget lets such pods
// go (KEP-3017).
func harmless(pod *corev1.Pod, b *policyv1.PodDisruptionBudget) bool {
	if conditionIs(pod, corev1.PodReady, corev1.ConditionTrue) {
		return false
	}
	if p := b.Spec.UnhealthyPodEvictionPolicy; p != nil && *p == policyv1.AlwaysAllow {
		return true
	}
	return b.Status.CurrentHealthy >= b.Status.DesiredHealthy && b.Status.DesiredHealthy > 0
}

// lister is what a generic store has besides registry.Objects.
type lister interface {
	List(ctx context.Context, opts registry.ListOptions) (registry.List, error)
	Decode(key string, value []byte, revision int64) (registry.Object, error)
}

func (v *eviction) budgets(ctx context.Context, pod *corev1.Pod) ([]*policyv1.PodDisruptionBudget, error) {
	all, ok := v.pods.Of(budgetResource)
	if !ok {
		return nil, nil
	}
	l, ok := all.(lister)
	if !ok {
		return nil, apierrors.NewInternalError(fmt.Errorf("list pod disruption budgets: %T cannot list", all))
	}
	list, err := l.List(ctx, registry.ListOptions{Namespace: v.namespace})
	if err != nil {
		return nil, err
	}
	var budgets []*policyv1.PodDisruptionBudget
	for _, item := range list.Items {
		obj, err := l.Decode(item.Key, item.Value, item.Revision)
		if err != nil {
			return nil, apierrors.NewInternalError(err)
		}
		b := obj.(*policyv1.PodDisruptionBudget)
		selector, err := metav1.LabelSelectorAsSelector(b.Spec.Selector)
		if err == nil && selector.Matches(labels.Set(pod.Labels)) {
			budgets = append(budgets, b)
		}
	}
	return budgets, nil
}

// spend takes one disruption out of a budget.
func (v *eviction) spend(ctx context.Context, b *policyv1.PodDisruptionBudget) error {
	take := func(obj registry.Object) error {
		return takeDisruption(obj.(*policyv1.PodDisruptionBudget), v.name, metav1.NewTime(v.deps.Now()))
	}
	if v.dryRun() {
		return take(b)
	}
	all, _ := v.pods.Of(budgetResource)
	_, err := all.Modify(ctx, b.Namespace, b.Name, &registry.Rules{}, take)
	return err
}

func takeDisruption(b *policyv1.PodDisruptionBudget, pod string, now metav1.Time) error {
	if b.Status.ObservedGeneration < b.Generation {
		return tooManyRequests(b.Name)
	}
	const notNow = "The disruption budget %s does not allow evicting pods currently: %s"
	if b.Status.DisruptionsAllowed < 0 {
		return budgetForbids(b.Name, "pdb disruptions allowed is negative",
			fmt.Sprintf(notNow, b.Name, "pdb disruptions allowed is negative"))
	}
	if len(b.Status.DisruptedPods) > maxDisrupted {
		return budgetForbids(b.Name, "DisruptedPods map too big - too many evictions not confirmed by PDB controller",
			fmt.Sprintf(notNow, b.Name, "too many pending evictions not confirmed by PDB controller"))
	}
	if b.Status.DisruptionsAllowed == 0 {
		err := apierrors.NewTooManyRequests("Cannot evict pod as it would violate the pod's disruption budget.", 0)
		return because(err, budgetSays(b))
	}
	b.Status.DisruptionsAllowed--
	if b.Status.DisruptionsAllowed == 0 {
		meta.SetStatusCondition(&b.Status.Conditions, metav1.Condition{
			Type: policyv1.DisruptionAllowedCondition, Reason: policyv1.InsufficientPodsReason,
			Status: metav1.ConditionFalse, ObservedGeneration: b.Status.ObservedGeneration,
		})
	}
	if b.Status.DisruptedPods == nil {
		b.Status.DisruptedPods = map[string]metav1.Time{}
	}
	b.Status.DisruptedPods[pod] = now
	return nil
}

// budgetSays is why a budget that is used up allows nothing more.
func budgetSays(b *policyv1.PodDisruptionBudget) string {
	c := meta.FindStatusCondition(b.Status.Conditions, policyv1.DisruptionAllowedCondition)
	told := c != nil && c.Status == metav1.ConditionFalse && c.Message != ""
	switch {
	case told && c.Reason == policyv1.SyncFailedReason:
		return fmt.Sprintf("The disruption budget %s does not allow evicting pods currently because it failed sync: %s", b.Name, c.Message)
	case b.Status.CurrentHealthy <= b.Status.DesiredHealthy:
		return fmt.Sprintf("The disruption budget %s needs %d healthy pods and has %d currently", b.Name, b.Status.DesiredHealthy, b.Status.CurrentHealthy)
	case told:
		return fmt.Sprintf("The disruption budget %s does not allow evicting pods currently (%s): %s", b.Name, c.Reason, c.Message)
	}
	return fmt.Sprintf("The disruption budget %s does not allow evicting pods currently", b.Name)
}

func because(err *apierrors.StatusError, message string) error {
	if err.ErrStatus.Details == nil {
		err.ErrStatus.Details = &metav1.StatusDetails{}
	}
	err.ErrStatus.Details.Causes = append(err.ErrStatus.Details.Causes, metav1.StatusCause{Type: policyv1.DisruptionBudgetCause, Message: message})
	return err
}

func budgetForbids(name, reason, message string) error {
	return because(apierrors.NewForbidden(schema.GroupResource{Group: policyv1.GroupName, Resource: "poddisruptionbudget"}, name, errors.New(reason)), message)
}

func tooManyRequests(budget string) error {
	return because(apierrors.NewTooManyRequests("Cannot evict pod as it would violate the pod's disruption budget.", 10),
		fmt.Sprintf("The disruption budget %s is still being processed by the server.", budget))
}

// remove marks the pod as disrupted, for its controller to see, and deletes it.
func (v *eviction) remove(ctx context.Context, opts *metav1.DeleteOptions) error {
	if !v.dryRun() {
		obj, err := v.pods.Modify(ctx, v.namespace, v.name, &registry.Rules{}, func(obj registry.Object) error {
			p := obj.(*corev1.Pod)
			if err := checkPreconditions(p, opts.Preconditions); err != nil {
				return err
			}
			setPodCondition(&p.Status, corev1.PodCondition{
				Type: corev1.DisruptionTarget, Status: corev1.ConditionTrue, Reason: "EvictionByEvictionAPI", Message: "Eviction API: evicting",
			}, metav1.NewTime(v.deps.Now()))
			return nil
		})
		if err != nil {
			return err
		}
		if conditional(opts) {
			opts = atVersion(opts, obj.GetResourceVersion())
		}
	}
	_, err := v.pods.Delete(ctx, v.namespace, v.name, opts)
	return err
}

func checkPreconditions(p *corev1.Pod, pre *metav1.Preconditions) error {
	if pre == nil {
		return nil
	}
	refuse := func(err error) error {
		return apierrors.NewConflict(schema.GroupResource{Resource: "Pod"}, p.Name, err)
	}
	if uid := pre.UID; uid != nil && *uid != "" && *uid != p.UID {
		return refuse(fmt.Errorf("the UID in the precondition (%s) does not match the UID in record (%s). The object might have been deleted and then recreated", *uid, p.UID))
	}
	if v := pre.ResourceVersion; v != nil && *v != "" && *v != p.ResourceVersion {
		return refuse(fmt.Errorf("the ResourceVersion in the precondition (%s) does not match the ResourceVersion in record (%s). The object might have been modified", *v, p.ResourceVersion))
	}
	return nil
}
