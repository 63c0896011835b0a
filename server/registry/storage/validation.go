package storage

import (
	"context"
	"math"
	"strings"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	apiequality "k8s.io/apimachinery/pkg/api/equality"
	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	utilvalidation "k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"skiff/server/registry"
	"skiff/server/registry/check"
	"skiff/server/registry/podtemplate"
)

const (
	maxParameters      = 512
	maxParametersSize  = 256 << 10
	maxMetadataSize    = 256 << 10
	maxVolumeErrorSize = 1024
)

func validateStorageClass(_ context.Context, c *storagev1.StorageClass) field.ErrorList {
	errs := validateProvisioner(c.Provisioner, field.NewPath("provisioner"))
	errs = append(errs, validateParameters(c.Parameters, true, field.NewPath("parameters"))...)
	if p := c.ReclaimPolicy; p != nil && *p != "" && *p != corev1.PersistentVolumeReclaimDelete && *p != corev1.PersistentVolumeReclaimRetain {
		errs = append(errs, field.NotSupported(field.NewPath("reclaimPolicy"), p, []corev1.PersistentVolumeReclaimPolicy{corev1.PersistentVolumeReclaimDelete, corev1.PersistentVolumeReclaimRetain}))
	}
	if m, fld := c.VolumeBindingMode, field.NewPath("volumeBindingMode"); m == nil {
		errs = append(errs, field.Required(fld, ""))
	} else if *m != storagev1.VolumeBindingImmediate && *m != storagev1.VolumeBindingWaitForFirstConsumer {
		errs = append(errs, field.NotSupported(fld, m, []storagev1.VolumeBindingMode{storagev1.VolumeBindingImmediate, storagev1.VolumeBindingWaitForFirstConsumer}))
	}
	return append(errs, validateTopologies(c.AllowedTopologies, field.NewPath("allowedTopologies"))...)
}

func validateStorageClassUpdate(ctx context.Context, c, old *storagev1.StorageClass) field.ErrorList {
	errs := validateStorageClass(ctx, c)
	errs = append(errs, apivalidation.ValidateImmutableField(c.Parameters, old.Parameters, field.NewPath("parameters"))...)
	errs = append(errs, apivalidation.ValidateImmutableField(c.Provisioner, old.Provisioner, field.NewPath("provisioner"))...)
	errs = append(errs, apivalidation.ValidateImmutableField(c.ReclaimPolicy, old.ReclaimPolicy, field.NewPath("reclaimPolicy"))...)
	return append(errs, apivalidation.ValidateImmutableField(c.VolumeBindingMode, old.VolumeBindingMode, field.NewPath("volumeBindingMode"))...)
}

// deprecatedLabels are node labels that topologies should not use any more.
var deprecatedLabels = map[string]string{
	corev1.LabelFailureDomainBetaZone:   corev1.LabelTopologyZone,
	corev1.LabelFailureDomainBetaRegion: corev1.LabelTopologyRegion,
	corev1.LabelInstanceType:            corev1.LabelInstanceTypeStable,
	"beta.kubernetes.io/arch":           corev1.LabelArchStable,
	"beta.kubernetes.io/os":             corev1.LabelOSStable,
}

func storageClassWarnings(_ context.Context, obj, _ registry.Object) []string {
	var warnings []string
	for i, t := range obj.(*storagev1.StorageClass).AllowedTopologies {
		for k, e := range t.MatchLabelExpressions {
			if instead := deprecatedLabels[e.Key]; instead != "" {
				fld := field.NewPath("allowedTopologies").Index(i).Child("matchLabelExpressions").Index(k).Child("key")
				warnings = append(warnings, fld.String()+": deprecated since v1.14; use \""+instead+"\" instead")
			}
		}
	}
	return warnings
}

func validateProvisioner(name string, fld *field.Path) field.ErrorList {
	if name == "" {
		return field.ErrorList{field.Required(fld, "")}
	}
	lower := strings.ToLower(name)
	return check.Messages(lower, utilvalidation.IsQualifiedName(lower), fld)
}

func validateParameters(parameters map[string]string, allowEmpty bool, fld *field.Path) field.ErrorList {
	if len(parameters) > maxParameters {
		return field.ErrorList{field.TooLong(fld, "", maxParameters)}
	}
	var errs field.ErrorList
	size := 0
	for k, v := range parameters {
		if k == "" {
			errs = append(errs, field.Invalid(fld, k, "field can not be empty."))
		}
		size += len(k) + len(v)
	}
	if size > maxParametersSize {
		errs = append(errs, field.TooLong(fld, "", maxParametersSize))
	}
	if !allowEmpty && len(parameters) == 0 {
		errs = append(errs, field.Required(fld, "must contain at least one key/value pair"))
	}
	return errs
}

