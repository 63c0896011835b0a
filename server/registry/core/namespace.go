package core

import (
	"context"
	"slices"

	corev1 "k8s.io/api/core/v1"
	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"skiff/server/registry"
	"skiff/server/registry/podtemplate"
	"skiff/server/registry/table"
)

// namespaces are deleted in two steps: spec.finalizers hold them until their
// content is gone and the namespace controller takes its finalizer away through
// namespaces/finalize.
func namespaces() *registry.Resource {
	r := resourceOf[corev1.Namespace, corev1.NamespaceList]("namespaces", "Namespace", "ns")
	r.Namespaced = false
	r.Verbs = []string{"create", "delete", "get", "list", "patch", "update", "watch"}
	r.Rules.ValidateName = apivalidation.ValidateNamespaceName
	r.Rules.Default = registry.Default(func(ns *corev1.Namespace) {
		labelWithName(ns)
		if ns.Status.Phase == "" {
			ns.Status.Phase = corev1.NamespaceActive
		}
	})
	r.Rules.PrepareCreate = registry.Prepare(func(_ context.Context, ns *corev1.Namespace) {
		labelWithName(ns) // the name may have been generated since the defaults
		ns.Status = corev1.NamespaceStatus{Phase: corev1.NamespaceActive}
		if !slices.Contains(ns.Spec.Finalizers, corev1.FinalizerKubernetes) {
			ns.Spec.Finalizers = append(ns.Spec.Finalizers, corev1.FinalizerKubernetes)
		}
	})
	r.Rules.PrepareUpdate = registry.PrepareUpdate(func(_ context.Context, ns, old *corev1.Namespace) {
		ns.Spec.Finalizers, ns.Status = old.Spec.Finalizers, old.Status
	})
	r.Rules.Validate = registry.Validate(func(_ context.Context, ns *corev1.Namespace) field.ErrorList {
		return validateNamespaceFinalizers(ns, func(int) *field.Path { return path("spec", "finalizers") })
	})
	r.Rules.ValidateUpdate = registry.ValidateUpdate(func(_ context.Context, ns, _ *corev1.Namespace) field.ErrorList {
		return validateNamespaceFinalizers(ns, func(int) *field.Path { return path("spec", "finalizers") })
	})
	r.Rules.HoldsDeletion = func(obj registry.Object) bool { return len(obj.(*corev1.Namespace).Spec.Finalizers) > 0 }
	r.Rules.PrepareDelete = func(obj registry.Object) { obj.(*corev1.Namespace).Status.Phase = corev1.NamespaceTerminating }
	r.FieldNames = []string{"status.phase"}
	r.WireFields = r.FieldNames
	r.Fields = func(obj registry.Object) fields.Set {
		ns := obj.(*corev1.Namespace)
		return fields.Set{"status.phase": string(ns.Status.Phase)}
	}
	r.Columns = []table.Column{table.Name(), table.String("Status", "The status of the namespace"), table.Age()}
	r.Cells = registry.Cells(func(ns *corev1.Namespace) []any {
		return []any{ns.Name, string(ns.Status.Phase), table.Since(ns.CreationTimestamp)}
	})
	r.Subresources = []registry.Subresource{
		{Name: "status", Update: &registry.Rules{
			PrepareUpdate:  registry.PrepareUpdate(func(_ context.Context, ns, old *corev1.Namespace) { ns.Spec = old.Spec }),
			ValidateUpdate: registry.ValidateUpdate(validateNamespaceStatus),
		}},
		{Name: "finalize", Verbs: []string{"update"}, Update: &registry.Rules{
			PrepareUpdate: registry.PrepareUpdate(func(_ context.Context, ns, old *corev1.Namespace) { ns.Status = old.Status }),
			ValidateUpdate: registry.ValidateUpdate(func(_ context.Context, ns, _ *corev1.Namespace) field.ErrorList {
				return validateNamespaceFinalizers(ns, path("spec", "finalizers").Index)
			}),
		}},
	}
	return r
}

// labelWithName makes namespaces selectable by name (KEP-2161).
func labelWithName(ns *corev1.Namespace) {
	if ns.Name == "" {
		return
	}
	if ns.Labels == nil {
		ns.Labels = map[string]string{}
	}
	ns.Labels[corev1.LabelMetadataName] = ns.Name
}

func validateNamespaceFinalizers(ns *corev1.Namespace, at func(int) *field.Path) field.ErrorList {
	var errs field.ErrorList
	for i, name := range ns.Spec.Finalizers {
		errs = append(errs, podtemplate.FinalizerName(string(name), at(i))...)
	}
	return errs
}

func validateNamespaceStatus(_ context.Context, ns, _ *corev1.Namespace) field.ErrorList {
	at, phase := path("status", "Phase"), ns.Status.Phase
	switch {
	case ns.DeletionTimestamp.IsZero() && phase != corev1.NamespaceActive:
		return field.ErrorList{field.Invalid(at, phase, "may only be 'Active' if `deletionTimestamp` is empty")}
	case !ns.DeletionTimestamp.IsZero() && phase != corev1.NamespaceTerminating:
		return field.ErrorList{field.Invalid(at, phase, "may only be 'Terminating' if `deletionTimestamp` is not empty")}
	}
	return nil
}
