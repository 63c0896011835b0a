// Package refs keeps the controller references of objects that a controller
// selects by labels: it adopts orphans that match and releases what no longer
// does, as the API conventions for controllers ask.
package refs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
)

// Claimer decides for one owner which objects are its own.
type Claimer struct {
	Owner    metav1.Object
	Kind     schema.GroupVersionKind
	Selector labels.Selector
	// Live reads the owner from the API. It is asked once, before the first
	// adoption: a cached owner may have been deleted meanwhile.
	Live func(ctx context.Context) (metav1.Object, error)
	// Patch sends a strategic merge patch for the named object.
	Patch func(ctx context.Context, name string, patch []byte) error
	// Finalizers are added on adoption and removed on release.
	Finalizers []string

	asked   bool
	refusal error
}

// Claim returns those of objs that the owner controls, after having adopted and
// released what needs it. A nil match means the selector alone.
func Claim[T metav1.Object](ctx context.Context, c *Claimer, objs []T, match func(T) bool) ([]T, error) {
	var claimed []T
	var errs []error
	for _, obj := range objs {
		matches := c.Selector.Matches(labels.Set(obj.GetLabels())) && (match == nil || match(obj))
		ok, err := c.claim(ctx, obj, matches)
		if err != nil {
			errs = append(errs, err)
		} else if ok {
			claimed = append(claimed, obj)
		}
	}
	return claimed, errors.Join(errs...)
}

func (c *Claimer) claim(ctx context.Context, obj metav1.Object, matches bool) (bool, error) {
	deleting := c.Owner.GetDeletionTimestamp() != nil
	if ref := metav1.GetControllerOfNoCopy(obj); ref != nil {
		switch {
		case ref.UID != c.Owner.GetUID():
			return false, nil
		case matches:
			return true, nil
		case deleting:
			return false, nil
		}
		return false, ignoreGone(c.release(ctx, obj))
	}
	if deleting || !matches || obj.GetDeletionTimestamp() != nil {
		return false, nil
	}
	err := c.adopt(ctx, obj)
	if apierrors.IsNotFound(err) {
		return false, nil
	}
	return err == nil, err
}

func (c *Claimer) adopt(ctx context.Context, obj metav1.Object) error {
	if !c.asked {
		c.asked = true
		c.refusal = c.check(ctx)
	}
	if c.refusal != nil {
		return fmt.Errorf("can't adopt %s/%s (%s): %w", obj.GetNamespace(), obj.GetName(), obj.GetUID(), c.refusal)
	}
	meta := map[string]any{
		"uid":             obj.GetUID(),
		"ownerReferences": []metav1.OwnerReference{*metav1.NewControllerRef(c.Owner, c.Kind)},
	}
	if len(c.Finalizers) > 0 {
		meta["finalizers"] = c.Finalizers
	}
	return c.send(ctx, obj, meta)
}

func (c *Claimer) check(ctx context.Context) error {
	fresh, err := c.Live(ctx)
	if err != nil {
		return err
	}
	if fresh.GetUID() != c.Owner.GetUID() {
		return fmt.Errorf("original %s/%s is gone: got uid %s, wanted %s", c.Owner.GetNamespace(), c.Owner.GetName(), fresh.GetUID(), c.Owner.GetUID())
	}
	if t := fresh.GetDeletionTimestamp(); t != nil {
		return fmt.Errorf("%s/%s has just been deleted at %s", c.Owner.GetNamespace(), c.Owner.GetName(), t)
	}
	return nil
}

func (c *Claimer) release(ctx context.Context, obj metav1.Object) error {
	meta := map[string]any{
		"uid":             obj.GetUID(),
		"ownerReferences": []map[string]any{{"$patch": "delete", "uid": c.Owner.GetUID()}},
	}
	if len(c.Finalizers) > 0 {
		meta["$deleteFromPrimitiveList/finalizers"] = c.Finalizers
	}
	return c.send(ctx, obj, meta)
}

func (c *Claimer) send(ctx context.Context, obj metav1.Object, meta map[string]any) error {
	patch, err := json.Marshal(map[string]any{"metadata": meta})
	if err != nil {
		return err
	}
	return c.Patch(ctx, obj.GetName(), patch)
}

// ignoreGone drops the errors that say that the object is gone, or that it is
// another one of the same name by now (its UID in the patch does not fit).
func ignoreGone(err error) error {
	if apierrors.IsNotFound(err) || apierrors.IsInvalid(err) {
		return nil
	}
	return err
}

// Controller returns the namespace/name key of obj's controller if that is of
// this kind and group.
func Controller(obj metav1.Object, kind schema.GroupVersionKind) (string, bool) {
	ref := metav1.GetControllerOfNoCopy(obj)
	if ref == nil || ref.Kind != kind.Kind {
		return "", false
	}
	if gv, err := schema.ParseGroupVersion(ref.APIVersion); err != nil || gv.Group != kind.Group {
		return "", false
	}
	return obj.GetNamespace() + "/" + ref.Name, true
}

// OwnedBy tells whether obj has an owner reference to uid.
func OwnedBy(obj metav1.Object, uid types.UID) bool {
	for _, r := range obj.GetOwnerReferences() {
		if r.UID == uid {
			return true
		}
	}
	return false
}
