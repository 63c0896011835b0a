package apps

import (
	"context"
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	autoscalingv1 "k8s.io/api/autoscaling/v1"
	apiequality "k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/utils/ptr"

	"skiff/server/registry"
	"skiff/server/registry/podtemplate"
	"skiff/server/registry/table"
)

// Deployments returns the resource deployments.
func Deployments() *registry.Resource {
	return &registry.Resource{
		Group: Group, Plural: "deployments", Singular: "deployment", Kind: "Deployment", Namespaced: true,
		ShortNames: []string{"deploy"}, Categories: []string{"all"},
		Versions: []registry.Version{{Name: "v1", New: registry.New[appsv1.Deployment](), NewList: registry.New[appsv1.DeploymentList]()}},
		Rules: registry.Rules{
			Default:                  registry.Default(defaultDeployment),
			PrepareCreate:            registry.Prepare(prepareDeployment),
			PrepareUpdate:            registry.PrepareUpdate(prepareDeploymentUpdate),
			Generation:               true,
			Validate:                 registry.Validate(validateDeployment),
			ValidateUpdate:           registry.ValidateUpdate(validateDeploymentUpdate),
			Warnings:                 deploymentWarnings,
			AllowUnconditionalUpdate: true,
		},
		Columns: deploymentColumns(),
		Cells:   registry.Cells(deploymentCells),
		Subresources: []registry.Subresource{
			{Name: "status", Update: &registry.Rules{
				Default: registry.Default(defaultDeployment),
				PrepareUpdate: registry.PrepareUpdate(func(_ context.Context, d, old *appsv1.Deployment) {
					d.Spec, d.Labels = old.Spec, old.Labels
				}),
				ValidateUpdate:           registry.ValidateUpdate(validateDeploymentStatusUpdate),
				AllowUnconditionalUpdate: true,
			}},
			{Name: "scale", Kind: scaleKind, Scale: &registry.Scale{
				Get: func(o registry.Object) (*autoscalingv1.Scale, error) {
					d := o.(*appsv1.Deployment)
					return newScale(&d.ObjectMeta, d.Spec.Selector, d.Spec.Replicas, d.Status.Replicas)
				},
				Set: func(o registry.Object, n int32) { o.(*appsv1.Deployment).Spec.Replicas = &n },
			}},
		},
	}
}

func defaultDeployment(d *appsv1.Deployment) {
	podtemplate.DefaultTemplate(&d.Spec.Template)
	setDefault(&d.Spec.Replicas, 1)
	s := &d.Spec.Strategy
	if s.Type == "" {
		s.Type = appsv1.RollingUpdateDeploymentStrategyType
	}
	if s.Type == appsv1.RollingUpdateDeploymentStrategyType {
		if s.RollingUpdate == nil {
			s.RollingUpdate = &appsv1.RollingUpdateDeployment{}
		}
		setDefault(&s.RollingUpdate.MaxUnavailable, intstr.FromString("25%"))
		setDefault(&s.RollingUpdate.MaxSurge, intstr.FromString("25%"))
	}
	setDefault(&d.Spec.RevisionHistoryLimit, 10)
	setDefault(&d.Spec.ProgressDeadlineSeconds, 600)
}

// setDefault points *p to value unless it is set.
func setDefault[T any](p **T, value T) {
	if *p == nil {
		*p = &value
	}
}

func prepareDeployment(_ context.Context, d *appsv1.Deployment) {
	d.Status = appsv1.DeploymentStatus{}
	podtemplate.DropDisabledTemplate(&d.Spec.Template, nil)
}

func prepareDeploymentUpdate(_ context.Context, d, old *appsv1.Deployment) {
	d.Status = old.Status
	podtemplate.DropDisabledTemplate(&d.Spec.Template, &old.Spec.Template)
	// Annotations are copied to replica sets, so a controller must look at a
	// change of them as at one of the spec.
	if !apiequality.Semantic.DeepEqual(d.Annotations, old.Annotations) {
		d.Generation = old.Generation + 1
	}
}

func deploymentWarnings(_ context.Context, obj, old registry.Object) []string {
	return podtemplate.WorkloadWarnings(obj, old, &obj.(*appsv1.Deployment).Spec.Template, templatePath)
}

func deploymentColumns() []table.Column {
	return append([]table.Column{
		table.Name(),
		table.String("Ready", "Number of the pod with ready state"),
		table.String("Up-to-date", table.Doc(appsv1.DeploymentStatus{}, "updatedReplicas")),
		table.String("Available", table.Doc(appsv1.DeploymentStatus{}, "availableReplicas")),
		table.Age(),
	}, append(table.ContainersWide(), table.Wide("Selector", table.Doc(appsv1.DeploymentSpec{}, "selector")))...)
}

func deploymentCells(d *appsv1.Deployment) []any {
	selector := "<invalid>"
	if s, err := metav1.LabelSelectorAsSelector(d.Spec.Selector); err == nil {
		selector = s.String()
	}
	names, images := table.Containers(d.Spec.Template.Spec.Containers)
	return []any{
		d.Name,
		fmt.Sprintf("%d/%d", d.Status.ReadyReplicas, ptr.Deref(d.Spec.Replicas, 0)),
		int64(d.Status.UpdatedReplicas),
		int64(d.Status.AvailableReplicas),
		table.Since(d.CreationTimestamp),
		names, images, selector,
	}
}
