package disruption

import (
	"context"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	appslisters "k8s.io/client-go/listers/apps/v1"
	corelisters "k8s.io/client-go/listers/core/v1"
)

// sizes finds the wanted number of pods of a pod's controller.
type sizes struct {
	rs    appslisters.ReplicaSetLister
	rc    corelisters.ReplicationControllerLister
	sts   appslisters.StatefulSetLister
	dep   appslisters.DeploymentLister
	other Scales
}

// of returns the size and the UID that it belongs to: for a replica set of a
// deployment these are the deployment's. UID "" means there is no such controller.
func (s sizes) of(ctx context.Context, ns string, ref *metav1.OwnerReference) (int32, types.UID, error) {
	kind := schema.FromAPIVersionAndKind(ref.APIVersion, ref.Kind)
	var size *int32
	var uid types.UID
	var err error
	switch kind.GroupKind() {
	case schema.GroupKind{Group: "apps", Kind: "ReplicaSet"}:
		return s.ofReplicaSet(ns, ref)
	case schema.GroupKind{Group: "apps", Kind: "StatefulSet"}:
		o, gerr := s.sts.StatefulSets(ns).Get(ref.Name)
		if err = gerr; err == nil {
			size, uid = o.Spec.Replicas, o.UID
		}
	case schema.GroupKind{Kind: "ReplicationController"}:
		o, gerr := s.rc.ReplicationControllers(ns).Get(ref.Name)
		if err = gerr; err == nil {
			size, uid = o.Spec.Replicas, o.UID
		}
	default:
		if s.other == nil {
			return 0, "", nil
		}
		n, id, gerr := s.other(ctx, kind, ns, ref.Name)
		size, uid, err = &n, id, gerr
	}
	if apierrors.IsNotFound(err) || err == nil && uid != ref.UID {
		return 0, "", nil
	}
	if err != nil || size == nil {
		return 0, uid, err
	}
	return *size, uid, nil
}

func (s sizes) ofReplicaSet(ns string, ref *metav1.OwnerReference) (int32, types.UID, error) {
	rs, err := s.rs.ReplicaSets(ns).Get(ref.Name)
	if apierrors.IsNotFound(err) || err == nil && rs.UID != ref.UID {
		return 0, "", nil
	}
	if err != nil {
		return 0, "", err
	}
	owner := metav1.GetControllerOfNoCopy(rs)
	if owner == nil || owner.Kind != "Deployment" {
		return *rs.Spec.Replicas, rs.UID, nil
	}
	d, err := s.dep.Deployments(ns).Get(owner.Name)
	if apierrors.IsNotFound(err) || err == nil && d.UID != owner.UID {
		return *rs.Spec.Replicas, rs.UID, nil
	}
	if err != nil {
		return 0, "", err
	}
	return *d.Spec.Replicas, d.UID, nil
}
