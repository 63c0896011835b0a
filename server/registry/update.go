package registry

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strconv"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"skiff/store"
)

// Change makes the new object from the present one, which is nil if there is
// none and must not be modified. It is called again if others change the object
// meanwhile, and returns an object of its own each time.
type Change func(ctx context.Context, old Object) (Object, error)

// UpdateOptions say how an object is updated.
type UpdateOptions struct {
	// Rules are those of the subresource; nil for the resource's own.
	Rules *Rules
	// Create allows to create a missing object although the rules do not.
	Create bool
	// UID, if not empty, is that of the only object that may be updated.
	UID    types.UID
	DryRun bool
	// Creating is asked before a missing object is created (authorization).
	Creating func(ctx context.Context) error
	// CreateHooks take the place of the hooks where the object is created.
	CreateHooks Hooks
}

// Update changes an object, or creates it where that is allowed.
func (s *Store) Update(ctx context.Context, namespace, name string, change Change, h Hooks, opts UpdateOptions) (Written, error) {
	key := s.key(namespace, name)
	item, _, err := s.reg.backend.Get(ctx, key, store.ReadOptions{})
	if err != nil && !isNotFound(err) {
		return Written{}, s.apiError(err, name)
	}
	for attempt := 1; ; attempt++ {
		w, err := s.updateOnce(ctx, key, name, item, change, h, opts)
		var conflict *store.ConflictError
		switch {
		case errors.Is(err, errClaimTaken) && attempt < maxClaimAttempts:
		case errors.As(err, &conflict):
			item = conflict.Current
		default:
			return w, s.apiError(err, name)
		}
		if ctx.Err() != nil {
			return Written{}, s.apiError(ctx.Err(), name)
		}
	}
}

func (s *Store) updateOnce(ctx context.Context, key, name string, item store.Item, change Change, h Hooks, opts UpdateOptions) (Written, error) {
	rules := opts.Rules
	if rules == nil {
		rules = &s.res.Rules
	}
	if item.Revision == 0 {
		if opts.Rules != nil || !s.res.Rules.CreateOnUpdate && !opts.Create {
			return Written{}, apierrors.NewNotFound(s.gr, name)
		}
		return s.createOnUpdate(ctx, name, change, opts)
	}
	old, err := s.Decode(key, item.Value, item.Revision)
	if err != nil {
		return Written{}, apierrors.NewInternalError(err)
	}
	if opts.UID != "" && opts.UID != old.GetUID() {
		return Written{}, s.uidConflict(name, opts.UID, old.GetUID())
	}
	obj, err := change(ctx, old)
	if err != nil {
		return Written{}, err
	}
	if err := s.prepareUpdate(ctx, rules, obj, old, h); err != nil {
		return Written{}, err
	}
	warn(ctx, rules, obj, old)
	if err := h.validate(ctx, obj, old); err != nil {
		return Written{}, err
	}
	if s.deletionDone(obj, old) {
		return s.removeOnUpdate(ctx, key, item.Revision, obj, old, opts.DryRun)
	}
	return s.replace(ctx, key, item, obj, old, opts.DryRun)
}

// prepareUpdate takes the new object from mutating admission to validation.
func (s *Store) prepareUpdate(ctx context.Context, rules *Rules, obj, old Object, h Hooks) error {
	if f := s.defaults(rules); f != nil {
		f(obj)
	}
	dedupOwners(ctx, obj, duplicateOwners)
	if err := h.admit(ctx, obj, old); err != nil {
		return err
	}
	dedupOwners(ctx, obj, duplicateOwnersAfterAdmission)
	if err := s.checkVersion(obj, old); err != nil {
		return err
	}
	obj.SetGeneration(old.GetGeneration())
	if f := rules.PrepareUpdate; f != nil {
		f(ctx, obj, old)
	}
	keepMetadata(obj, old)
	if rules.Generation && s.specChanged(obj, old) {
		obj.SetGeneration(old.GetGeneration() + 1)
	}
	if f := rules.Allocate; f != nil {
		if err := f(ctx, reader{s.reg}, obj, old); err != nil {
			return err
		}
	}
	return s.validateUpdate(ctx, rules, obj, old)
}

