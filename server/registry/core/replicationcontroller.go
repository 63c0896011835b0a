package core

import (
	"context"
	"strconv"

	autoscalingv1 "k8s.io/api/autoscaling/v1"
	corev1 "k8s.io/api/core/v1"
	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"skiff/server/registry"
	"skiff/server/registry/podtemplate"
	"skiff/server/registry/table"
)

func replicationControllers() *registry.Resource {
	r := resourceOf[corev1.ReplicationController, corev1.ReplicationControllerList]("replicationcontrollers", "ReplicationController", "rc")
	r.Categories = []string{"all"}
	r.Rules.Generation = true
	r.Rules.DefaultPropagation = metav1.DeletePropagationOrphan // since before there were others
	r.Rules.Default = registry.Default(defaultController)
	r.Rules.PrepareCreate = registry.Prepare(func(_ context.Context, c *corev1.ReplicationController) {
		c.Status = corev1.ReplicationControllerStatus{}
		podtemplate.DropDisabledTemplate(c.Spec.Template, nil)
	})
	r.Rules.PrepareUpdate = registry.PrepareUpdate(func(_ context.Context, c, old *corev1.ReplicationController) {
		c.Status = old.Status
		podtemplate.DropDisabledTemplate(c.Spec.Template, old.Spec.Template)
	})
	r.Rules.Validate = registry.Validate(func(_ context.Context, c *corev1.ReplicationController) field.ErrorList {
		return validateController(c, podtemplate.OptionsForTemplate(c.Spec.Template, nil))
	})
	r.Rules.ValidateUpdate = registry.ValidateUpdate(func(_ context.Context, c, old *corev1.ReplicationController) field.ErrorList {
		return validateController(c, podtemplate.OptionsForTemplate(c.Spec.Template, old.Spec.Template))
	})
	r.Rules.ValidateName = func(name string, prefix bool) []string {
		if prefix {
			return nil // what was made of it is looked at
		}
		return apivalidation.NameIsDNSSubdomain(name, false)
	}
	r.Rules.Warnings = controllerWarnings
	r.FieldNames = []string{"status.replicas"}
	r.Fields = func(obj registry.Object) fields.Set {
		return fields.Set{"status.replicas": strconv.Itoa(int(obj.(*corev1.ReplicationController).Status.Replicas))}
	}
	r.Columns = controllerColumns()
	r.Cells = registry.Cells(controllerCells)
	r.Subresources = []registry.Subresource{
		{Name: "status", Update: &registry.Rules{
			PrepareUpdate: registry.PrepareUpdate(func(_ context.Context, c, old *corev1.ReplicationController) { c.Spec = old.Spec }),
			ValidateUpdate: registry.ValidateUpdate(func(_ context.Context, c, _ *corev1.ReplicationController) field.ErrorList {
				return validateControllerStatus(&c.Status)
			}),
		}},
		{Name: "scale", Scale: &registry.Scale{Get: controllerScale, Set: func(obj registry.Object, n int32) {
			obj.(*corev1.ReplicationController).Spec.Replicas = &n
		}}},
	}
	return r
}

func controllerWarnings(_ context.Context, obj, old registry.Object) []string {
	c := obj.(*corev1.ReplicationController)
	return podtemplate.WorkloadWarnings(c, old, c.Spec.Template, path("spec", "template"))
}

func controllerScale(obj registry.Object) (*autoscalingv1.Scale, error) {
	c := obj.(*corev1.ReplicationController)
	scale := &autoscalingv1.Scale{
		ObjectMeta: metav1.ObjectMeta{
			Name: c.Name, Namespace: c.Namespace, UID: c.UID, ResourceVersion: c.ResourceVersion, CreationTimestamp: c.CreationTimestamp,
		},
		Status: autoscalingv1.ScaleStatus{Replicas: c.Status.Replicas, Selector: labels.SelectorFromSet(c.Spec.Selector).String()},
	}
	if c.Spec.Replicas != nil {
		scale.Spec.Replicas = *c.Spec.Replicas
	}
	return scale, nil
}

// defaultController takes the selector and the labels from the template.
func defaultController(c *corev1.ReplicationController) {
	if t := c.Spec.Template; t != nil {
		if t.Labels != nil {
			if len(c.Spec.Selector) == 0 {
				c.Spec.Selector = t.Labels
			}
			if len(c.Labels) == 0 {
				c.Labels = t.Labels
			}
		}
		podtemplate.DefaultTemplate(t)
	}
	if c.Spec.Replicas == nil {
		c.Spec.Replicas = new(int32(1))
	}
}

func validateController(c *corev1.ReplicationController, opts podtemplate.Options) field.ErrorList {
	spec := path("spec")
	errs := validateControllerTemplate(&c.Spec, spec, opts)
	if c.Spec.Replicas == nil {
		errs = append(errs, field.Required(spec.Child("replicas"), ""))
	} else {
		errs = append(errs, podtemplate.Nonnegative(int64(*c.Spec.Replicas), spec.Child("replicas"))...)
	}
	return append(errs, podtemplate.Nonnegative(int64(c.Spec.MinReadySeconds), spec.Child("minReadySeconds"))...)
}

