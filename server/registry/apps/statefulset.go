package apps

import (
	"context"
	"fmt"
	"slices"

	appsv1 "k8s.io/api/apps/v1"
	autoscalingv1 "k8s.io/api/autoscaling/v1"
	corev1 "k8s.io/api/core/v1"
	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/utils/ptr"

	"skiff/server/registry"
	"skiff/server/registry/podtemplate"
	"skiff/server/registry/table"
)

// StatefulSets returns the resource statefulsets.
func StatefulSets() *registry.Resource {
	return &registry.Resource{
		Group: Group, Plural: "statefulsets", Singular: "statefulset", Kind: "StatefulSet", Namespaced: true,
		ShortNames: []string{"sts"}, Categories: []string{"all"},
		Versions: []registry.Version{{
			Name: "v1", New: registry.New[appsv1.StatefulSet](), NewList: registry.New[appsv1.StatefulSetList](), FromHub: showClaimKinds,
		}},
		Rules: registry.Rules{
			Default: registry.Default(defaultStatefulSet),
			PrepareCreate: registry.Prepare(func(_ context.Context, s *appsv1.StatefulSet) {
				s.Status = appsv1.StatefulSetStatus{}
				podtemplate.DropDisabledTemplate(&s.Spec.Template, nil)
			}),
			PrepareUpdate: registry.PrepareUpdate(func(_ context.Context, s, old *appsv1.StatefulSet) {
				s.Status = old.Status
				podtemplate.DropDisabledTemplate(&s.Spec.Template, &old.Spec.Template)
			}),
			Generation:     true,
			Validate:       registry.Validate(validateStatefulSet),
			ValidateUpdate: registry.ValidateUpdate(validateStatefulSetUpdate),
			// A stateful set's name becomes its pods' host names.
			ValidateName:             apivalidation.NameIsDNSLabel,
			Warnings:                 statefulSetWarnings,
			AllowUnconditionalUpdate: true,
		},
		Columns: append([]table.Column{
			table.Name(),
			table.String("Ready", "Number of the pod with ready state"),
			table.Age(),
		}, table.ContainersWide()...),
		Cells: registry.Cells(statefulSetCells),
		Subresources: []registry.Subresource{
			{Name: "status", Update: &registry.Rules{
				Default:                  registry.Default(defaultStatefulSet),
				PrepareUpdate:            registry.PrepareUpdate(func(_ context.Context, s, old *appsv1.StatefulSet) { s.Spec = old.Spec }),
				ValidateUpdate:           registry.ValidateUpdate(validateStatefulSetStatusUpdate),
				AllowUnconditionalUpdate: true,
			}},
			{Name: "scale", Kind: scaleKind, Scale: &registry.Scale{
				Get: func(o registry.Object) (*autoscalingv1.Scale, error) {
					s := o.(*appsv1.StatefulSet)
					return newScale(&s.ObjectMeta, s.Spec.Selector, s.Spec.Replicas, s.Status.Replicas)
				},
				Set: func(o registry.Object, n int32) { o.(*appsv1.StatefulSet).Spec.Replicas = &n },
			}},
		},
	}
}

func defaultStatefulSet(s *appsv1.StatefulSet) {
	podtemplate.DefaultTemplate(&s.Spec.Template)
	if s.Spec.PodManagementPolicy == "" {
		s.Spec.PodManagementPolicy = appsv1.OrderedReadyPodManagement
	}
	defaultStatefulSetStrategy(&s.Spec.UpdateStrategy)
	setDefault(&s.Spec.PersistentVolumeClaimRetentionPolicy, appsv1.StatefulSetPersistentVolumeClaimRetentionPolicy{})
	keep := s.Spec.PersistentVolumeClaimRetentionPolicy
	if keep.WhenDeleted == "" {
		keep.WhenDeleted = appsv1.RetainPersistentVolumeClaimRetentionPolicyType
	}
	if keep.WhenScaled == "" {
		keep.WhenScaled = appsv1.RetainPersistentVolumeClaimRetentionPolicyType
	}
	setDefault(&s.Spec.Replicas, 1)
	setDefault(&s.Spec.RevisionHistoryLimit, 10)
	for i := range s.Spec.VolumeClaimTemplates {
		defaultClaimTemplate(&s.Spec.VolumeClaimTemplates[i])
	}
}

