package registry

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/utils/ptr"

	"skiff/store"
)

// deletion is what a delete does to one object.
type deletion int

const (
	// pending: the object is going already, and nothing changes.
	pending deletion = iota
	// mark: the object is written with a deletion timestamp and stays for now.
	mark
	// remove: the object goes at once.
	remove
)

// Remove deletes an object as far as its grace period and finalizers allow.
func (s *Store) Remove(ctx context.Context, namespace, name string, h Hooks, opts *metav1.DeleteOptions) (Written, error) {
	key := s.key(namespace, name)
	item, _, err := s.reg.backend.Get(ctx, key, store.ReadOptions{})
	if err != nil {
		return Written{}, s.apiError(err, name)
	}
	for {
		w, err := s.removeOnce(ctx, key, item, h, opts.DeepCopy())
		var conflict *store.ConflictError
		if !errors.As(err, &conflict) {
			return w, s.apiError(err, name)
		}
		if item = conflict.Current; item.Revision == 0 {
			return Written{}, apierrors.NewNotFound(s.gr, name)
		}
		if ctx.Err() != nil {
			return Written{}, s.apiError(ctx.Err(), name)
		}
	}
}

func (s *Store) removeOnce(ctx context.Context, key string, item store.Item, h Hooks, opts *metav1.DeleteOptions) (Written, error) {
	obj, err := s.Decode(key, item.Value, item.Revision)
	if err != nil {
		return Written{}, apierrors.NewInternalError(err)
	}
	what, err := s.planDeletion(obj, opts)
	if err != nil || what == pending {
		return Written{Object: obj, Revision: item.Revision}, err
	}
	old, err := s.Decode(key, item.Value, item.Revision)
	if err != nil {
		return Written{}, apierrors.NewInternalError(err)
	}
	if err := h.validate(ctx, nil, old); err != nil {
		return Written{}, err
	}
	dryRun := len(opts.DryRun) > 0
	if what == mark {
		w, err := s.replace(ctx, key, item, obj, old, dryRun)
		return w, err
	}
	if !dryRun {
		op := store.Op{Key: key, Expect: item.Revision, Volatile: s.res.TTL != nil}
		if _, err := s.commit(ctx, op, nil, old); err != nil {
			return Written{}, err
		}
	}
	return Written{Object: obj, Revision: item.Revision, Deleted: true}, nil
}

// planDeletion decides what a delete does to obj and marks obj accordingly.
func (s *Store) planDeletion(obj Object, opts *metav1.DeleteOptions) (deletion, error) {
	if err := s.checkPreconditions(obj, opts.Preconditions); err != nil {
		return pending, err
	}
	if g := opts.GracePeriodSeconds; g != nil && *g < 0 {
		opts.GracePeriodSeconds = ptr.To[int64](1)
	}
	begins := obj.GetDeletionTimestamp() == nil
	graceful, going := s.grace(obj, opts)
	if going {
		return pending, nil
	}
	s.setPropagation(obj, opts)
	held := len(obj.GetFinalizers()) > 0 || s.res.Rules.HoldsDeletion != nil && s.res.Rules.HoldsDeletion(obj)
	if begins && s.res.Rules.PrepareDelete != nil {
		s.res.Rules.PrepareDelete(obj)
	}
	switch {
	case held && !graceful:
		s.markDeleted(obj)
		return mark, nil
	case held, graceful && *opts.GracePeriodSeconds > 0:
		return mark, nil
	}
	return remove, nil
}

func (s *Store) checkPreconditions(obj Object, p *metav1.Preconditions) error {
	if p == nil {
		return nil
	}
	gr := schema.GroupResource{Group: s.gr.Group, Resource: s.res.Kind}
	if p.UID != nil && *p.UID != obj.GetUID() {
		return apierrors.NewConflict(gr, obj.GetName(), fmt.Errorf("the UID in the precondition (%s) does not match the UID in record (%s). "+
			"The object might have been deleted and then recreated", *p.UID, obj.GetUID()))
	}
	if p.ResourceVersion != nil && *p.ResourceVersion != obj.GetResourceVersion() {
		return apierrors.NewConflict(gr, obj.GetName(), fmt.Errorf("the ResourceVersion in the precondition (%s) does not match the ResourceVersion in record (%s). "+
			"The object might have been modified", *p.ResourceVersion, obj.GetResourceVersion()))
	}
	return nil
}

