package registry

import (
	"context"
	"reflect"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	"k8s.io/apimachinery/pkg/api/validation/path"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/uuid"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/apiserver/pkg/storage/names"
	"k8s.io/apiserver/pkg/warning"

	"skiff/server/registry/check"
)

var metadataPath = field.NewPath("metadata")

// timestamp is the present in the resolution that the API has: seconds.
func (r *Registry) timestamp() metav1.Time {
	return metav1.NewTime(r.now().UTC().Truncate(time.Second))
}

// wipeSystemFields drops what a client may not say about a new object.
func wipeSystemFields(obj metav1.Object) {
	obj.SetCreationTimestamp(metav1.Time{})
	obj.SetUID("")
	obj.SetDeletionTimestamp(nil)
	obj.SetDeletionGracePeriodSeconds(nil)
	obj.SetSelfLink("")
}

func (s *Store) fillSystemFields(obj Object) {
	obj.SetCreationTimestamp(s.reg.timestamp())
	obj.SetUID(types.UID(uuid.NewUUID()))
	obj.SetGeneration(0)
	if s.res.Rules.Generation {
		obj.SetGeneration(1)
	}
	if obj.GetName() == "" && obj.GetGenerateName() != "" {
		obj.SetName(names.SimpleNameGenerator.GenerateName(obj.GetGenerateName()))
	}
}

// MatchNamespace makes an object's namespace that of the request, or fails.
func MatchNamespace(request string, obj metav1.Object) error {
	switch own := obj.GetNamespace(); {
	case own == request:
	case own == "" || request == "":
		obj.SetNamespace(request)
	default:
		return apierrors.NewBadRequest("the namespace of the provided object does not match the namespace sent on the request")
	}
	return nil
}

func pathSegment(name string, prefix bool) []string {
	if prefix {
		return path.IsValidPathSegmentPrefix(name)
	}
	return path.IsValidPathSegmentName(name)
}

// validateMetadata checks a new object's metadata as the kind wants it.
func (s *Store) validateMetadata(obj Object) field.ErrorList {
	if s.res.Rules.PlainMetadata {
		return nil
	}
	validName := s.res.Rules.ValidateName
	if validName == nil {
		validName = apivalidation.NameIsDNSSubdomain
	}
	errs := apivalidation.ValidateObjectMetaAccessor(obj, s.res.Namespaced, validName, metadataPath)
	return append(errs, s.validateFinalizers(obj)...)
}

func (s *Store) validateFinalizers(obj Object) field.ErrorList {
	if s.res.Rules.PlainMetadata || s.res.Rules.FreeFinalizers {
		return nil
	}
	var errs field.ErrorList
	for i, name := range obj.GetFinalizers() {
		errs = append(errs, check.StandardFinalizer(name, metadataPath.Child("finalizers").Index(i))...)
	}
	return errs
}

// validatePlain checks what holds for the metadata of objects of any kind.
func (s *Store) validatePlain(obj Object) field.ErrorList {
	return apivalidation.ValidateObjectMetaAccessor(obj, s.res.Namespaced, pathSegment, metadataPath)
}

func (s *Store) validateCreate(ctx context.Context, obj Object) error {
	errs := s.validateMetadata(obj)
	if f := s.res.Rules.Validate; f != nil {
		errs = append(errs, f(ctx, obj)...)
	}
	// What the kind has to say is more to the point than the rest.
	if len(errs) == 0 && (s.res.Rules.PlainMetadata || s.res.Rules.ValidateName != nil) {
		errs = s.validatePlain(obj)
	}
	return s.invalid(obj.GetName(), errs)
}

func (s *Store) validateUpdate(ctx context.Context, rules *Rules, obj, old Object) error {
	errs := append(s.validatePlain(obj), s.validateFinalizers(obj)...)
	errs = append(errs, apivalidation.ValidateObjectMetaAccessorUpdate(obj, old, metadataPath)...)
	if f := rules.ValidateUpdate; f != nil {
		errs = append(errs, f(ctx, obj, old)...)
	}
	return s.invalid(obj.GetName(), errs)
}

