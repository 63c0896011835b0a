package token

import (
	"context"
	"fmt"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/apiserver/pkg/warning"
	"k8s.io/utils/ptr"

	"skiff/server/registry"
)

const (
	defaultExpiration = time.Hour
	minExpiration     = 10 * time.Minute
)

var tokenRequestKind = authenticationv1.SchemeGroupVersion.WithKind("TokenRequest")

// Create answers a POST to serviceaccounts/token; it is a
// registry.Subresource.Create. s is the store of service accounts.
func (i *Issuer) Create(ctx context.Context, s registry.Objects, namespace, name string, obj runtime.Object, _ *metav1.CreateOptions) (runtime.Object, error) {
	in, ok := obj.(*authenticationv1.TokenRequest)
	if !ok {
		return nil, apierrors.NewBadRequest(fmt.Sprintf("not a TokenRequest: %T", obj))
	}
	req := in.DeepCopy()
	if req.Name != "" && req.Name != name {
		return nil, invalid(name, field.Invalid(field.NewPath("metadata", "name"), req.Name, "must match the service account name if specified"))
	}
	if req.Namespace != "" && req.Namespace != namespace {
		return nil, invalid(name, field.Invalid(field.NewPath("metadata", "namespace"), req.Namespace, "must match the service account namespace if specified"))
	}
	sa, err := get[*corev1.ServiceAccount](ctx, s, namespace, name)
	if err != nil {
		return nil, err
	}
	if req.UID != "" && req.UID != sa.UID {
		return nil, apierrors.NewConflict(schema.GroupResource{Group: tokenRequestKind.Group, Resource: tokenRequestKind.Kind}, name,
			fmt.Errorf("the UID in the token request (%s) does not match the UID of the service account (%s)", req.UID, sa.UID))
	}
	i.complete(req, sa)
	if errs := validate(req); len(errs) > 0 {
		return nil, apierrors.NewInvalid(tokenRequestKind.GroupKind(), "", errs)
	}
	bound, err := resolve(ctx, s, sa, req.Spec.BoundObjectRef)
	if err != nil {
		return nil, err
	}
	i.shorten(ctx, req)
	tok, expires, err := i.Issue(ctx, req, sa, bound)
	if err != nil {
		return nil, apierrors.NewInternalError(fmt.Errorf("failed to generate token: %w", err))
	}
	req.Status = authenticationv1.TokenRequestStatus{Token: tok, ExpirationTimestamp: metav1.NewTime(expires)}
	return req, nil
}

// complete fills in what the client left out.
func (i *Issuer) complete(req *authenticationv1.TokenRequest, sa *corev1.ServiceAccount) {
	req.Name, req.Namespace, req.UID = sa.Name, sa.Namespace, sa.UID
	req.CreationTimestamp = metav1.NewTime(i.clock.Now())
	req.Status = authenticationv1.TokenRequestStatus{}
	if len(req.Spec.Audiences) == 0 {
		req.Spec.Audiences = i.audiences
	}
	if req.Spec.ExpirationSeconds == nil {
		req.Spec.ExpirationSeconds = ptr.To(int64(defaultExpiration / time.Second))
	}
}

// shorten applies the server's cap.
func (i *Issuer) shorten(ctx context.Context, req *authenticationv1.TokenRequest) {
	limit := int64(i.max / time.Second)
	if limit > 0 && *req.Spec.ExpirationSeconds > limit {
		warning.AddWarning(ctx, "", fmt.Sprintf("requested expiration of %d seconds shortened to %d seconds", *req.Spec.ExpirationSeconds, limit))
		req.Spec.ExpirationSeconds = ptr.To(limit)
	}
}

