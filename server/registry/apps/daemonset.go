package apps

import (
	"context"
	"maps"
	"strconv"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apiequality "k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/intstr"

	"skiff/server/registry"
	"skiff/server/registry/podtemplate"
	"skiff/server/registry/table"
)

// DaemonSets returns the resource daemonsets.
func DaemonSets() *registry.Resource {
	return &registry.Resource{
		Group: Group, Plural: "daemonsets", Singular: "daemonset", Kind: "DaemonSet", Namespaced: true,
		ShortNames: []string{"ds"}, Categories: []string{"all"},
		Versions: []registry.Version{{Name: "v1", New: registry.New[appsv1.DaemonSet](), NewList: registry.New[appsv1.DaemonSetList]()}},
		Rules: registry.Rules{
			Default:                  registry.Default(defaultDaemonSet),
			PrepareCreate:            registry.Prepare(prepareDaemonSet),
			PrepareUpdate:            registry.PrepareUpdate(prepareDaemonSetUpdate),
			Generation:               true,
			Validate:                 registry.Validate(validateDaemonSet),
			ValidateUpdate:           registry.ValidateUpdate(validateDaemonSetUpdate),
			Warnings:                 daemonSetWarnings,
			AllowUnconditionalUpdate: true,
		},
		Columns: daemonSetColumns(),
		Cells:   registry.Cells(daemonSetCells),
		Subresources: []registry.Subresource{
			{Name: "status", Update: &registry.Rules{
				Default:                  registry.Default(defaultDaemonSet),
				PrepareUpdate:            registry.PrepareUpdate(prepareDaemonSetStatus),
				ValidateUpdate:           registry.ValidateUpdate(validateDaemonSetStatusUpdate),
				AllowUnconditionalUpdate: true,
			}},
		},
	}
}

func defaultDaemonSet(d *appsv1.DaemonSet) {
	podtemplate.DefaultTemplate(&d.Spec.Template)
	s := &d.Spec.UpdateStrategy
	if s.Type == "" {
		s.Type = appsv1.RollingUpdateDaemonSetStrategyType
	}
	if s.Type == appsv1.RollingUpdateDaemonSetStrategyType {
		setDefault(&s.RollingUpdate, appsv1.RollingUpdateDaemonSet{})
		setDefault(&s.RollingUpdate.MaxUnavailable, intstr.FromInt32(1))
		setDefault(&s.RollingUpdate.MaxSurge, intstr.FromInt32(0))
	}
	setDefault(&d.Spec.RevisionHistoryLimit, 10)
}

func prepareDaemonSet(_ context.Context, d *appsv1.DaemonSet) {
	d.Status = appsv1.DaemonSetStatus{}
	podtemplate.DropDisabledTemplate(&d.Spec.Template, nil)
	if generation, ok := templateGeneration(d); !ok || generation < 1 {
		setTemplateGeneration(d, 1)
	}
}

func prepareDaemonSetUpdate(_ context.Context, d, old *appsv1.DaemonSet) {
	d.Status = old.Status
	podtemplate.DropDisabledTemplate(&d.Spec.Template, &old.Spec.Template)
	generation, _ := templateGeneration(old)
	if !apiequality.Semantic.DeepEqual(old.Spec.Template, d.Spec.Template) {
		generation++
	}
	setTemplateGeneration(d, generation)
}

func prepareDaemonSetStatus(_ context.Context, d, old *appsv1.DaemonSet) {
	d.Spec = old.Spec
	generation, _ := templateGeneration(old)
	setTemplateGeneration(d, generation)
}

// The template generation counts changes of the pod template. apps/v1 has no
// field for it any more; it lives on in an annotation that clients see.

func templateGeneration(d *appsv1.DaemonSet) (int64, bool) {
	generation, err := strconv.ParseInt(d.Annotations[appsv1.DeprecatedTemplateGeneration], 10, 64)
	return generation, err == nil
}

func setTemplateGeneration(d *appsv1.DaemonSet, generation int64) {
	annotations := maps.Clone(d.Annotations)
	if annotations == nil {
		annotations = map[string]string{}
	}
	annotations[appsv1.DeprecatedTemplateGeneration] = strconv.FormatInt(generation, 10)
	d.Annotations = annotations
}

func daemonSetWarnings(_ context.Context, obj, old registry.Object) []string {
	d := obj.(*appsv1.DaemonSet)
	if old != nil {
		before, _ := templateGeneration(old.(*appsv1.DaemonSet))
		if now, _ := templateGeneration(d); now == before {
			return nil
		}
	}
	return podtemplate.TemplateWarnings(&d.Spec.Template, templatePath)
}

func daemonSetColumns() []table.Column {
	return append([]table.Column{
		table.Name(),
		table.Integer("Desired", table.Doc(appsv1.DaemonSetStatus{}, "desiredNumberScheduled")),
		table.Integer("Current", table.Doc(appsv1.DaemonSetStatus{}, "currentNumberScheduled")),
		table.Integer("Ready", table.Doc(appsv1.DaemonSetStatus{}, "numberReady")),
		table.Integer("Up-to-date", table.Doc(appsv1.DaemonSetStatus{}, "updatedNumberScheduled")),
		table.Integer("Available", table.Doc(appsv1.DaemonSetStatus{}, "numberAvailable")),
		table.String("Node Selector", table.Doc(corev1.PodSpec{}, "nodeSelector")),
		table.Age(),
	}, append(table.ContainersWide(), table.Wide("Selector", table.Doc(appsv1.DaemonSetSpec{}, "selector")))...)
}

func daemonSetCells(d *appsv1.DaemonSet) []any {
	names, images := table.Containers(d.Spec.Template.Spec.Containers)
	return []any{
		d.Name,
		int64(d.Status.DesiredNumberScheduled),
		int64(d.Status.CurrentNumberScheduled),
		int64(d.Status.NumberReady),
		int64(d.Status.UpdatedNumberScheduled),
		int64(d.Status.NumberAvailable),
		labels.FormatLabels(d.Spec.Template.Spec.NodeSelector),
		table.Since(d.CreationTimestamp),
		names, images, metav1.FormatLabelSelector(d.Spec.Selector),
	}
}
