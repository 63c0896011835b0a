package registry

import (
	"context"
	"errors"
	"net/http"
	"strconv"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"skiff/store"
)

// maxNameAttempts is how often a name is generated before a collision is
// reported; 8 give a million names per prefix with a risk of 0.1 % (KEP-4420).
const maxNameAttempts = 8

// maxClaimAttempts bounds how often Allocate is asked anew.
const maxClaimAttempts = 16

// errVersionSet is what upstream answers a create with a resourceVersion.
var errVersionSet = &apierrors.StatusError{ErrStatus: metav1.Status{
	Status: metav1.StatusFailure, Code: http.StatusInternalServerError, Message: "resourceVersion should not be set on objects to be created",
}}

// Hooks are the steps of a write that lie outside of the resource: admission.
// Either may be nil. old is nil on create.
type Hooks struct {
	// Admit may change obj in place.
	Admit func(ctx context.Context, obj, old Object) error
	// Validate accepts or refuses. On a delete obj is nil.
	Validate func(ctx context.Context, obj, old Object) error
}

func (h Hooks) admit(ctx context.Context, obj, old Object) error {
	if h.Admit == nil {
		return nil
	}
	return h.Admit(ctx, obj, old)
}

func (h Hooks) validate(ctx context.Context, obj, old Object) error {
	if h.Validate == nil {
		return nil
	}
	return h.Validate(ctx, obj, old)
}

// Written is the outcome of a write.
type Written struct {
	// Object is as it is now, or was before it was removed; with its
	// resourceVersion.
	Object Object
	// Value is its stored form, nil where it was not at hand.
	Value    []byte
	Revision int64
	Created  bool
	// Deleted tells that the object is gone.
	Deleted bool
}

func (s *Store) written(obj Object, value []byte, revision int64) Written {
	if revision > 0 {
		obj.SetResourceVersion(strconv.FormatInt(revision, 10))
	}
	return Written{Object: obj, Value: value, Revision: revision}
}

// Create stores a new object in the namespace that it says, which is the request's:
// admission, where programs from outside have a hand in it, cannot take it to another
// one. obj is modified.
func (s *Store) Create(ctx context.Context, obj Object, h Hooks, dryRun bool) (Written, error) {
	if f := s.res.Rules.Default; f != nil {
		f(obj)
	}
	dedupOwners(ctx, obj, duplicateOwners)
	wipeSystemFields(obj)
	namespace := obj.GetNamespace()
	if err := h.admit(ctx, obj, nil); err != nil {
		return Written{}, err
	}
	if err := MatchNamespace(namespace, obj); err != nil {
		return Written{}, err
	}
	wipeSystemFields(obj)
	dedupOwners(ctx, obj, duplicateOwnersAfterAdmission)
	return s.create(ctx, obj, h, dryRun)
}

// create does what follows mutating admission.
func (s *Store) create(ctx context.Context, obj Object, h Hooks, dryRun bool) (Written, error) {
	if v := obj.GetResourceVersion(); v != "" && v != "0" {
		return Written{}, errVersionSet
	}
	obj.SetResourceVersion("")
	generated := obj.GetName() == "" && obj.GetGenerateName() != ""
	if !generated && s.res.Rules.Allocate == nil {
		return s.createOnce(ctx, obj, h, dryRun)
	}
	names, claims := 1, 1
	for {
		w, err := s.createOnce(ctx, obj.DeepCopyObject().(Object), h, dryRun)
		switch {
		case errors.Is(err, errClaimTaken) && claims < maxClaimAttempts:
			claims++
		case generated && apierrors.IsAlreadyExists(err) && names < maxNameAttempts:
			names++
		default:
			return w, err
		}
	}
}

func (s *Store) createOnce(ctx context.Context, obj Object, h Hooks, dryRun bool) (Written, error) {
	rules := &s.res.Rules
	generated := obj.GetName() == "" && obj.GetGenerateName() != ""
	s.fillSystemFields(obj)
	if f := rules.PrepareCreate; f != nil {
		f(ctx, obj)
	}
	if f := rules.Allocate; f != nil {
		if err := f(ctx, reader{s.reg}, obj, nil); err != nil {
			return Written{}, s.apiError(err, obj.GetName())
		}
	}
	if err := s.validateCreate(ctx, obj); err != nil {
		return Written{}, err
	}
	warn(ctx, rules, obj, nil)
	if err := h.validate(ctx, obj, nil); err != nil {
		return Written{}, err
	}
	value, err := s.codec.encode(obj)
	if err != nil {
		return Written{}, apierrors.NewInternalError(err)
	}
	key := s.key(obj.GetNamespace(), obj.GetName())
	if dryRun {
		current, _, err := s.reg.backend.Get(ctx, key, store.ReadOptions{})
		if err == nil {
			return Written{}, s.alreadyExists(obj.GetName(), generated, current)
		}
		if !isNotFound(err) {
			return Written{}, s.apiError(err, obj.GetName())
		}
		w := s.written(obj, nil, 0)
		w.Created = true
		return w, nil
	}
	op := store.Op{Key: key, Value: value, Volatile: s.volatile(obj, nil)}
	revision, err := s.commit(ctx, op, obj, nil)
	var conflict *store.ConflictError
	if errors.As(err, &conflict) && conflict.Op == 0 {
		return Written{}, s.alreadyExists(obj.GetName(), generated, conflict.Current)
	}
	if err != nil {
		return Written{}, s.apiError(err, obj.GetName())
	}
	w := s.written(obj, value, revision)
	w.Created = true
	return w, nil
}

func (s *Store) alreadyExists(name string, generated bool, current store.Item) error {
	err := apierrors.NewAlreadyExists(s.gr, name)
	if generated {
		err = apierrors.NewGenerateNameConflict(s.gr, name, 1)
	}
	var m metav1.ObjectMeta
	if len(current.Value) > 0 && s.codec.metadata(current.Value, &m) == nil && m.DeletionTimestamp != nil {
		err.ErrStatus.Message = "object is being deleted: " + err.ErrStatus.Message
	}
	return err
}

func (s *Store) volatile(obj, old Object) bool {
	return s.res.Volatile != nil && s.res.Volatile(obj, old)
}
