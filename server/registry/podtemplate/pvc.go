package podtemplate

import (
	"reflect"
	"unicode"
	"unicode/utf8"

	corev1 "k8s.io/api/core/v1"
	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	metavalidation "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// ClaimOptions loosen the rules for an update of a persistent volume claim that
// broke them already when it was stored.
type ClaimOptions struct {
	// AllowInvalidSelector keeps invalid label values in the selector.
	AllowInvalidSelector bool
	// AllowInvalidDataSourceGroup keeps an invalid API group of the data source.
	AllowInvalidDataSourceGroup bool
}

// ValidateClaimSpec checks the spec of a persistent volume claim or of a
// template for one.
func ValidateClaimSpec(spec *corev1.PersistentVolumeClaimSpec, fld *field.Path, opts ClaimOptions) field.ErrorList {
	var errs field.ErrorList
	if len(spec.AccessModes) == 0 {
		errs = append(errs, field.Required(fld.Child("accessModes"), "at least 1 access mode is required"))
	}
	if spec.Selector != nil {
		errs = append(errs, metavalidation.ValidateLabelSelector(spec.Selector,
			metavalidation.LabelSelectorValidationOptions{AllowInvalidLabelValueInSelector: opts.AllowInvalidSelector}, fld.Child("selector"))...)
	}
	errs = append(errs, AccessModes(spec.AccessModes, fld.Child("accessModes"))...)
	storage := fld.Child("resources").Key(string(corev1.ResourceStorage))
	size, ok := spec.Resources.Requests[corev1.ResourceStorage]
	switch {
	case !ok:
		errs = append(errs, field.Required(storage, ""))
	default:
		errs = append(errs, PositiveQuantity(size, storage)...)
	}
	if name := spec.StorageClassName; name != nil && *name != "" {
		errs = append(errs, objectName(*name, fld.Child("storageClassName"))...)
	}
	if spec.VolumeMode != nil {
		errs = append(errs, OneOf(fld.Child("volumeMode"), *spec.VolumeMode,
			corev1.PersistentVolumeBlock, corev1.PersistentVolumeFilesystem)...)
	}
	errs = append(errs, validateDataSources(spec, fld, opts)...)
	if name := spec.VolumeAttributesClassName; name != nil && *name != "" {
		errs = append(errs, objectName(*name, fld.Child("volumeAttributesClassName"))...)
	}
	return errs
}

// AccessModes checks the access modes of a volume or of a claim for one.
func AccessModes(modes []corev1.PersistentVolumeAccessMode, fld *field.Path) field.ErrorList {
	var errs field.ErrorList
	var oncePod, other bool
	for _, mode := range modes {
		found := OneOf(fld, mode, corev1.ReadWriteOnce, corev1.ReadOnlyMany, corev1.ReadWriteMany, corev1.ReadWriteOncePod)
		errs = append(errs, found...)
		oncePod = oncePod || mode == corev1.ReadWriteOncePod
		other = other || mode != corev1.ReadWriteOncePod && len(found) == 0
	}
	if oncePod && other {
		errs = append(errs, field.Forbidden(fld, "may not use ReadWriteOncePod with other access modes"))
	}
	return errs
}

func validateDataSources(spec *corev1.PersistentVolumeClaimSpec, fld *field.Path, opts ClaimOptions) field.ErrorList {
	var errs field.ErrorList
	source, ref := spec.DataSource, spec.DataSourceRef
	if source != nil {
		errs = append(errs, dataSource(source.APIGroup, source.Kind, source.Name, fld.Child("dataSource"), opts)...)
	}
	if ref == nil {
		return errs
	}
	errs = append(errs, dataSource(ref.APIGroup, ref.Kind, ref.Name, fld.Child("dataSourceRef"), opts)...)
	remote := ref.Namespace != nil && *ref.Namespace != ""
	if remote {
		errs = append(errs, NamespaceName(*ref.Namespace, fld.Child("dataSourceRef", "namespace"))...)
	}
	switch {
	case source == nil:
	case remote:
		errs = append(errs, field.Invalid(fld, fld.Child("dataSource"), "may not be specified when dataSourceRef.namespace is specified"))
	case !reflect.DeepEqual(source.APIGroup, ref.APIGroup) || source.Kind != ref.Kind || source.Name != ref.Name:
		errs = append(errs, field.Invalid(fld, fld.Child("dataSource"), "must match dataSourceRef"))
	}
	return errs
}

func dataSource(apiGroup *string, kind, name string, fld *field.Path, opts ClaimOptions) field.ErrorList {
	errs := append(required(fld.Child("name"), name), required(fld.Child("kind"), kind)...)
	group := ""
	if apiGroup != nil {
		group = *apiGroup
	}
	if group == "" {
		if kind != "PersistentVolumeClaim" {
			errs = append(errs, field.Invalid(fld, kind, "must be 'PersistentVolumeClaim' when referencing the default apiGroup"))
		}
		return errs
	}
	if !opts.AllowInvalidDataSourceGroup {
		errs = append(errs, invalids(fld.Child("apiGroup"), group, validation.IsDNS1123Subdomain(group))...)
	}
	return errs
}

// validateClaimTemplateMeta allows only labels and annotations.
func validateClaimTemplateMeta(meta *metav1.ObjectMeta, fld *field.Path) field.ErrorList {
	errs := apivalidation.ValidateAnnotations(meta.Annotations, fld.Child("annotations"))
	errs = append(errs, metavalidation.ValidateLabels(meta.Labels, fld.Child("labels"))...)
	return append(errs, OnlyFields(*meta, fld, "cannot be set", "Annotations", "Labels")...)
}

// OnlyFields forbids every set field of a struct but the named ones, with this
// text. New fields of the API are forbidden until they are named.
func OnlyFields(value any, fld *field.Path, text string, names ...string) field.ErrorList {
	allowed := make(map[string]bool, len(names))
	for _, name := range names {
		allowed[name] = true
	}
	var errs field.ErrorList
	v := reflect.ValueOf(value)
	for i := range v.NumField() {
		name := v.Type().Field(i).Name
		if allowed[name] || v.Field(i).IsZero() {
			continue
		}
		r, n := utf8.DecodeRuneInString(name)
		errs = append(errs, field.Forbidden(fld.Child(string(unicode.ToLower(r))+name[n:]), text))
	}
	return errs
}
