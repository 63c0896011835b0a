package apps

import (
	"context"
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	metav1validation "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	utilvalidation "k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/utils/ptr"

	"skiff/server/registry/check"
	"skiff/server/registry/podtemplate"
)

// statefulSetOptions loosen the rules for what an update cannot change.
type statefulSetOptions struct {
	pod podtemplate.Options
	// update tolerates service names and claim templates that are stored.
	update bool
	// skipTemplate tolerates a stored spec that is invalid already.
	skipTemplate bool
}

func validateStatefulSet(_ context.Context, s *appsv1.StatefulSet) field.ErrorList {
	return validateStatefulSetSpec(&s.Spec, field.NewPath("spec"), statefulSetOptions{pod: podtemplate.OptionsForTemplate(&s.Spec.Template, nil)})
}

func validateStatefulSetUpdate(_ context.Context, s, old *appsv1.StatefulSet) field.ErrorList {
	spec := field.NewPath("spec")
	opts := statefulSetOptions{pod: podtemplate.OptionsForTemplate(&s.Spec.Template, &old.Spec.Template), update: true}
	opts.skipTemplate = len(validateStatefulSetSpec(&old.Spec, nil, opts)) > 0
	errs := validateStatefulSetSpec(&s.Spec, spec, opts)
	errs = append(errs, apivalidation.ValidateImmutableField(s.Spec.Selector, old.Spec.Selector, spec.Child("selector"))...)
	errs = append(errs, check.Immutable(s.Spec.VolumeClaimTemplates, old.Spec.VolumeClaimTemplates, spec.Child("volumeClaimTemplates"))...)
	errs = append(errs, apivalidation.ValidateImmutableField(s.Spec.ServiceName, old.Spec.ServiceName, spec.Child("serviceName"))...)
	return append(errs, apivalidation.ValidateImmutableField(s.Spec.PodManagementPolicy, old.Spec.PodManagementPolicy, spec.Child("podManagementPolicy"))...)
}

func validateStatefulSetSpec(spec *appsv1.StatefulSetSpec, fld *field.Path, opts statefulSetOptions) field.ErrorList {
	errs := validatePodManagement(spec.PodManagementPolicy, fld.Child("podManagementPolicy"))
	errs = append(errs, validateStatefulSetStrategy(&spec.UpdateStrategy, fld.Child("updateStrategy"))...)
	if keep := spec.PersistentVolumeClaimRetentionPolicy; keep != nil {
		path := fld.Child("persistentVolumeClaimRetentionPolicy")
		errs = append(errs, validateRetention(keep.WhenDeleted, path.Child("whenDeleted"))...)
		errs = append(errs, validateRetention(keep.WhenScaled, path.Child("whenScaled"))...)
	}
	if !opts.update {
		errs = append(errs, validateClaimTemplates(spec.VolumeClaimTemplates, fld.Child("volumeClaimTemplates"))...)
	}
	errs = append(errs, check.NonNegative(ptr.Deref(spec.Replicas, 0), fld.Child("replicas"))...)
	errs = append(errs, check.NonNegative(spec.MinReadySeconds, fld.Child("minReadySeconds"))...)
	if spec.Ordinals != nil {
		errs = append(errs, check.NonNegative(spec.Ordinals.Start, fld.Child("ordinals.start"))...)
	}
	if !opts.update && spec.ServiceName != "" {
		for _, msg := range utilvalidation.IsDNS1123Label(spec.ServiceName) {
			errs = append(errs, field.Invalid(fld.Child("serviceName"), spec.ServiceName, msg))
		}
	}
	errs = append(errs, validateSelector(spec.Selector, "statefulset", fld.Child("selector"))...)
	errs = append(errs, validateStatefulSetTemplate(spec, fld, opts)...)
	return append(errs, validateLongRunning(&spec.Template, "StatefulSet", fld.Child("template"))...)
}

func validatePodManagement(p appsv1.PodManagementPolicyType, fld *field.Path) field.ErrorList {
	switch p {
	case appsv1.OrderedReadyPodManagement, appsv1.ParallelPodManagement:
		return nil
	case "":
		return field.ErrorList{field.Required(fld, "")}
	default:
		return field.ErrorList{field.Invalid(fld, p, fmt.Sprintf("must be '%s' or '%s'", appsv1.OrderedReadyPodManagement, appsv1.ParallelPodManagement))}
	}
}

func validateStatefulSetStrategy(s *appsv1.StatefulSetUpdateStrategy, fld *field.Path) field.ErrorList {
	switch s.Type {
	case "":
		return field.ErrorList{field.Required(fld, "")}
	case appsv1.OnDeleteStatefulSetStrategyType:
		if s.RollingUpdate != nil {
			return field.ErrorList{field.Invalid(fld.Child("rollingUpdate"), internal(s.RollingUpdate), "only allowed for updateStrategy 'RollingUpdate'")}
		}
		return nil
	case appsv1.RollingUpdateStatefulSetStrategyType:
		if s.RollingUpdate == nil {
			return nil
		}
		return validateRollingUpdateStatefulSet(s.RollingUpdate, fld.Child("rollingUpdate"))
	default:
		return field.ErrorList{field.Invalid(fld, internal(s), fmt.Sprintf("must be '%s' or '%s'", appsv1.RollingUpdateStatefulSetStrategyType, appsv1.OnDeleteStatefulSetStrategyType))}
	}
}