func defaultStatefulSetStrategy(s *appsv1.StatefulSetUpdateStrategy) {
	if s.Type == "" {
		s.Type = appsv1.RollingUpdateStatefulSetStrategyType
		setDefault(&s.RollingUpdate, appsv1.RollingUpdateStatefulSetStrategy{})
	}
	if s.Type == appsv1.RollingUpdateStatefulSetStrategyType && s.RollingUpdate != nil {
		setDefault(&s.RollingUpdate.Partition, 0)
		setDefault(&s.RollingUpdate.MaxUnavailable, intstr.FromInt32(1))
	}
}

// showClaimKinds gives the claim templates their kind and version, which clients
// that read JSON see whether they sent them or not. The stored protobuf has no
// place for them.
func showClaimKinds(in registry.Object) (runtime.Object, error) {
	out := *in.(*appsv1.StatefulSet)
	out.Spec.VolumeClaimTemplates = slices.Clone(out.Spec.VolumeClaimTemplates)
	for i := range out.Spec.VolumeClaimTemplates {
		out.Spec.VolumeClaimTemplates[i].TypeMeta = metav1.TypeMeta{APIVersion: "v1", Kind: "PersistentVolumeClaim"}
	}
	return &out, nil
}

// defaultClaimTemplate fills a claim template. Its kind and version go without
// saying, see showClaimKinds.
func defaultClaimTemplate(c *corev1.PersistentVolumeClaim) {
	c.TypeMeta = metav1.TypeMeta{}
	if c.Status.Phase == "" {
		c.Status.Phase = corev1.ClaimPending
	}
	podtemplate.DefaultClaimSpec(&c.Spec)
	podtemplate.DefaultResourceList(c.Status.Capacity)
	podtemplate.DefaultResourceList(c.Status.AllocatedResources)
}

func statefulSetWarnings(_ context.Context, obj, old registry.Object) []string {
	s := obj.(*appsv1.StatefulSet)
	var warnings []string
	if old == nil || old.GetGeneration() != s.Generation {
		warnings = podtemplate.TemplateWarnings(&s.Spec.Template, templatePath)
	}
	templates := field.NewPath("spec", "volumeClaimTemplates")
	for i := range s.Spec.VolumeClaimTemplates {
		fld := templates.Index(i)
		if old != nil {
			fld = fld.Child("Spec")
		}
		r := s.Spec.VolumeClaimTemplates[i].Spec.Resources
		warnings = append(warnings, fractionWarning(r.Requests, fld.Child("resources", "requests"))...)
		warnings = append(warnings, fractionWarning(r.Limits, fld.Child("resources", "limits"))...)
	}
	if limit := s.Spec.RevisionHistoryLimit; limit != nil && *limit < 0 {
		warnings = append(warnings, "spec.revisionHistoryLimit: a negative value retains all historical revisions; a value >= 0 is recommended")
	}
	return warnings
}

// fractionWarning warns of an amount of storage that is no whole number of bytes.
func fractionWarning(list corev1.ResourceList, fld *field.Path) []string {
	q := list[corev1.ResourceStorage]
	if q.MilliValue()%1000 == 0 {
		return nil
	}
	return []string{fmt.Sprintf("%s: fractional byte value %q is invalid, must be an integer", fld.Key(string(corev1.ResourceStorage)), q.String())}
}

func statefulSetCells(s *appsv1.StatefulSet) []any {
	names, images := table.Containers(s.Spec.Template.Spec.Containers)
	return []any{
		s.Name,
		fmt.Sprintf("%d/%d", s.Status.ReadyReplicas, ptr.Deref(s.Spec.Replicas, 0)),
		table.Since(s.CreationTimestamp),
		names, images,
	}
}
