package registry

import (
	"context"
	"errors"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/uuid"

	"skiff/store"
)

// errClaimTaken is wrapped by the conflict of a claim that another object holds.
var errClaimTaken = errors.New("claim is taken")

type claimError struct{ error }

func (e claimError) Unwrap() error        { return e.error }
func (e claimError) Is(target error) bool { return target == errClaimTaken }

// commit writes an object with the claims that it makes and gives up, and
// returns its revision. obj is nil if it is removed, old if it is created.
func (s *Store) commit(ctx context.Context, op store.Op, obj, old Object) (int64, error) {
	if s.res.Rules.Claims == nil {
		revisions, err := s.reg.backend.Txn(ctx, op)
		if err != nil {
			return 0, err
		}
		return revisions[0], nil
	}
	ops, made, err := s.claimOps([]store.Op{op}, obj, old)
	if err != nil {
		return 0, err
	}
	revisions, err := s.reg.backend.Txn(ctx, ops...)
	var conflict *store.ConflictError
	if errors.As(err, &conflict) && conflict.Op > 0 && conflict.Op <= len(made) {
		claim := made[conflict.Op-1]
		return 0, claimError{apierrors.NewConflict(s.gr, holderName(obj, old), fmt.Errorf("%s: %s", claim.Key, claim.What))}
	}
	if err != nil {
		return 0, err
	}
	return revisions[0], nil
}

func holderName(obj, old Object) string {
	if obj != nil {
		return obj.GetName()
	}
	return old.GetName()
}

// claimOps appends to ops what the change from old to obj means for claims: first
// the made ones, which it returns, then those given up.
func (s *Store) claimOps(ops []store.Op, obj, old Object) ([]store.Op, []Claim, error) {
	before, after := s.claims(old), s.claims(obj)
	var made []Claim
	for _, c := range after {
		if hasClaim(before, c.Key) {
			continue
		}
		value, err := s.claimValue(c, obj)
		if err != nil {
			return nil, nil, err
		}
		made = append(made, c)
		ops = append(ops, store.Op{Key: c.Key, Value: value})
	}
	for _, c := range before {
		if !hasClaim(after, c.Key) {
			ops = append(ops, store.Op{Key: c.Key, Expect: store.AnyRevision})
		}
	}
	return ops, made, nil
}

func (s *Store) claims(obj Object) []Claim {
	if obj == nil || s.res.Rules.Claims == nil {
		return nil
	}
	return s.res.Rules.Claims(obj)
}

func hasClaim(claims []Claim, key string) bool {
	for _, c := range claims {
		if c.Key == key {
			return true
		}
	}
	return false
}

func (s *Store) claimValue(c Claim, holder Object) ([]byte, error) {
	if c.Object == nil {
		return []byte(s.key(holder.GetNamespace(), holder.GetName())), nil
	}
	if c.Object.GetUID() == "" {
		c.Object.SetUID(types.UID(uuid.NewUUID()))
		c.Object.SetCreationTimestamp(s.reg.timestamp())
	}
	return codecFor(c.Object).encode(c.Object)
}