func validate(req *authenticationv1.TokenRequest) field.ErrorList {
	var errs field.ErrorList
	path := field.NewPath("spec", "expirationSeconds")
	secs := *req.Spec.ExpirationSeconds
	if secs < int64(minExpiration/time.Second) {
		errs = append(errs, field.Invalid(path, secs, "may not specify a duration less than 10 minutes"))
	}
	if secs > 1<<32 {
		errs = append(errs, field.Invalid(path, secs, "may not specify a duration larger than 2^32 seconds"))
	}
	return errs
}

// resolve gets the object that the token is to be bound to.
func resolve(ctx context.Context, s registry.Objects, sa *corev1.ServiceAccount, r *authenticationv1.BoundObjectReference) (BoundObject, error) {
	var bound BoundObject
	if r == nil {
		return bound, nil
	}
	var uid types.UID
	gvk := schema.FromAPIVersionAndKind(r.APIVersion, r.Kind)
	switch {
	case gvk.Group == "" && gvk.Kind == "Pod":
		pod, err := other[*corev1.Pod](ctx, s, "pods", sa.Namespace, r.Name)
		if err != nil {
			return bound, err
		}
		if pod.Spec.ServiceAccountName != sa.Name {
			return bound, apierrors.NewBadRequest(fmt.Sprintf("cannot bind token for serviceaccount %q to pod running with different serviceaccount name.", sa.Name))
		}
		if bound.Node, err = nodeOf(ctx, s, pod); err != nil {
			return bound, err
		}
		bound.Pod, uid = pod, pod.UID
	case gvk.Group == "" && gvk.Kind == "Node":
		node, err := other[*corev1.Node](ctx, s, "nodes", "", r.Name)
		if err != nil {
			return bound, err
		}
		bound.Node, uid = node, node.UID
	case gvk.Group == "" && gvk.Kind == "Secret":
		secret, err := other[*corev1.Secret](ctx, s, "secrets", sa.Namespace, r.Name)
		if err != nil {
			return bound, err
		}
		bound.Secret, uid = secret, secret.UID
	default:
		return bound, apierrors.NewBadRequest(fmt.Sprintf("cannot bind token to object of type %s", gvk.String()))
	}
	if r.UID != "" && r.UID != uid {
		return bound, apierrors.NewConflict(schema.GroupResource{Group: gvk.Group, Resource: gvk.Kind}, r.Name,
			fmt.Errorf("the UID in the bound object reference (%s) does not match the UID in record. The object might have been deleted and then recreated", r.UID))
	}
	return bound, nil
}

// nodeOf returns the pod's node; if that does not exist, a node that has only the
// name, and nil for a pod that is not scheduled.
func nodeOf(ctx context.Context, s registry.Objects, pod *corev1.Pod) (*corev1.Node, error) {
	if pod.Spec.NodeName == "" {
		return nil, nil
	}
	node, err := other[*corev1.Node](ctx, s, "nodes", "", pod.Spec.NodeName)
	switch {
	case apierrors.IsNotFound(err):
		return &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: pod.Spec.NodeName}}, nil
	case err != nil:
		return nil, apierrors.NewInternalError(err)
	}
	return node, nil
}

func other[T registry.Object](ctx context.Context, s registry.Objects, resource, namespace, name string) (T, error) {
	of, ok := s.Of(schema.GroupResource{Resource: resource})
	if !ok {
		var none T
		return none, apierrors.NewInternalError(fmt.Errorf("resource %s is not served", resource))
	}
	return get[T](ctx, of, namespace, name)
}

func get[T registry.Object](ctx context.Context, s registry.Objects, namespace, name string) (T, error) {
	var none T
	obj, err := s.Get(ctx, namespace, name)
	if err != nil {
		return none, err
	}
	t, ok := obj.(T)
	if !ok {
		return none, apierrors.NewInternalError(fmt.Errorf("object %s/%s is a %T", namespace, name, obj))
	}
	return t, nil
}

func invalid(name string, err *field.Error) error {
	return apierrors.NewInvalid(tokenRequestKind.GroupKind(), name, field.ErrorList{err})
}
