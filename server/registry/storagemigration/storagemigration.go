// Package storagemigration describes the resources of the API group
// storagemigration.k8s.io: storage version migrations.
package storagemigration

import (
	"context"

	svmv1 "k8s.io/api/storagemigration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	metav1validation "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"skiff/server/registry"
	"skiff/server/registry/check"
	"skiff/server/registry/table"
)

// Group is the API group's name.
const Group = svmv1.GroupName

// StorageVersionMigrations returns the resource storageversionmigrations.
func StorageVersionMigrations() *registry.Resource {
	type migration = svmv1.StorageVersionMigration
	return &registry.Resource{
		Group: Group, Plural: "storageversionmigrations", Singular: "storageversionmigration", Kind: "StorageVersionMigration",
		Versions: []registry.Version{{Name: "v1", New: registry.New[migration](), NewList: registry.New[svmv1.StorageVersionMigrationList]()}},
		Rules: registry.Rules{
			PrepareCreate: registry.Prepare(func(_ context.Context, m *migration) { m.Status = svmv1.StorageVersionMigrationStatus{} }),
			PrepareUpdate: registry.PrepareUpdate(func(_ context.Context, m, old *migration) { m.Status = old.Status }),
			Validate:      registry.Validate(func(_ context.Context, m *migration) field.ErrorList { return validate(m) }),
			ValidateUpdate: registry.ValidateUpdate(func(_ context.Context, m, old *migration) field.ErrorList {
				return append(validate(m), check.Immutable(m.Spec, old.Spec, field.NewPath("spec"))...)
			}),
		},
		Columns: []table.Column{
			table.Name(),
			table.String("Resource", "GroupResource to migrate"),
			table.String("Status", "Status of the migration"),
		},
		Cells: registry.Cells(func(m *migration) []any { return []any{m.Name, m.Spec.Resource.String(), state(m)} }),
		Subresources: []registry.Subresource{{Name: "status", Update: &registry.Rules{
			PrepareUpdate: registry.PrepareUpdate(func(_ context.Context, m, old *migration) {
				m.Spec = old.Spec
				metav1.ResetObjectMetaForStatus(&m.ObjectMeta, &old.ObjectMeta)
			}),
			ValidateUpdate: registry.ValidateUpdate(func(_ context.Context, m, _ *migration) field.ErrorList {
				return metav1validation.ValidateConditions(m.Status.Conditions, field.NewPath("status", "conditions"))
			}),
		}}},
	}
}

func validate(m *svmv1.StorageVersionMigration) field.ErrorList {
	if m.Spec.Resource.Resource == "" {
		return field.ErrorList{field.Required(field.NewPath("spec", "resource", "resource"), "")}
	}
	return nil
}

func state(m *svmv1.StorageVersionMigration) string {
	state := "Unknown"
	for _, c := range m.Status.Conditions {
		if c.Status != metav1.ConditionTrue {
			continue
		}
		switch svmv1.MigrationConditionType(c.Type) {
		case svmv1.MigrationRunning, svmv1.MigrationFailed, svmv1.MigrationSucceeded:
			state = c.Type
		}
	}
	return state
}