// grace begins or shortens a graceful deletion. going tells that a deletion is
// under way which opts do not make shorter.
func (s *Store) grace(obj Object, opts *metav1.DeleteOptions) (graceful, going bool) {
	if s.res.Rules.Grace == nil {
		return false, false
	}
	if obj.GetDeletionTimestamp() != nil {
		return s.shortenGrace(obj, opts)
	}
	period := s.res.Rules.Grace(obj, opts)
	opts.GracePeriodSeconds = &period
	deleted := metav1.NewTime(s.reg.timestamp().Add(time.Duration(period) * time.Second))
	obj.SetDeletionTimestamp(&deleted)
	obj.SetDeletionGracePeriodSeconds(&period)
	bumpGeneration(obj)
	return true, false
}

func (s *Store) shortenGrace(obj Object, opts *metav1.DeleteOptions) (graceful, going bool) {
	have := obj.GetDeletionGracePeriodSeconds()
	if have == nil || *have == 0 {
		return false, false
	}
	if opts.GracePeriodSeconds == nil || *opts.GracePeriodSeconds >= *have {
		return false, true
	}
	period := *opts.GracePeriodSeconds
	deleted := metav1.NewTime(obj.GetDeletionTimestamp().Add(time.Duration(period-*have) * time.Second))
	if now := s.reg.timestamp(); deleted.Before(&now) {
		// A deadline never lies in the past; whoever confirms the deletion gets
		// the shortest grace there is.
		deleted = now
		if period != 0 {
			period = 1
		}
	}
	obj.SetDeletionTimestamp(&deleted)
	obj.SetDeletionGracePeriodSeconds(&period)
	return true, false
}

// markDeleted sets the deletion timestamp of an object that has no grace period
// but is held by finalizers.
func (s *Store) markDeleted(obj Object) {
	now := s.reg.timestamp()
	if t := obj.GetDeletionTimestamp(); t == nil {
		bumpGeneration(obj)
		obj.SetDeletionTimestamp(&now)
	} else if t.After(now.Time) {
		obj.SetDeletionTimestamp(&now)
	}
	if s.res.Rules.HoldsDeletion == nil { // namespaces end in phases instead
		obj.SetDeletionGracePeriodSeconds(ptr.To[int64](0))
	}
}

func bumpGeneration(obj Object) {
	if g := obj.GetGeneration(); g > 0 {
		obj.SetGeneration(g + 1)
	}
}

// setPropagation gives obj the finalizer by which the garbage collector orphans
// the dependents or deletes them first.
func (s *Store) setPropagation(obj Object, opts *metav1.DeleteOptions) {
	want := s.propagation(obj, opts)
	have := obj.GetFinalizers()
	if want == "" && len(have) == 0 {
		return
	}
	kept := slices.DeleteFunc(slices.Clone(have), func(f string) bool {
		return f == metav1.FinalizerOrphanDependents || f == metav1.FinalizerDeleteDependents
	})
	if want != "" {
		kept = append(kept, want)
	}
	if len(kept) != len(have) || want != "" && !slices.Contains(have, want) {
		obj.SetFinalizers(kept)
	}
}

func (s *Store) propagation(obj Object, opts *metav1.DeleteOptions) (finalizer string) {
	if s.res.TTL != nil {
		return "" // objects that expire have no dependents
	}
	//nolint:staticcheck // old clients still send orphanDependents
	if orphan := opts.OrphanDependents; orphan != nil {
		if *orphan {
			return metav1.FinalizerOrphanDependents
		}
		return ""
	}
	policy := s.res.Rules.DefaultPropagation
	if opts.PropagationPolicy != nil {
		policy = *opts.PropagationPolicy
	} else {
		for _, f := range obj.GetFinalizers() {
			if f == metav1.FinalizerOrphanDependents || f == metav1.FinalizerDeleteDependents {
				return f
			}
		}
	}
	switch policy {
	case metav1.DeletePropagationOrphan:
		return metav1.FinalizerOrphanDependents
	case metav1.DeletePropagationForeground:
		return metav1.FinalizerDeleteDependents
	}
	return ""
}

