package apps

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"skiff/server/registry"
	"skiff/server/registry/table"
)

// ControllerRevisions returns the resource controllerrevisions.
func ControllerRevisions() *registry.Resource {
	return &registry.Resource{
		Group: Group, Plural: "controllerrevisions", Singular: "controllerrevision", Kind: "ControllerRevision", Namespaced: true,
		Versions: []registry.Version{{Name: "v1", New: registry.New[appsv1.ControllerRevision](), NewList: registry.New[appsv1.ControllerRevisionList]()}},
		Rules: registry.Rules{
			Validate:                 registry.Validate(validateControllerRevision),
			ValidateUpdate:           registry.ValidateUpdate(validateControllerRevisionUpdate),
			AllowUnconditionalUpdate: true,
		},
		Columns: []table.Column{
			table.Name(),
			table.String("Controller", "Controller of the object"),
			table.String("Revision", table.Doc(appsv1.ControllerRevision{}, "revision")),
			table.Age(),
		},
		Cells: registry.Cells(func(r *appsv1.ControllerRevision) []any {
			return []any{r.Name, controllerName(r), r.Revision, table.Since(r.CreationTimestamp)}
		}),
	}
}

func controllerName(r *appsv1.ControllerRevision) string {
	ref := metav1.GetControllerOf(r)
	if ref == nil {
		return "<none>"
	}
	gv, err := schema.ParseGroupVersion(ref.APIVersion)
	if err != nil {
		return ref.Name
	}
	kind := gv.WithKind(ref.Kind).GroupKind()
	return strings.ToLower(kind.String()) + "/" + ref.Name
}

func validateControllerRevision(_ context.Context, r *appsv1.ControllerRevision) field.ErrorList {
	errs := apivalidation.ValidateNonnegativeField(r.Revision, field.NewPath("revision"))
	data := field.NewPath("data")
	var v any
	if r.Data.Raw == nil {
		return append(errs, field.Required(data, "data is mandatory"))
	}
	if err := json.Unmarshal(r.Data.Raw, &v); err != nil {
		return append(errs, field.Invalid(data, "<value omitted>", fmt.Sprintf("error parsing data: %v", err)))
	}
	if v == nil {
		return append(errs, field.Required(data, "data is mandatory"))
	}
	if _, ok := v.(map[string]any); !ok {
		return append(errs, field.Required(data, "data must be a valid JSON object"))
	}
	return errs
}

func validateControllerRevisionUpdate(_ context.Context, r, old *appsv1.ControllerRevision) field.ErrorList {
	errs := apivalidation.ValidateNonnegativeField(r.Revision, field.NewPath("revision"))
	return append(errs, apivalidation.ValidateImmutableField(r.Data, old.Data, field.NewPath("data"))...)
}