func (s *Store) invalid(name string, errs field.ErrorList) error {
	if len(errs) == 0 {
		return nil
	}
	gk := s.res.GroupKind()
	if s.res.StoredAs != nil {
		gk.Group = s.res.StoredAs.Group
	}
	return apierrors.NewInvalid(gk, name, distinct(errs))
}

// distinct drops errors that say the same as one before: several checks of one
// field may find the same fault.
func distinct(errs field.ErrorList) field.ErrorList {
	seen := make(map[string]bool, len(errs))
	return slices.DeleteFunc(errs, func(e *field.Error) bool {
		text := e.Error()
		again := seen[text]
		seen[text] = true
		return again
	})
}

func warn(ctx context.Context, rules *Rules, obj, old Object) {
	if rules.Warnings == nil {
		return
	}
	for _, text := range rules.Warnings(ctx, obj, old) {
		warning.AddWarning(ctx, "", text)
	}
}

// keepMetadata carries over what an update cannot change.
func keepMetadata(obj, old Object) {
	if obj.GetUID() == "" {
		obj.SetUID(old.GetUID())
	}
	obj.SetCreationTimestamp(old.GetCreationTimestamp())
	if t := old.GetDeletionTimestamp(); !t.IsZero() {
		obj.SetDeletionTimestamp(t)
	}
	if g := old.GetDeletionGracePeriodSeconds(); g != nil && obj.GetDeletionGracePeriodSeconds() == nil {
		obj.SetDeletionGracePeriodSeconds(g)
	}
	obj.SetSelfLink("")
}

// specFields returns the indexes of an object's fields besides type, metadata
// and status.
func specFields(obj Object) []int {
	t := reflect.TypeOf(obj).Elem()
	if t.Kind() != reflect.Struct {
		return nil
	}
	var indexes []int
	for i := range t.NumField() {
		switch t.Field(i).Name {
		case "TypeMeta", "ObjectMeta", "Status":
		default:
			indexes = append(indexes, i)
		}
	}
	return indexes
}

func (s *Store) specChanged(obj, old Object) bool {
	if u, ok := obj.(runtime.Unstructured); ok {
		return unstructuredChanged(u.UnstructuredContent(), old.(runtime.Unstructured).UnstructuredContent())
	}
	a, b := reflect.ValueOf(obj).Elem(), reflect.ValueOf(old).Elem()
	for _, i := range s.specFields {
		if !equality.Semantic.DeepEqual(a.Field(i).Interface(), b.Field(i).Interface()) {
			return true
		}
	}
	return false
}

func unstructuredChanged(a, b map[string]any) bool {
	counted := func(k string) bool { return k != "metadata" && k != "status" && k != "kind" && k != "apiVersion" }
	for k, v := range a {
		if counted(k) && !equality.Semantic.DeepEqual(v, b[k]) {
			return true
		}
	}
	for k := range b {
		if _, ok := a[k]; !ok && counted(k) {
			return true
		}
	}
	return false
}

const (
	duplicateOwners = ".metadata.ownerReferences contains duplicate entries; API server dedups owner references in 1.20+, " +
		"and may reject such requests as early as 1.24; please fix your requests; duplicate UID(s) observed: "
	duplicateOwnersAfterAdmission = ".metadata.ownerReferences contains duplicate entries after mutating admission happens; API server dedups owner references in 1.20+, " +
		"and may reject such requests as early as 1.24; please fix your requests; duplicate UID(s) observed: "
)

// dedupOwners drops owner references that are there twice, with a warning.
func dedupOwners(ctx context.Context, obj Object, text string) {
	refs := obj.GetOwnerReferences()
	if len(refs) < 2 {
		return
	}
	kept := make([]metav1.OwnerReference, 0, len(refs))
	var duplicates []string
next:
	for _, ref := range refs {
		for i := range kept {
			if kept[i].UID == ref.UID && equality.Semantic.DeepEqual(kept[i], ref) {
				duplicates = append(duplicates, string(ref.UID))
				continue next
			}
		}
		kept = append(kept, ref)
	}
	if len(duplicates) > 0 {
		obj.SetOwnerReferences(kept)
		warning.AddWarning(ctx, "", text+strings.Join(duplicates, ", "))
	}
}