func validateTopologies(terms []corev1.TopologySelectorTerm, fld *field.Path) field.ErrorList {
	var errs field.ErrorList
	seen := []map[string]map[string]bool{nil} // no expressions are a duplicate of nothing
	for i := range terms {
		values := map[string]map[string]bool{}
		path := fld.Index(i).Child("matchLabelExpressions")
		for k, e := range terms[i].MatchLabelExpressions {
			set, more := validateTopologyValues(&e, path.Index(k))
			errs = append(errs, more...)
			if _, ok := values[e.Key]; ok {
				errs = append(errs, field.Duplicate(path.Index(k).Child("key"), e.Key))
			}
			values[e.Key] = set
		}
		for _, other := range seen {
			if apiequality.Semantic.DeepEqual(values, other) {
				errs = append(errs, field.Duplicate(path, ""))
			}
		}
		seen = append(seen, values)
	}
	return errs
}

func validateTopologyValues(e *corev1.TopologySelectorLabelRequirement, fld *field.Path) (map[string]bool, field.ErrorList) {
	var errs field.ErrorList
	set := map[string]bool{}
	if len(e.Values) == 0 {
		errs = append(errs, field.Required(fld.Child("values"), ""))
	}
	for i, v := range e.Values {
		if set[v] {
			errs = append(errs, field.Duplicate(fld.Child("values").Index(i), v))
		}
		set[v] = true
	}
	return set, append(errs, check.Messages(e.Key, utilvalidation.IsQualifiedName(e.Key), fld.Child("key"))...)
}

func validateAttachment(_ context.Context, a *storagev1.VolumeAttachment) field.ErrorList {
	spec, status := field.NewPath("spec"), field.NewPath("status")
	errs := podtemplate.CSIDriverName(a.Spec.Attacher, spec.Child("attacher"))
	errs = append(errs, validateSource(&a.Spec.Source, spec.Child("source"))...)
	errs = append(errs, check.Messages(a.Spec.NodeName, apivalidation.NameIsDNSSubdomain(a.Spec.NodeName, false), spec.Child("nodeName"))...)
	size := 0
	for k, v := range a.Status.AttachmentMetadata {
		size += len(k) + len(v)
	}
	if size > maxMetadataSize {
		errs = append(errs, field.TooLong(status.Child("attachmentMetadata"), "", maxMetadataSize))
	}
	errs = append(errs, validateVolumeError(a.Status.AttachError, status.Child("attachError"))...)
	errs = append(errs, validateVolumeError(a.Status.DetachError, status.Child("detachError"))...)
	if name := a.Spec.Source.PersistentVolumeName; name != nil {
		errs = append(errs, check.Messages(*name, apivalidation.NameIsDNSSubdomain(*name, false), field.NewPath("spec.source.persistentVolumeName"))...)
	}
	return errs
}

func validateAttachmentUpdate(ctx context.Context, a, old *storagev1.VolumeAttachment) field.ErrorList {
	return append(validateAttachment(ctx, a), check.Immutable(a.Spec, old.Spec, field.NewPath("spec"))...)
}

func validateSource(s *storagev1.VolumeAttachmentSource, fld *field.Path) field.ErrorList {
	const one = "must specify exactly one of inlineVolumeSpec and persistentVolumeName"
	switch inline, named := s.InlineVolumeSpec != nil, s.PersistentVolumeName != nil; {
	case !inline && !named:
		return field.ErrorList{field.Required(fld, one)}
	case inline && named:
		return field.ErrorList{field.Forbidden(fld, one)}
	case named && *s.PersistentVolumeName == "":
		return field.ErrorList{field.Required(fld.Child("persistentVolumeName"), "must specify non empty persistentVolumeName")}
	}
	return nil
}

func validateVolumeError(e *storagev1.VolumeError, fld *field.Path) field.ErrorList {
	if e == nil {
		return nil
	}
	var errs field.ErrorList
	if len(e.Message) > maxVolumeErrorSize {
		errs = append(errs, field.TooLong(fld.Child("message"), "", maxVolumeErrorSize))
	}
	if e.ErrorCode != nil && *e.ErrorCode < 0 {
		errs = append(errs, field.Invalid(fld.Child("errorCode"), *e.ErrorCode, utilvalidation.InclusiveRangeError(0, math.MaxInt32)))
	}
	return errs
}

func validateAttributesClass(_ context.Context, c *storagev1.VolumeAttributesClass) field.ErrorList {
	return append(validateProvisioner(c.DriverName, field.NewPath("driverName")), validateParameters(c.Parameters, false, field.NewPath("parameters"))...)
}

func validateAttributesClassUpdate(ctx context.Context, c, old *storagev1.VolumeAttributesClass) field.ErrorList {
	var errs field.ErrorList
	if c.DriverName != old.DriverName {
		errs = append(errs, field.Forbidden(field.NewPath("driverName"), "updates to driverName are forbidden."))
	}
	if !apiequality.Semantic.DeepEqual(c.Parameters, old.Parameters) {
		errs = append(errs, field.Forbidden(field.NewPath("parameters"), "updates to parameters are forbidden."))
	}
	return append(errs, validateAttributesClass(ctx, c)...)
}