func validateRollingUpdateStatefulSet(r *appsv1.RollingUpdateStatefulSetStrategy, fld *field.Path) field.ErrorList {
	errs := check.NonNegative(ptr.Deref(r.Partition, 0), fld.Child("partition"))
	if r.MaxUnavailable == nil {
		return errs
	}
	unavailable := fld.Child("maxUnavailable")
	errs = append(errs, check.CountOrPercent(r.MaxUnavailable, unavailable)...)
	if check.Amount(r.MaxUnavailable) == 0 {
		errs = append(errs, field.Invalid(unavailable, r.MaxUnavailable, "cannot be 0"))
	}
	return append(errs, check.AtMostAll(r.MaxUnavailable, unavailable)...)
}

func validateRetention(p appsv1.PersistentVolumeClaimRetentionPolicyType, fld *field.Path) field.ErrorList {
	switch p {
	case appsv1.RetainPersistentVolumeClaimRetentionPolicyType, appsv1.DeletePersistentVolumeClaimRetentionPolicyType:
		return nil
	}
	return field.ErrorList{field.NotSupported(fld, p, []appsv1.PersistentVolumeClaimRetentionPolicyType{appsv1.RetainPersistentVolumeClaimRetentionPolicyType, appsv1.DeletePersistentVolumeClaimRetentionPolicyType})}
}

func validateClaimTemplates(templates []corev1.PersistentVolumeClaim, fld *field.Path) field.ErrorList {
	var errs field.ErrorList
	for i := range templates {
		errs = append(errs, podtemplate.ValidateClaimSpec(&templates[i].Spec, fld.Index(i).Child("spec"), podtemplate.ClaimOptions{})...)
	}
	return errs
}

// validateStatefulSetTemplate checks the template as the pods will have it: the
// controller sets their host names, and volumes for the claim templates.
func validateStatefulSetTemplate(spec *appsv1.StatefulSetSpec, fld *field.Path, opts statefulSetOptions) field.ErrorList {
	selector, err := metav1.LabelSelectorAsSelector(spec.Selector)
	if err != nil {
		return field.ErrorList{field.Invalid(fld.Child("selector"), spec.Selector, "")}
	}
	t, path := statefulSetPodTemplate(spec), fld.Child("template")
	var errs field.ErrorList
	if !selector.Empty() {
		errs = append(errs, validateTemplateMatches(t, selector, path)...)
	}
	if !opts.skipTemplate {
		errs = append(errs, podtemplate.ValidateTemplate(t, path, opts.pod)...)
	}
	errs = append(errs, metav1validation.ValidateLabels(t.Labels, path.Child("labels"))...)
	return append(errs, apivalidation.ValidateAnnotations(t.Annotations, path.Child("annotations"))...)
}

func statefulSetPodTemplate(spec *appsv1.StatefulSetSpec) *corev1.PodTemplateSpec {
	t := &spec.Template
	if t.Spec.Subdomain == "" && t.Spec.Hostname == "" && len(spec.VolumeClaimTemplates) == 0 {
		return t
	}
	t = t.DeepCopy()
	t.Spec.Subdomain, t.Spec.Hostname = "", ""
	if len(spec.VolumeClaimTemplates) == 0 {
		return t
	}
	claimed := map[string]bool{}
	var volumes []corev1.Volume
	for i := range spec.VolumeClaimTemplates {
		name := spec.VolumeClaimTemplates[i].Name
		if claimed[name] {
			continue
		}
		claimed[name] = true
		volumes = append(volumes, corev1.Volume{Name: name, VolumeSource: corev1.VolumeSource{
			PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: name},
		}})
	}
	for _, v := range t.Spec.Volumes {
		if !claimed[v.Name] {
			volumes = append(volumes, v)
		}
	}
	t.Spec.Volumes = volumes
	return t
}

func validateStatefulSetStatusUpdate(_ context.Context, s, old *appsv1.StatefulSet) field.ErrorList {
	st, fld := &s.Status, field.NewPath("status")
	errs := check.NonNegative(st.Replicas, fld.Child("replicas"))
	errs = append(errs, check.NonNegative(st.ReadyReplicas, fld.Child("readyReplicas"))...)
	errs = append(errs, check.NonNegative(st.CurrentReplicas, fld.Child("currentReplicas"))...)
	errs = append(errs, check.NonNegative(st.UpdatedReplicas, fld.Child("updatedReplicas"))...)
	errs = append(errs, check.NonNegative(st.AvailableReplicas, fld.Child("availableReplicas"))...)
	errs = append(errs, apivalidation.ValidateNonnegativeField(st.ObservedGeneration, fld.Child("observedGeneration"))...)
	errs = append(errs, check.NonNegativePtr(st.CollisionCount, fld.Child("collisionCount"))...)
	errs = append(errs, atMostReplicas(st.ReadyReplicas, st.Replicas, fld.Child("readyReplicas"))...)
	errs = append(errs, atMostReplicas(st.CurrentReplicas, st.Replicas, fld.Child("currentReplicas"))...)
	errs = append(errs, atMostReplicas(st.UpdatedReplicas, st.Replicas, fld.Child("updatedReplicas"))...)
	errs = append(errs, atMostReplicas(st.AvailableReplicas, st.Replicas, fld.Child("availableReplicas"))...)
	if st.AvailableReplicas > st.ReadyReplicas {
		errs = append(errs, field.Invalid(fld.Child("availableReplicas"), st.AvailableReplicas, "cannot be greater than status.readyReplicas"))
	}
	return append(errs, notDecremented(st.CollisionCount, old.Status.CollisionCount, fld.Child("collisionCount"))...)
}
