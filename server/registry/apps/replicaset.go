package apps

import (
	"context"

	appsv1 "k8s.io/api/apps/v1"
	autoscalingv1 "k8s.io/api/autoscaling/v1"
	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/utils/ptr"

	"skiff/server/registry"
	"skiff/server/registry/check"
	"skiff/server/registry/podtemplate"
	"skiff/server/registry/table"
)

// ReplicaSets returns the resource replicasets.
func ReplicaSets() *registry.Resource {
	return &registry.Resource{
		Group: Group, Plural: "replicasets", Singular: "replicaset", Kind: "ReplicaSet", Namespaced: true,
		ShortNames: []string{"rs"}, Categories: []string{"all"},
		Versions: []registry.Version{{Name: "v1", New: registry.New[appsv1.ReplicaSet](), NewList: registry.New[appsv1.ReplicaSetList]()}},
		Rules: registry.Rules{
			Default: registry.Default(defaultReplicaSet),
			PrepareCreate: registry.Prepare(func(_ context.Context, r *appsv1.ReplicaSet) {
				r.Status = appsv1.ReplicaSetStatus{}
				podtemplate.DropDisabledTemplate(&r.Spec.Template, nil)
			}),
			PrepareUpdate: registry.PrepareUpdate(func(_ context.Context, r, old *appsv1.ReplicaSet) {
				r.Status = old.Status
				podtemplate.DropDisabledTemplate(&r.Spec.Template, &old.Spec.Template)
			}),
			Generation:               true,
			Validate:                 registry.Validate(validateReplicaSet),
			ValidateUpdate:           registry.ValidateUpdate(validateReplicaSetUpdate),
			Warnings:                 replicaSetWarnings,
			AllowUnconditionalUpdate: true,
		},
		Columns: replicaSetColumns(),
		Cells:   registry.Cells(replicaSetCells),
		Subresources: []registry.Subresource{
			{Name: "status", Update: &registry.Rules{
				Default:                  registry.Default(defaultReplicaSet),
				PrepareUpdate:            registry.PrepareUpdate(func(_ context.Context, r, old *appsv1.ReplicaSet) { r.Spec = old.Spec }),
				ValidateUpdate:           registry.ValidateUpdate(validateReplicaSetStatusUpdate),
				AllowUnconditionalUpdate: true,
			}},
			{Name: "scale", Kind: scaleKind, Scale: &registry.Scale{
				Get: func(o registry.Object) (*autoscalingv1.Scale, error) {
					r := o.(*appsv1.ReplicaSet)
					return newScale(&r.ObjectMeta, r.Spec.Selector, r.Spec.Replicas, r.Status.Replicas)
				},
				Set: func(o registry.Object, n int32) { o.(*appsv1.ReplicaSet).Spec.Replicas = &n },
			}},
		},
	}
}

func defaultReplicaSet(r *appsv1.ReplicaSet) {
	podtemplate.DefaultTemplate(&r.Spec.Template)
	setDefault(&r.Spec.Replicas, 1)
}

func replicaSetWarnings(_ context.Context, obj, old registry.Object) []string {
	return podtemplate.WorkloadWarnings(obj, old, &obj.(*appsv1.ReplicaSet).Spec.Template, templatePath)
}

func validateReplicaSet(_ context.Context, r *appsv1.ReplicaSet) field.ErrorList {
	return validateReplicaSetSpec(&r.Spec, field.NewPath("spec"), podtemplate.OptionsForTemplate(&r.Spec.Template, nil))
}

func validateReplicaSetUpdate(_ context.Context, r, old *appsv1.ReplicaSet) field.ErrorList {
	spec := field.NewPath("spec")
	errs := validateReplicaSetSpec(&r.Spec, spec, podtemplate.OptionsForTemplate(&r.Spec.Template, &old.Spec.Template))
	return append(errs, apivalidation.ValidateImmutableField(r.Spec.Selector, old.Spec.Selector, spec.Child("selector"))...)
}

func validateReplicaSetSpec(spec *appsv1.ReplicaSetSpec, fld *field.Path, opts podtemplate.Options) field.ErrorList {
	errs := check.NonNegative(ptr.Deref(spec.Replicas, 0), fld.Child("replicas"))
	errs = append(errs, check.NonNegative(spec.MinReadySeconds, fld.Child("minReadySeconds"))...)
	// The message speaks of a deployment: so it has always been.
	errs = append(errs, validateSelector(spec.Selector, "deployment", fld.Child("selector"))...)
	return append(errs, validateReplicaTemplate(&spec.Template, spec.Selector, fld, opts)...)
}

func validateReplicaSetStatusUpdate(_ context.Context, r, _ *appsv1.ReplicaSet) field.ErrorList {
	s, fld := &r.Status, field.NewPath("status")
	errs := check.NonNegative(s.Replicas, fld.Child("replicas"))
	errs = append(errs, check.NonNegative(s.FullyLabeledReplicas, fld.Child("fullyLabeledReplicas"))...)
	errs = append(errs, check.NonNegative(s.ReadyReplicas, fld.Child("readyReplicas"))...)
	errs = append(errs, check.NonNegative(s.AvailableReplicas, fld.Child("availableReplicas"))...)
	errs = append(errs, apivalidation.ValidateNonnegativeField(s.ObservedGeneration, fld.Child("observedGeneration"))...)
	errs = append(errs, check.NonNegativePtr(s.TerminatingReplicas, fld.Child("terminatingReplicas"))...)
	errs = append(errs, atMostReplicas(s.FullyLabeledReplicas, s.Replicas, fld.Child("fullyLabeledReplicas"))...)
	errs = append(errs, atMostReplicas(s.ReadyReplicas, s.Replicas, fld.Child("readyReplicas"))...)
	errs = append(errs, atMostReplicas(s.AvailableReplicas, s.Replicas, fld.Child("availableReplicas"))...)
	if s.AvailableReplicas > s.ReadyReplicas {
		errs = append(errs, field.Invalid(fld.Child("availableReplicas"), s.AvailableReplicas, "cannot be greater than readyReplicas"))
	}
	return errs
}

func replicaSetColumns() []table.Column {
	return append([]table.Column{
		table.Name(),
		table.Integer("Desired", table.Doc(appsv1.ReplicaSetSpec{}, "replicas")),
		table.Integer("Current", table.Doc(appsv1.ReplicaSetStatus{}, "replicas")),
		table.Integer("Ready", table.Doc(appsv1.ReplicaSetStatus{}, "readyReplicas")),
		table.Age(),
	}, append(table.ContainersWide(), table.Wide("Selector", table.Doc(appsv1.ReplicaSetSpec{}, "selector")))...)
}

func replicaSetCells(r *appsv1.ReplicaSet) []any {
	names, images := table.Containers(r.Spec.Template.Spec.Containers)
	return []any{
		r.Name,
		int64(ptr.Deref(r.Spec.Replicas, 0)),
		int64(r.Status.Replicas),
		int64(r.Status.ReadyReplicas),
		table.Since(r.CreationTimestamp),
		names, images, metav1.FormatLabelSelector(r.Spec.Selector),
	}
}