// Delete implements Objects.
func (s *Store) Delete(ctx context.Context, namespace, name string, opts *metav1.DeleteOptions) (runtime.Object, error) {
	if opts == nil {
		opts = &metav1.DeleteOptions{}
	}
	w, err := s.Remove(ctx, namespace, name, Hooks{}, opts)
	if err != nil {
		return nil, err
	}
	return s.Answer(w), nil
}

// Answer is the response to a delete.
func (s *Store) Answer(w Written) runtime.Object {
	full := s.res.ReturnsDeleted || s.res.Rules.Grace != nil || s.res.Rules.HoldsDeletion != nil
	if !w.Deleted || full {
		return w.Object
	}
	return &metav1.Status{
		Status: metav1.StatusSuccess,
		Details: &metav1.StatusDetails{
			Name:  w.Object.GetName(),
			Group: s.gr.Group,
			Kind:  s.gr.Resource,
			UID:   w.Object.GetUID(),
		},
	}
}

const (
	// collectionBatch and collectionBytes bound one transaction of
	// RemoveCollection.
	collectionBatch = 500
	collectionBytes = 1 << 20
)

// RemoveCollection deletes what a list returns, in few transactions, and returns
// the list. It is not atomic. hooks makes the admission of one object.
func (s *Store) RemoveCollection(ctx context.Context, list ListOptions, hooks func(name string) Hooks, opts *metav1.DeleteOptions) (List, error) {
	result, err := s.List(ctx, list)
	if err != nil {
		return List{}, err
	}
	items := result.Items
	for len(items) > 0 {
		n, err := s.removeBatch(ctx, items, hooks, opts)
		if err != nil {
			return List{}, err
		}
		items = items[n:]
	}
	return result, nil
}

// removeBatch deletes the first of items and returns how many.
func (s *Store) removeBatch(ctx context.Context, items []store.Item, hooks func(string) Hooks, opts *metav1.DeleteOptions) (int, error) {
	var ops []store.Op
	n, size := 0, 0
	for ; n < len(items) && len(ops) < collectionBatch && size < collectionBytes; n++ {
		var err error
		before := len(ops)
		if ops, err = s.removeOps(ctx, ops, items[n], hooks, opts.DeepCopy()); err != nil {
			return 0, err
		}
		for _, op := range ops[before:] {
			size += len(op.Key) + len(op.Value)
		}
	}
	if len(ops) == 0 || len(opts.DryRun) > 0 {
		return n, nil
	}
	_, err := s.reg.backend.Txn(ctx, ops...)
	var conflict *store.ConflictError
	if !errors.As(err, &conflict) {
		return n, s.apiError(err, "")
	}
	// Some of them changed meanwhile: each for itself.
	for _, item := range items[:n] {
		namespace, name := s.Name(item.Key)
		_, err := s.Remove(ctx, namespace, name, hooks(name), opts)
		if err != nil && !apierrors.IsNotFound(err) {
			return 0, err
		}
	}
	return n, nil
}

// removeOps appends the operations that delete one item.
func (s *Store) removeOps(ctx context.Context, ops []store.Op, item store.Item, hooks func(string) Hooks, opts *metav1.DeleteOptions) ([]store.Op, error) {
	obj, err := s.Decode(item.Key, item.Value, item.Revision)
	if err != nil {
		return nil, apierrors.NewInternalError(err)
	}
	what, err := s.planDeletion(obj, opts)
	if err != nil || what == pending {
		return ops, err
	}
	h := hooks(obj.GetName())
	var old Object
	if h.Validate != nil || s.res.Rules.Claims != nil || what == mark {
		if old, err = s.Decode(item.Key, item.Value, item.Revision); err != nil {
			return nil, apierrors.NewInternalError(err)
		}
	}
	if err := h.validate(ctx, nil, old); err != nil {
		return nil, err
	}
	if what == mark {
		value, err := s.codec.encode(obj)
		if err != nil {
			return nil, apierrors.NewInternalError(err)
		}
		if bytes.Equal(value, item.Value) {
			return ops, nil
		}
		return append(ops, store.Op{Key: item.Key, Value: value, Expect: item.Revision, Volatile: s.volatile(obj, old)}), nil
	}
	ops = append(ops, store.Op{Key: item.Key, Expect: item.Revision, Volatile: s.res.TTL != nil})
	if s.res.Rules.Claims != nil {
		ops, _, err = s.claimOps(ops, nil, old)
	}
	return ops, err
}
