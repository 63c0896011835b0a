// Package scheduling describes the resources of the API group scheduling.k8s.io:
// priority classes.
package scheduling

import (
	"context"
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	schedulingv1 "k8s.io/api/scheduling/v1"
	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"skiff/server/registry"
	"skiff/server/registry/table"
)

// Group is the API group's name.
const Group = schedulingv1.GroupName

const (
	systemPrefix = "system-"
	// highestUserPriority is the highest value that users can define.
	highestUserPriority int32 = 1_000_000_000
)

// systemClasses are the classes of the system, and their values.
var systemClasses = map[string]int32{
	"system-cluster-critical": 2_000_000_000,
	"system-node-critical":    2_000_001_000,
}

// PriorityClasses returns the resource priorityclasses.
func PriorityClasses() *registry.Resource {
	return &registry.Resource{
		Group: Group, Plural: "priorityclasses", Singular: "priorityclass", Kind: "PriorityClass",
		ShortNames: []string{"pc"},
		Versions:   []registry.Version{{Name: "v1", New: registry.New[schedulingv1.PriorityClass](), NewList: registry.New[schedulingv1.PriorityClassList]()}},
		Rules: registry.Rules{
			Default: registry.Default(func(p *schedulingv1.PriorityClass) {
				if p.PreemptionPolicy == nil {
					policy := corev1.PreemptLowerPriority
					p.PreemptionPolicy = &policy
				}
			}),
			PrepareCreate:            registry.Prepare(func(_ context.Context, p *schedulingv1.PriorityClass) { p.Generation = 1 }),
			Validate:                 registry.Validate(validatePriorityClass),
			ValidateUpdate:           registry.ValidateUpdate(validatePriorityClassUpdate),
			AllowUnconditionalUpdate: true,
		},
		Columns: []table.Column{
			table.Name(),
			table.Integer("Value", table.Doc(schedulingv1.PriorityClass{}, "value")),
			table.Boolean("Global-Default", table.Doc(schedulingv1.PriorityClass{}, "globalDefault")),
			table.Age(),
			table.String("PreemptionPolicy", table.Doc(schedulingv1.PriorityClass{}, "preemptionPolicy")),
		},
		Cells: registry.Cells(func(p *schedulingv1.PriorityClass) []any {
			return []any{p.Name, int64(p.Value), p.GlobalDefault, table.Since(p.CreationTimestamp), string(table.Or(p.PreemptionPolicy, ""))}
		}),
	}
}

func validatePriorityClass(_ context.Context, p *schedulingv1.PriorityClass) field.ErrorList {
	var errs field.ErrorList
	if strings.HasPrefix(p.Name, systemPrefix) {
		if err := checkSystemClass(p); err != nil {
			errs = append(errs, field.Forbidden(field.NewPath("metadata", "name"), "priority class names with '"+systemPrefix+"' prefix are reserved for system use only. error: "+err.Error()))
		}
	} else if p.Value > highestUserPriority {
		errs = append(errs, field.Forbidden(field.NewPath("value"), fmt.Sprintf("maximum allowed value of a user defined priority is %v", highestUserPriority)))
	}
	if p.PreemptionPolicy == nil {
		return errs
	}
	fld := field.NewPath("preemptionPolicy")
	switch *p.PreemptionPolicy {
	case corev1.PreemptLowerPriority, corev1.PreemptNever:
	case "":
		errs = append(errs, field.Required(fld, ""))
	default:
		errs = append(errs, field.NotSupported(fld, p.PreemptionPolicy, []corev1.PreemptionPolicy{corev1.PreemptLowerPriority, corev1.PreemptNever}))
	}
	return errs
}

func checkSystemClass(p *schedulingv1.PriorityClass) error {
	value, ok := systemClasses[p.Name]
	switch {
	case !ok:
		return fmt.Errorf("%v is not a known system priority class", p.Name)
	case p.Value != value:
		return fmt.Errorf("value of %v PriorityClass must be %v", p.Name, value)
	case p.GlobalDefault:
		return fmt.Errorf("globalDefault of %v PriorityClass must be false", p.Name)
	}
	return nil
}

func validatePriorityClassUpdate(_ context.Context, p, old *schedulingv1.PriorityClass) field.ErrorList {
	var errs field.ErrorList
	if p.Value != old.Value {
		errs = append(errs, field.Forbidden(field.NewPath("value"), "may not be changed in an update."))
	}
	return append(errs, apivalidation.ValidateImmutableField(p.PreemptionPolicy, old.PreemptionPolicy, field.NewPath("preemptionPolicy"))...)
}
