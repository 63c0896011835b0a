package manifests

import (
	"context"
	"errors"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/json"
	"k8s.io/apimachinery/pkg/util/jsonmergepatch"
	"k8s.io/apimachinery/pkg/util/mergepatch"
	"k8s.io/apimachinery/pkg/util/strategicpatch"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes/scheme"
)

// annotationFile is on each object that a manifest made, with the file's name.
// What has lost it is not Skiff's to remove.
const annotationFile = "skiff/manifest"

// fieldManager is the name under which fields are set.
const fieldManager = "skiff-manifests"

var errTerminating = errors.New("is being deleted; it is made anew when it is gone")

// outcome is what applying an object came to.
type outcome int

const (
	unchanged outcome = iota
	created
	changed
)

// apply makes an object as its document wants it, as kubectl apply does: what an
// earlier version of the document had and this one has not is removed, and what
// others set is left alone. Fields that the kind does not have are refused.
func apply(ctx context.Context, client dynamic.Interface, it *item) (outcome, error) {
	want, err := it.object()
	if err != nil {
		return unchanged, err
	}
	want.SetNamespace(it.identity.namespace)
	objects := resource(client, it.resource, it.identity.namespace)
	live, err := objects.Get(ctx, it.identity.name, metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err):
		if err := mark(want, it.file, nil); err != nil {
			return unchanged, err
		}
		_, err = objects.Create(ctx, want, metav1.CreateOptions{FieldManager: fieldManager, FieldValidation: metav1.FieldValidationStrict})
		return created, err
	case err != nil:
		return unchanged, err
	case live.GetDeletionTimestamp() != nil:
		return unchanged, errTerminating
	}
	if err := mark(want, it.file, live.GetAnnotations()); err != nil {
		return unchanged, err
	}
	kind, patch, err := threeWay(it.gvk, want, live)
	if err != nil || string(patch) == "{}" {
		return unchanged, err
	}
	now, err := objects.Patch(ctx, it.identity.name, kind, patch, metav1.PatchOptions{FieldManager: fieldManager, FieldValidation: metav1.FieldValidationStrict})
	if err != nil || now.GetResourceVersion() == live.GetResourceVersion() { // another way to write the same
		return unchanged, err
	}
	return changed, nil
}

func resource(client dynamic.Interface, r schema.GroupVersionResource, namespace string) dynamic.ResourceInterface {
	if namespace == "" {
		return client.Resource(r)
	}
	return client.Resource(r).Namespace(namespace)
}

// mark writes into an object whose it is, and its own configuration, which the
// next apply compares with. others are the annotations that the live object has.
func mark(want *unstructured.Unstructured, file string, others map[string]string) error {
	dropLast(want)
	last, err := runtime.Encode(unstructured.UnstructuredJSONScheme, want)
	if err != nil {
		return fmt.Errorf("encode the object: %w", err)
	}
	key, value := encodeLast(last, room(others, want.GetAnnotations()))
	annotate(want, key, value)
	annotate(want, annotationFile, file)
	return nil
}

func annotate(o *unstructured.Unstructured, key, value string) {
	all := o.GetAnnotations()
	if all == nil {
		all = map[string]string{}
	}
	all[key] = value
	o.SetAnnotations(all)
}

// threeWay returns the patch that makes live as want, knowing from live's
// annotation what was wanted before. Built-in kinds have lists whose elements are
// merged by their names; custom ones have not.
func threeWay(kind schema.GroupVersionKind, want, live *unstructured.Unstructured) (types.PatchType, []byte, error) {
	before, err := decodeLast(live, want)
	if err != nil {
		return "", nil, err
	}
	modified, err := json.Marshal(want.Object)
	if err != nil {
		return "", nil, err
	}
	current, err := json.Marshal(live.Object)
	if err != nil {
		return "", nil, err
	}
	typed, err := scheme.Scheme.New(kind)
	if runtime.IsNotRegisteredError(err) {
		patch, err := jsonmergepatch.CreateThreeWayJSONMergePatch(before, modified, current,
			mergepatch.RequireKeyUnchanged("apiVersion"), mergepatch.RequireKeyUnchanged("kind"), mergepatch.RequireMetadataKeyUnchanged("name"))
		return types.MergePatchType, patch, err
	}
	if err != nil {
		return "", nil, err
	}
	lookup, err := strategicpatch.NewPatchMetaFromStruct(typed)
	if err != nil {
		return "", nil, err
	}
	patch, err := strategicpatch.CreateThreeWayMergePatch(before, modified, current, lookup, true)
	return types.StrategicMergePatchType, patch, err
}
