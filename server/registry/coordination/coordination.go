// Package coordination describes the resources of the API group
// coordination.k8s.io: leases.
package coordination

import (
	"context"

	coordinationv1 "k8s.io/api/coordination/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"skiff/server/registry"
	"skiff/server/registry/table"
)

// Group is the API group's name.
const Group = coordinationv1.GroupName

// Leases returns the resource leases.
func Leases() *registry.Resource {
	return &registry.Resource{
		Group: Group, Plural: "leases", Singular: "lease", Kind: "Lease", Namespaced: true,
		Versions: []registry.Version{{Name: "v1", New: registry.New[coordinationv1.Lease](), NewList: registry.New[coordinationv1.LeaseList]()}},
		Rules: registry.Rules{
			FreeFinalizers: true,
			PrepareCreate: registry.Prepare(func(_ context.Context, l *coordinationv1.Lease) {
				l.Spec.Strategy, l.Spec.PreferredHolder = nil, nil
			}),
			PrepareUpdate: registry.PrepareUpdate(dropCoordinatedElection),
			Validate: registry.Validate(func(_ context.Context, l *coordinationv1.Lease) field.ErrorList {
				return validateSpec(&l.Spec, field.NewPath("spec"))
			}),
			ValidateUpdate: registry.ValidateUpdate(func(_ context.Context, l, _ *coordinationv1.Lease) field.ErrorList {
				return validateSpec(&l.Spec, field.NewPath("spec"))
			}),
			CreateOnUpdate: true,
		},
		Volatile: renewal,
		Columns: []table.Column{
			table.Name(),
			table.String("Holder", table.Doc(coordinationv1.LeaseSpec{}, "holderIdentity")),
			table.Age(),
		},
		Cells: registry.Cells(func(l *coordinationv1.Lease) []any {
			return []any{l.Name, table.Or(l.Spec.HolderIdentity, ""), table.Since(l.CreationTimestamp)}
		}),
	}
}

// renewal tells whether a write only says that the holder is still there. Losing
// that with the power is no harm: after it, all holders renew or have expired. A
// change of the holder is kept, or two of them could believe that they lead.
func renewal(obj, old registry.Object) bool {
	if old == nil {
		return false
	}
	a, b := obj.(*coordinationv1.Lease), old.(*coordinationv1.Lease)
	return table.Or(a.Spec.HolderIdentity, "") == table.Or(b.Spec.HolderIdentity, "") && a.DeletionTimestamp == nil
}

// dropCoordinatedElection removes the fields of coordinated leader election, which
// is off, unless they are in use.
func dropCoordinatedElection(_ context.Context, l, old *coordinationv1.Lease) {
	if old.Spec.Strategy == nil {
		l.Spec.Strategy = nil
	}
	if old.Spec.PreferredHolder == nil {
		l.Spec.PreferredHolder = nil
	}
}

func validateSpec(spec *coordinationv1.LeaseSpec, fld *field.Path) field.ErrorList {
	var errs field.ErrorList
	if n := spec.LeaseDurationSeconds; n != nil && *n <= 0 {
		errs = append(errs, field.Invalid(fld.Child("leaseDurationSeconds"), n, "must be greater than 0"))
	}
	if n := spec.LeaseTransitions; n != nil && *n < 0 {
		errs = append(errs, field.Invalid(fld.Child("leaseTransitions"), n, "must be greater than or equal to 0"))
	}
	if table.Or(spec.PreferredHolder, "") != "" && table.Or(spec.Strategy, "") == "" {
		errs = append(errs, field.Forbidden(fld.Child("preferredHolder"), "may only be specified if `strategy` is defined"))
	}
	return errs
}
