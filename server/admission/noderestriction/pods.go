package noderestriction

import (
	"context"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/labels"

	"skiff/server/admission"
	"skiff/server/admission/podrefs"
)

func (p *Plugin) pods(_ context.Context, w write) error {
	switch w.Subresource {
	case "":
		switch w.Operation {
		case admission.Create:
			return p.createPod(w)
		case admission.Delete:
			return p.ownPod(w, w.Name, func() error {
				return w.refuse("node %q can only delete pods with spec.nodeName set to itself", w.node)
			})
		}
		return w.refuse("unexpected operation %q, node %q can only create and delete mirror pods", w.Operation, w.node)
	case "status":
		return p.podStatus(w)
	case "eviction":
		return p.evict(w)
	}
	return w.refuse("unexpected pod subresource %q, only 'status' and 'eviction' are allowed", w.Subresource)
}

// ownPod returns other's error if the pod is bound elsewhere.
func (p *Plugin) ownPod(w write, name string, other func() error) error {
	pod, err := p.Pods.Pods(w.Namespace).Get(name)
	switch {
	case apierrors.IsNotFound(err):
		return err
	case err != nil:
		return w.Forbidden(err)
	case pod.Spec.NodeName != w.node:
		return other()
	}
	return nil
}

// createPod allows mirror pods of the node itself that refer to nothing: a pod's
// references are what the node may read.
func (p *Plugin) createPod(w write) error {
	pod, ok := w.Object.(*corev1.Pod)
	if !ok {
		return w.unexpectedType(w.Object)
	}
	if _, mirror := pod.Annotations[corev1.MirrorPodAnnotationKey]; !mirror {
		return w.refuse("pod does not have %q annotation, node %q can only create mirror pods", corev1.MirrorPodAnnotationKey, w.node)
	}
	if pod.Spec.NodeName != w.node {
		return w.refuse("node %q can only create pods with spec.nodeName set to itself", w.node)
	}
	if err := p.checkOwner(w, pod); err != nil {
		return err
	}
	what, err := podrefs.Any(&pod.Spec)
	if err != nil {
		return w.Forbidden(fmt.Errorf("error checking mirror pod for API references: %w", err))
	}
	if what != "" {
		return w.refuse("node %q can not create pods that reference %s", w.node, what)
	}
	return nil
}

func (p *Plugin) checkOwner(w write, pod *corev1.Pod) error {
	switch n := len(pod.OwnerReferences); {
	case n > 1:
		return w.refuse("node %q can only create pods with a single owner reference set to itself", w.node)
	case n == 0:
		return w.refuse("node %q can only create pods with an owner reference set to itself", w.node)
	}
	owner := pod.OwnerReferences[0]
	if owner.APIVersion != "v1" || owner.Kind != "Node" || owner.Name != w.node {
		return w.refuse("node %q can only create pods with an owner reference set to itself", w.node)
	}
	if owner.Controller == nil || !*owner.Controller {
		return w.refuse("node %q can only create pods with a controller owner reference set to itself", w.node)
	}
	if owner.BlockOwnerDeletion != nil && *owner.BlockOwnerDeletion {
		return w.refuse("node %q must not set blockOwnerDeletion on an owner reference", w.node)
	}
	node, err := p.Nodes.Get(w.node)
	switch {
	case apierrors.IsNotFound(err):
		return err
	case err != nil:
		return w.refuse("error looking up node %s to verify uid: %v", w.node, err)
	case owner.UID != node.UID:
		return w.refuse("node %s UID mismatch: expected %s got %s", w.node, owner.UID, node.UID)
	}
	return nil
}

func (p *Plugin) podStatus(w write) error {
	if w.Operation != admission.Update {
		return w.refuse("unexpected operation %q", w.Operation)
	}
	old, ok := w.OldObject.(*corev1.Pod)
	if !ok {
		return w.unexpectedType(w.OldObject)
	}
	if old.Spec.NodeName != w.node {
		return w.refuse("node %q can only update pod status for pods with spec.nodeName set to itself", w.node)
	}
	pod, ok := w.Object.(*corev1.Pod)
	if !ok {
		return w.unexpectedType(w.Object)
	}
	if !labels.Equals(old.Labels, pod.Labels) {
		return w.refuse("node %q cannot update labels through pod status", w.node)
	}
	// Claims in the status grant access to them.
	if !slices.EqualFunc(old.Status.ResourceClaimStatuses, pod.Status.ResourceClaimStatuses, func(a, b corev1.PodResourceClaimStatus) bool {
		return equality.Semantic.DeepEqual(a, b)
	}) {
		return w.refuse("node %q cannot update resource claim statues", w.node)
	}
	if !equality.Semantic.DeepEqual(old.Status.ExtendedResourceClaimStatus, pod.Status.ExtendedResourceClaimStatus) {
		return w.refuse("node %q cannot update extended resource claim status", w.node)
	}
	if !equality.Semantic.DeepEqual(old.Status.NodeAllocatableResourceClaimStatuses, pod.Status.NodeAllocatableResourceClaimStatuses) {
		return w.refuse("node %q cannot update node allocatable resource claim statuses", w.node)
	}
	return nil
}

func (p *Plugin) evict(w write) error {
	if w.Operation != admission.Create {
		return w.refuse("unexpected operation %s", w.Operation)
	}
	eviction, ok := w.Object.(*policyv1.Eviction)
	if !ok {
		return w.unexpectedType(w.Object)
	}
	name := w.Name
	if name == "" {
		name = eviction.Name
	}
	if name == "" {
		return w.refuse("could not determine pod from request data")
	}
	return p.ownPod(w, name, func() error {
		return w.refuse("node %s can only evict pods with spec.nodeName set to itself", w.node)
	})
}
