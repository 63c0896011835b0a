package webhook

import (
	"errors"
	"fmt"

	admissionv1 "k8s.io/api/admission/v1"
	admissionv1beta1 "k8s.io/api/admission/v1beta1"
	authenticationv1 "k8s.io/api/authentication/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apiserver/pkg/authentication/user"
)

const reviewKind = "AdmissionReview"

var errNoVersion = errors.New("webhook does not accept known AdmissionReview versions (v1, v1beta1)")

// request makes the AdmissionReview of a write in the first version that the hook
// and the server both know. Of v1beta1 only the apiVersion differs.
func request(inv *invocation, w *write, v *view, uid types.UID) (*admissionv1.AdmissionReview, error) {
	for _, version := range inv.versions {
		if version != admissionv1.SchemeGroupVersion.Version && version != admissionv1beta1.SchemeGroupVersion.Version {
			continue
		}
		return &admissionv1.AdmissionReview{
			TypeMeta: metav1.TypeMeta{APIVersion: admissionv1.GroupName + "/" + version, Kind: reviewKind},
			Request: &admissionv1.AdmissionRequest{
				UID:  uid,
				Kind: metav1.GroupVersionKind(inv.kind), Resource: metav1.GroupVersionResource(inv.resource), SubResource: w.Subresource,
				RequestKind: (*metav1.GroupVersionKind)(&w.Kind), RequestResource: (*metav1.GroupVersionResource)(&w.Resource), RequestSubResource: w.Subresource,
				Name: w.Name, Namespace: w.Namespace, Operation: admissionv1.Operation(w.Operation), UserInfo: userInfo(w.User),
				Object: runtime.RawExtension{Object: v.object}, OldObject: runtime.RawExtension{Object: v.old},
				DryRun: &w.DryRun, Options: options(w.Options),
			},
		}, nil
	}
	return nil, errNoVersion
}

func userInfo(u user.Info) authenticationv1.UserInfo {
	if u == nil {
		return authenticationv1.UserInfo{}
	}
	extra := make(map[string]authenticationv1.ExtraValue, len(u.GetExtra()))
	for k, v := range u.GetExtra() {
		extra[k] = v
	}
	return authenticationv1.UserInfo{Username: u.GetName(), UID: u.GetUID(), Groups: u.GetGroups(), Extra: extra}
}

// options tells the kind of a verb's options, which the server does not note in
// them.
func options(o runtime.Object) runtime.RawExtension {
	if o == nil {
		return runtime.RawExtension{}
	}
	o = o.DeepCopyObject()
	kind := ""
	switch o.(type) {
	case *metav1.CreateOptions:
		kind = "CreateOptions"
	case *metav1.UpdateOptions:
		kind = "UpdateOptions"
	case *metav1.PatchOptions:
		kind = "PatchOptions"
	case *metav1.DeleteOptions:
		kind = "DeleteOptions"
	}
	o.GetObjectKind().SetGroupVersionKind(metav1.SchemeGroupVersion.WithKind(kind))
	return runtime.RawExtension{Object: o}
}

// verify checks an answer, and returns what it says. Hooks of v1beta1 were never
// held to all of this.
func verify(review *admissionv1.AdmissionReview, sent *admissionv1.AdmissionReview, mutating bool) (*admissionv1.AdmissionResponse, error) {
	r := review.Response
	if r == nil {
		return nil, errors.New("webhook response was absent")
	}
	if sent.APIVersion == admissionv1beta1.SchemeGroupVersion.String() {
		if len(r.Patch) > 0 {
			patch := admissionv1.PatchTypeJSONPatch
			r.PatchType = &patch
		}
		if !mutating {
			r.Patch, r.PatchType = nil, nil
		}
		return r, nil
	}
	switch {
	case r.UID != sent.Request.UID:
		return nil, fmt.Errorf("expected response.uid=%q, got %q", sent.Request.UID, r.UID)
	case review.TypeMeta != sent.TypeMeta:
		return nil, fmt.Errorf("expected webhook response of %v, got %v", sent.GroupVersionKind(), review.GroupVersionKind())
	case !mutating && len(r.Patch) > 0:
		return nil, errors.New("validating webhook may not return response.patch")
	case !mutating && r.PatchType != nil:
		return nil, errors.New("validating webhook may not return response.patchType")
	case len(r.Patch) > 0 && r.PatchType == nil:
		return nil, errors.New("webhook returned response.patch but not response.patchType")
	case len(r.Patch) == 0 && r.PatchType != nil:
		return nil, errors.New("webhook returned response.patchType but not response.patch")
	case r.PatchType != nil && *r.PatchType == "":
		return nil, fmt.Errorf("webhook returned invalid response.patchType of %q", *r.PatchType)
	}
	return r, nil
}
