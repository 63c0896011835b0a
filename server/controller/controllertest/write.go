package controllertest

import (
	"encoding/json"
	"fmt"
	"slices"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/strategicpatch"

	jsonpatch "gopkg.in/evanphx/json-patch.v4"
)

func typesUID(n int) types.UID { return types.UID(fmt.Sprintf("uid-%05d", n)) }

// update carries out an update or a patch of an object or its status.
func (a *API) update(r *request) (any, error) {
	was, err := a.find(r)
	if err != nil {
		return nil, err
	}
	var now *object
	if r.verb == "patch" {
		now, err = a.patched(r, was)
	} else {
		now, err = r.body.decode()
	}
	if err != nil {
		return nil, err
	}
	if uid := now.GetUID(); uid != "" && uid != was.GetUID() {
		return nil, apierrors.NewInvalid(schema.GroupKind{Kind: r.res.kind}, r.name, nil)
	}
	if rv := now.GetResourceVersion(); rv != "" && rv != was.GetResourceVersion() {
		return nil, apierrors.NewConflict(r.gr(), r.name, fmt.Errorf("the object has been modified; please apply your changes to the latest version and try again"))
	}
	merge(r, now, was)
	same := now.DeepCopy()
	same.SetResourceVersion(was.GetResourceVersion())
	if equal(same.Object, was.Object) {
		return r.shape(was), nil
	}
	key := r.namespace + "/" + r.name
	if now.GetDeletionTimestamp() != nil && done(r.res, now) {
		a.remove(r.res, key, now)
		return r.shape(now), nil
	}
	a.put(r.res, key, now, was)
	return r.shape(now), nil
}

// done tells whether nothing holds a deleted object any more.
func done(res *resource, o *object) bool {
	if len(o.GetFinalizers()) > 0 {
		return false
	}
	if res.kind == "Namespace" {
		f, _, _ := unstructured.NestedStringSlice(o.Object, "spec", "finalizers")
		return len(f) == 0
	}
	if g := o.GetDeletionGracePeriodSeconds(); res.kind == "Pod" && g != nil && *g > 0 {
		return false
	}
	return true
}

// merge carries over what this kind of write may not change.
func merge(r *request, now, was *object) {
	now.SetAPIVersion(was.GetAPIVersion())
	now.SetKind(was.GetKind())
	now.SetName(was.GetName())
	now.SetNamespace(was.GetNamespace())
	now.SetUID(was.GetUID())
	now.SetCreationTimestamp(was.GetCreationTimestamp())
	now.SetDeletionTimestamp(was.GetDeletionTimestamp())
	now.SetDeletionGracePeriodSeconds(was.GetDeletionGracePeriodSeconds())
	now.SetGeneration(was.GetGeneration())
	switch {
	case r.sub == "status" || r.sub == "approval":
		status := now.Object["status"]
		md := now.Object["metadata"]
		for k := range now.Object {
			delete(now.Object, k)
		}
		for k, v := range was.DeepCopy().Object {
			now.Object[k] = v
		}
		if r.res.kind == "Deployment" { // its revision is written along with its status
			now.Object["metadata"] = md
		}
		now.Object["status"] = status
		if status == nil {
			delete(now.Object, "status")
		}
	case r.sub == "finalize":
	case r.res.status:
		if s, ok := was.Object["status"]; ok {
			now.Object["status"] = s
		} else {
			delete(now.Object, "status")
		}
	}
	// Endpoint slices have no spec: their generation counts changes of endpoints.
	if !equal(now.Object["spec"], was.Object["spec"]) || !equal(now.Object["endpoints"], was.Object["endpoints"]) {
		now.SetGeneration(was.GetGeneration() + 1)
	}
}

func (a *API) patched(r *request, was *object) (*object, error) {
	old, err := json.Marshal(was)
	if err != nil {
		return nil, err
	}
	var out []byte
	switch types.PatchType(r.patch) {
	case types.MergePatchType:
		out, err = jsonpatch.MergePatch(old, r.body)
	case types.StrategicMergePatchType:
		out, err = strategicpatch.StrategicMergePatch(old, r.body, r.res.typed())
	case types.JSONPatchType:
		var p jsonpatch.Patch
		if p, err = jsonpatch.DecodePatch(r.body); err == nil {
			out, err = p.Apply(old)
		}
	default:
		err = fmt.Errorf("patch type %q is not served", r.patch)
	}
	if err != nil {
		return nil, apierrors.NewBadRequest(err.Error())
	}
	return body(out).decode()
}

// delete removes an object, or marks it if something holds it.
func (a *API) delete(r *request, name string) (any, error) {
	r.name = name
	was, err := a.find(r)
	if err != nil {
		return nil, err
	}
	var opts metav1.DeleteOptions
	if len(r.body) > 0 {
		if err := json.Unmarshal(r.body, &opts); err != nil {
			return nil, apierrors.NewBadRequest(err.Error())
		}
	}
	if p := opts.Preconditions; p != nil {
		if p.UID != nil && *p.UID != was.GetUID() || p.ResourceVersion != nil && *p.ResourceVersion != was.GetResourceVersion() {
			return nil, apierrors.NewConflict(r.gr(), name, fmt.Errorf("precondition failed"))
		}
	}
	now := was.DeepCopy()
	finalizers := now.GetFinalizers()
	if opts.PropagationPolicy != nil {
		for policy, f := range map[metav1.DeletionPropagation]string{metav1.DeletePropagationForeground: metav1.FinalizerDeleteDependents, metav1.DeletePropagationOrphan: metav1.FinalizerOrphanDependents} {
			finalizers = slices.DeleteFunc(finalizers, func(s string) bool { return s == f })
			if *opts.PropagationPolicy == policy {
				finalizers = append(finalizers, f)
			}
		}
		now.SetFinalizers(finalizers)
	}
	if now.GetDeletionTimestamp() == nil {
		now.SetDeletionTimestamp(ptrTime())
		var grace int64
		node, _, _ := unstructured.NestedString(now.Object, "spec", "nodeName")
		phase, _, _ := unstructured.NestedString(now.Object, "status", "phase")
		if r.res.kind == "Pod" && node != "" && phase != "Succeeded" && phase != "Failed" {
			grace = 30
			if opts.GracePeriodSeconds != nil {
				grace = *opts.GracePeriodSeconds
			}
		}
		now.SetDeletionGracePeriodSeconds(&grace)
		if r.res.kind == "Namespace" {
			_ = unstructured.SetNestedField(now.Object, "Terminating", "status", "phase")
		}
	} else if opts.GracePeriodSeconds != nil && *opts.GracePeriodSeconds == 0 {
		now.SetDeletionGracePeriodSeconds(opts.GracePeriodSeconds)
	}
	key := r.namespace + "/" + name
	switch {
	case done(r.res, now):
		a.remove(r.res, key, now)
	case !equal(now.Object, was.Object):
		a.put(r.res, key, now, was)
	}
	return r.shape(now), nil
}

func ptrTime() *metav1.Time {
	t := metav1.NewTime(time.Now())
	return &t
}

// createSub serves the creatable subresources: eviction deletes, tokens and
// bindings are not served.
func (a *API) createSub(r *request, _ *object) (any, error) {
	if r.sub == "eviction" {
		r.body = nil
		return a.delete(r, r.name)
	}
	return nil, apierrors.NewMethodNotSupported(r.gr(), "create "+r.sub)
}
