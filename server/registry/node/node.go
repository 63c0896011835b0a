// Package node describes the resources of the API group node.k8s.io: runtime
// classes.
package node

import (
	"context"

	corev1 "k8s.io/api/core/v1"
	nodev1 "k8s.io/api/node/v1"
	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	utilvalidation "k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	metav1validation "k8s.io/apimachinery/pkg/apis/meta/v1/validation"

	"skiff/server/registry"
	"skiff/server/registry/check"
	"skiff/server/registry/podtemplate"
	"skiff/server/registry/table"
	"skiff/server/registry/untagged"
)

// Group is the API group's name.
const Group = nodev1.GroupName

// RuntimeClasses returns the resource runtimeclasses.
func RuntimeClasses() *registry.Resource {
	return &registry.Resource{
		Group: Group, Plural: "runtimeclasses", Singular: "runtimeclass", Kind: "RuntimeClass",
		Versions: []registry.Version{{Name: "v1", New: registry.New[nodev1.RuntimeClass](), NewList: registry.New[nodev1.RuntimeClassList]()}},
		Rules: registry.Rules{
			FreeFinalizers: true,
			Validate: registry.Validate(func(_ context.Context, c *nodev1.RuntimeClass) field.ErrorList {
				return validateRuntimeClass(c)
			}),
			ValidateUpdate: registry.ValidateUpdate(func(_ context.Context, c, old *nodev1.RuntimeClass) field.ErrorList {
				return append(validateRuntimeClass(c), apivalidation.ValidateImmutableField(c.Handler, old.Handler, field.NewPath("handler"))...)
			}),
			CreateOnUpdate: true,
		},
		Columns: []table.Column{
			table.Name(),
			table.String("Handler", table.Doc(nodev1.RuntimeClass{}, "handler")),
			table.Age(),
		},
		Cells: registry.Cells(func(c *nodev1.RuntimeClass) []any {
			return []any{c.Name, c.Handler, table.Since(c.CreationTimestamp)}
		}),
	}
}

func validateRuntimeClass(c *nodev1.RuntimeClass) field.ErrorList {
	var errs field.ErrorList
	if handler := field.NewPath("handler"); c.Handler == "" {
		errs = append(errs, field.Required(handler, ""))
	} else {
		errs = append(errs, check.Messages(c.Handler, utilvalidation.IsDNS1123Label(c.Handler), handler)...)
	}
	if c.Overhead != nil {
		errs = append(errs, podtemplate.ValidateOverhead(c.Overhead.PodFixed, field.NewPath("overhead"), podtemplate.Options{})...)
	}
	if s := c.Scheduling; s != nil {
		fld := field.NewPath("scheduling")
		if s.NodeSelector != nil {
			errs = append(errs, metav1validation.ValidateLabels(s.NodeSelector, fld.Child("nodeSelector"))...)
		}
		errs = append(errs, validateTolerations(s.Tolerations, fld.Child("tolerations"))...)
	}
	return errs
}

func validateTolerations(list []corev1.Toleration, fld *field.Path) field.ErrorList {
	errs := podtemplate.ValidateTolerations(list, fld, podtemplate.Options{})
	seen := map[corev1.Toleration]bool{}
	for i, t := range list {
		key := corev1.Toleration{Key: t.Key, Operator: t.Operator, Value: t.Value, Effect: t.Effect}
		if seen[key] {
			errs = append(errs, field.Duplicate(fld.Index(i), untagged.Value(t)))
		}
		seen[key] = true
	}
	return errs
}