// defaults returns the defaulting of a subresource's rules, or else the
// resource's.
func (s *Store) defaults(rules *Rules) func(Object) {
	if rules.Default != nil {
		return rules.Default
	}
	return s.res.Rules.Default
}

func (s *Store) checkVersion(obj, old Object) error {
	version := obj.GetResourceVersion()
	if version == "" || version == "0" {
		if s.res.Rules.AllowUnconditionalUpdate {
			obj.SetResourceVersion(old.GetResourceVersion())
			return nil
		}
		return apierrors.NewInvalid(schema.GroupKind{Group: s.gr.Group, Kind: s.gr.Resource}, obj.GetName(), field.ErrorList{
			field.Invalid(metadataPath.Child("resourceVersion"), 0, "must be specified for an update"),
		})
	}
	if version != old.GetResourceVersion() {
		if _, err := strconv.ParseUint(version, 10, 64); err != nil {
			return apierrors.NewBadRequest(fmt.Sprintf("metadata.resourceVersion: %v", err))
		}
		return apierrors.NewConflict(s.gr, obj.GetName(), errOptimisticLock)
	}
	return nil
}

func (s *Store) uidConflict(name string, want, have types.UID) error {
	return apierrors.NewConflict(s.gr, name, fmt.Errorf("Precondition failed: UID in precondition: %v, UID in object meta: %v", want, have))
}

func (s *Store) createOnUpdate(ctx context.Context, name string, change Change, opts UpdateOptions) (Written, error) {
	if opts.UID != "" {
		return Written{}, s.uidConflict(name, opts.UID, "")
	}
	obj, err := change(ctx, nil)
	if err != nil {
		return Written{}, err
	}
	if opts.Creating != nil {
		if err := opts.Creating(ctx); err != nil {
			return Written{}, err
		}
	}
	obj.SetResourceVersion("")
	w, err := s.Create(ctx, obj, opts.CreateHooks, opts.DryRun)
	if apierrors.IsAlreadyExists(err) {
		// Another one was faster: start over as an update of what it made.
		item, _, getErr := s.reg.backend.Get(ctx, s.key(obj.GetNamespace(), name), store.ReadOptions{})
		if getErr == nil {
			return Written{}, &store.ConflictError{Current: item}
		}
	}
	return w, err
}

// deletionDone tells that the update took away the last thing that a requested
// deletion was waiting for.
func (s *Store) deletionDone(obj, old Object) bool {
	if old.GetDeletionTimestamp() == nil || len(obj.GetFinalizers()) > 0 {
		return false
	}
	if g := old.GetDeletionGracePeriodSeconds(); g != nil && *g != 0 {
		return false
	}
	return s.res.Rules.HoldsDeletion == nil || !s.res.Rules.HoldsDeletion(obj)
}

func (s *Store) removeOnUpdate(ctx context.Context, key string, revision int64, obj, old Object, dryRun bool) (Written, error) {
	if !dryRun {
		op := store.Op{Key: key, Expect: revision, Volatile: s.res.TTL != nil}
		if _, err := s.commit(ctx, op, nil, old); err != nil {
			return Written{}, err
		}
	}
	return Written{Object: obj, Deleted: true}, nil
}

// replace writes obj over the item that old was decoded from. What does not
// change anything is not written.
func (s *Store) replace(ctx context.Context, key string, item store.Item, obj, old Object, dryRun bool) (Written, error) {
	value, err := s.codec.encode(obj)
	if err != nil {
		return Written{}, apierrors.NewInternalError(err)
	}
	if bytes.Equal(value, item.Value) {
		return s.written(obj, value, item.Revision), nil
	}
	if dryRun {
		return s.written(obj, nil, item.Revision), nil
	}
	op := store.Op{Key: key, Value: value, Expect: item.Revision, Volatile: s.volatile(obj, old)}
	revision, err := s.commit(ctx, op, obj, old)
	if err != nil {
		return Written{}, err
	}
	return s.written(obj, value, revision), nil
}

// Modify implements Objects.
func (s *Store) Modify(ctx context.Context, namespace, name string, rules *Rules, change func(Object) error) (Object, error) {
	w, err := s.Update(ctx, namespace, name, func(_ context.Context, old Object) (Object, error) {
		obj := old.DeepCopyObject().(Object)
		return obj, change(obj)
	}, Hooks{}, UpdateOptions{Rules: rules})
	return w.Object, err
}