func validateControllerTemplate(s *corev1.ReplicationControllerSpec, spec *field.Path, opts podtemplate.Options) field.ErrorList {
	var errs field.ErrorList
	selector := labels.SelectorFromSet(s.Selector)
	if selector.Empty() {
		errs = append(errs, field.Required(spec.Child("selector"), ""))
	}
	t, at := s.Template, spec.Child("template")
	if t == nil {
		return append(errs, field.Required(at, ""))
	}
	if !selector.Empty() && !selector.Matches(labels.Set(t.Labels)) {
		errs = append(errs, field.Invalid(at.Child("metadata", "labels"), t.Labels, "`selector` does not match template `labels`"))
	}
	errs = append(errs, podtemplate.ValidateTemplate(t, at, opts)...)
	if t.Spec.RestartPolicy != corev1.RestartPolicyAlways {
		errs = append(errs, field.NotSupported(at.Child("spec", "restartPolicy"), t.Spec.RestartPolicy, []corev1.RestartPolicy{corev1.RestartPolicyAlways}))
	}
	if t.Spec.ActiveDeadlineSeconds != nil {
		errs = append(errs, field.Forbidden(at.Child("spec", "activeDeadlineSeconds"), "activeDeadlineSeconds in ReplicationController is not Supported"))
	}
	return errs
}

func validateControllerStatus(s *corev1.ReplicationControllerStatus) field.ErrorList {
	var errs field.ErrorList
	at := path("status")
	for _, f := range []struct {
		name  string
		value int64
	}{
		{"replicas", int64(s.Replicas)},
		{"fullyLabeledReplicas", int64(s.FullyLabeledReplicas)},
		{"readyReplicas", int64(s.ReadyReplicas)},
		{"availableReplicas", int64(s.AvailableReplicas)},
		{"observedGeneration", s.ObservedGeneration},
	} {
		errs = append(errs, podtemplate.Nonnegative(f.value, at.Child(f.name))...)
	}
	const text = "cannot be greater than status.replicas"
	if s.FullyLabeledReplicas > s.Replicas {
		errs = append(errs, field.Invalid(at.Child("fullyLabeledReplicas"), s.FullyLabeledReplicas, text))
	}
	if s.ReadyReplicas > s.Replicas {
		errs = append(errs, field.Invalid(at.Child("readyReplicas"), s.ReadyReplicas, text))
	}
	if s.AvailableReplicas > s.Replicas {
		errs = append(errs, field.Invalid(at.Child("availableReplicas"), s.AvailableReplicas, text))
	}
	if s.AvailableReplicas > s.ReadyReplicas {
		errs = append(errs, field.Invalid(at.Child("availableReplicas"), s.AvailableReplicas, "cannot be greater than readyReplicas"))
	}
	return errs
}

func controllerColumns() []table.Column {
	spec, status := corev1.ReplicationControllerSpec{}, corev1.ReplicationControllerStatus{}
	columns := []table.Column{
		table.Name(),
		table.Integer("Desired", table.Doc(spec, "replicas")),
		table.Integer("Current", table.Doc(status, "replicas")),
		table.Integer("Ready", table.Doc(status, "readyReplicas")),
		table.Age(),
	}
	columns = append(columns, table.ContainersWide()...)
	return append(columns, table.Wide("Selector", table.Doc(spec, "selector")))
}

func controllerCells(c *corev1.ReplicationController) []any {
	var names, images string
	if c.Spec.Template != nil {
		names, images = table.Containers(c.Spec.Template.Spec.Containers)
	}
	return []any{
		c.Name, int64(table.Or(c.Spec.Replicas, 0)), int64(c.Status.Replicas), int64(c.Status.ReadyReplicas),
		table.Since(c.CreationTimestamp), names, images, labels.FormatLabels(c.Spec.Selector),
	}
}

func podTemplates() *registry.Resource {
	r := resourceOf[corev1.PodTemplate, corev1.PodTemplateList]("podtemplates", "PodTemplate")
	r.ReturnsDeleted = true
	r.Rules.Generation = true
	r.Rules.Default = registry.Default(func(t *corev1.PodTemplate) { podtemplate.DefaultTemplate(&t.Template) })
	r.Rules.PrepareCreate = registry.Prepare(func(_ context.Context, t *corev1.PodTemplate) {
		podtemplate.DropDisabledTemplate(&t.Template, nil)
	})
	r.Rules.PrepareUpdate = registry.PrepareUpdate(func(_ context.Context, t, old *corev1.PodTemplate) {
		podtemplate.DropDisabledTemplate(&t.Template, &old.Template)
	})
	r.Rules.Validate = registry.Validate(func(_ context.Context, t *corev1.PodTemplate) field.ErrorList {
		return podtemplate.ValidateTemplate(&t.Template, path("template"), podtemplate.Options{})
	})
	r.Rules.ValidateUpdate = registry.ValidateUpdate(func(_ context.Context, t, old *corev1.PodTemplate) field.ErrorList {
		return podtemplate.ValidateTemplate(&t.Template, path("template"), podtemplate.OptionsForTemplate(&t.Template, &old.Template))
	})
	r.Rules.Warnings = func(_ context.Context, obj, old registry.Object) []string {
		if old != nil && old.GetGeneration() == obj.GetGeneration() {
			return nil
		}
		return podtemplate.TemplateWarnings(&obj.(*corev1.PodTemplate).Template, path("template"))
	}
	columns := table.ContainersWide()
	for i := range columns {
		columns[i].Priority = 0
	}
	r.Columns = append(append([]table.Column{table.Name()}, columns...), table.String("Pod Labels", "The labels for the pod template."))
	r.Cells = registry.Cells(func(t *corev1.PodTemplate) []any {
		names, images := table.Containers(t.Template.Spec.Containers)
		return []any{t.Name, names, images, labels.FormatLabels(t.Template.Labels)}
	})
	return r
}
