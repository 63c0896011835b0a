package statefulset

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apiequality "k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

func (p *plan) claimName(template string, pod *corev1.Pod) string {
	return fmt.Sprintf("%s-%s-%d", template, p.set.Name, ordinal(pod))
}

// ensureClaims creates the claims of a pod that are missing.
func (p *plan) ensureClaims(ctx context.Context, pod *corev1.Pod) error {
	var errs []error
	for i := range p.set.Spec.VolumeClaimTemplates {
		claim := p.set.Spec.VolumeClaimTemplates[i].DeepCopy()
		claim.Name, claim.Namespace = p.claimName(claim.Name, pod), p.set.Namespace
		if claim.Labels == nil {
			claim.Labels = map[string]string{}
		}
		maps.Copy(claim.Labels, p.set.Spec.Selector.MatchLabels)
		have, err := p.claims.PersistentVolumeClaims(claim.Namespace).Get(claim.Name)
		switch {
		case apierrors.IsNotFound(err):
			p.setClaimOwners(claim, pod)
			errs = append(errs, p.createClaim(ctx, claim, pod))
		case err != nil:
			errs = append(errs, fmt.Errorf("failed to retrieve PVC %s: %w", claim.Name, err))
		case have.DeletionTimestamp != nil:
			errs = append(errs, fmt.Errorf("pvc %s is being deleted", claim.Name))
		}
	}
	return errors.Join(errs...)
}

func (p *plan) createClaim(ctx context.Context, claim *corev1.PersistentVolumeClaim, pod *corev1.Pod) error {
	out, err := p.client.CoreV1().PersistentVolumeClaims(claim.Namespace).Create(ctx, claim, metav1.CreateOptions{})
	switch {
	case err == nil:
		p.pendingClaims.Wrote(p.key, out.ResourceVersion)
		p.events.Eventf(p.set, corev1.EventTypeNormal, "SuccessfulCreate", "Create Claim %s Pod %s in StatefulSet %s success", claim.Name, pod.Name, p.set.Name)
		return nil
	case apierrors.IsAlreadyExists(err):
	default:
		p.events.Eventf(p.set, corev1.EventTypeWarning, "FailedCreate", "Create Claim %s for Pod %s in StatefulSet %s failed error: %s", claim.Name, pod.Name, p.set.Name, err)
	}
	return fmt.Errorf("failed to create PVC %s: %w", claim.Name, err)
}

// policy is the set's retention policy; the default keeps claims.
func (p *plan) policy() (whenDeleted, whenScaled bool) {
	r := p.set.Spec.PersistentVolumeClaimRetentionPolicy
	if r == nil {
		return false, false
	}
	const del = appsv1.DeletePersistentVolumeClaimRetentionPolicyType
	return r.WhenDeleted == del, r.WhenScaled == del
}

// claimsStale tells whether a claim belongs to an older pod of this name, with
// which it will go.
func (p *plan) claimsStale(pod *corev1.Pod) (bool, error) {
	if _, scaled := p.policy(); !scaled {
		return false, nil
	}
	for _, t := range p.set.Spec.VolumeClaimTemplates {
		claim, err := p.claims.PersistentVolumeClaims(p.set.Namespace).Get(p.claimName(t.Name, pod))
		if apierrors.IsNotFound(err) {
			continue
		}
		if err != nil {
			return false, err
		}
		if slices.ContainsFunc(claim.OwnerReferences, func(r metav1.OwnerReference) bool {
			return names(r, pod, podGVK) && r.UID != pod.UID
		}) {
			return true, nil
		}
	}
	return false, nil
}

// fixClaims makes the owners of a pod's claims what the retention policy asks
// for: the garbage collector deletes claims with their owners (KEP-1847).
func (p *plan) fixClaims(ctx context.Context, pod *corev1.Pod) error {
	for _, t := range p.set.Spec.VolumeClaimTemplates {
		name := p.claimName(t.Name, pod)
		have, err := p.claims.PersistentVolumeClaims(p.set.Namespace).Get(name)
		if apierrors.IsNotFound(err) {
			continue
		}
		if err != nil {
			return fmt.Errorf("could not retrieve claim %s for %s when checking PVC deletion policy: %w", name, pod.Name, err)
		}
		claim := have.DeepCopy()
		p.setClaimOwners(claim, pod)
		if apiequality.Semantic.DeepEqual(have.OwnerReferences, claim.OwnerReferences) {
			continue
		}
		out, err := p.client.CoreV1().PersistentVolumeClaims(claim.Namespace).Update(ctx, claim, metav1.UpdateOptions{})
		if err != nil {
			return fmt.Errorf("could not update claim %s for delete policy ownerRefs: %w", name, err)
		}
		p.pendingClaims.Wrote(p.key, out.ResourceVersion)
	}
	return nil
}

// setClaimOwners sets the set or the pod as the claim's owner, by the policy. A
// claim that another object controls, or that is owned by an older set or pod of
// the same name, is left alone.
func (p *plan) setClaimOwners(claim *corev1.PersistentVolumeClaim, pod *corev1.Pod) {
	var others []metav1.OwnerReference
	for _, r := range claim.OwnerReferences {
		set, itsPod := names(r, p.set, gvk), names(r, pod, podGVK)
		switch {
		case set && r.UID != p.set.UID, itsPod && r.UID != pod.UID:
			return
		case set || itsPod:
		case r.Controller != nil && *r.Controller:
			return
		default:
			others = append(others, r)
		}
	}
	deleted, scaled := p.policy()
	surplus := !p.inRange(ordinal(pod))
	switch {
	case scaled && surplus && pod.UID != "":
		others = append(others, *metav1.NewControllerRef(pod, podGVK))
	case deleted && (!scaled || !surplus):
		others = append(others, *metav1.NewControllerRef(p.set, gvk))
	}
	claim.OwnerReferences = others
}

func names(r metav1.OwnerReference, o metav1.Object, kind schema.GroupVersionKind) bool {
	return r.APIVersion == kind.GroupVersion().String() && r.Kind == kind.Kind && r.Name == o.GetName()
}
