package podtemplate

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// volumeSet has the well-formed volumes of a pod by name.
type volumeSet map[string]*corev1.VolumeSource

// validateVolumes checks a pod's volumes. meta is nil if the pod's name is not
// known, as in a template.
func validateVolumes(volumes []corev1.Volume, meta *metav1.ObjectMeta, fld *field.Path, opts Options) (volumeSet, field.ErrorList) {
	var errs field.ErrorList
	made := sets.Set[string]{}
	if meta != nil && meta.Name != "" {
		for i := range volumes {
			if volumes[i].Ephemeral != nil {
				made.Insert(meta.Name + "-" + volumes[i].Name)
			}
		}
	}
	set := make(volumeSet, len(volumes))
	for i := range volumes {
		v, at := &volumes[i], fld.Index(i)
		found := validateVolumeSource(v, meta, at, opts)
		if v.Name == "" {
			found = append(found, field.Required(at.Child("name"), ""))
		} else {
			found = append(found, DNSLabel(v.Name, at.Child("name"))...)
		}
		if _, ok := set[v.Name]; ok {
			found = append(found, field.Duplicate(at.Child("name"), v.Name))
		}
		if len(found) == 0 {
			set[v.Name] = &v.VolumeSource
		}
		errs = append(errs, found...)
		if claim := v.PersistentVolumeClaim; claim != nil && made.Has(claim.ClaimName) {
			errs = append(errs, field.Invalid(at.Child("persistentVolumeClaim", "claimName"), claim.ClaimName,
				"must not reference a PVC that gets created for an ephemeral volume"))
		}
	}
	return set, errs
}

func validateVolumeSource(v *corev1.Volume, meta *metav1.ObjectMeta, fld *field.Path, opts Options) field.ErrorList {
	c := &choice{fld: fld, what: "volume type"}
	// The order is that in which a second source is reported.
	validateLocalSources(c, v)
	validateCloudDiskSources(c, v)
	if v.Secret != nil && c.first("secret") {
		c.add(validateSecretVolume(v.Secret, fld.Child("secret")))
	}
	validateNetworkSources(c, v)
	if v.DownwardAPI != nil && c.first("downwarAPI") {
		c.add(validateDownwardVolume(v.DownwardAPI, fld.Child("downwardAPI")))
	}
	if v.FC != nil && c.first("fc") {
		c.add(ValidateFC(v.FC, fld.Child("fc")))
	}
	if v.FlexVolume != nil && c.first("flexVolume") {
		c.add(ValidateFlex(v.FlexVolume.Driver, v.FlexVolume.Options, fld.Child("flexVolume")))
	}
	if v.ConfigMap != nil && c.first("configMap") {
		c.add(validateConfigMapVolume(v.ConfigMap, fld.Child("configMap")))
	}
	validateLateSources(c, v)
	if v.Projected != nil && c.first("projected") {
		c.add(validateProjected(v.Projected, fld.Child("projected"), opts))
	}
	if v.ScaleIO != nil && c.first("scaleIO") {
		c.add(ValidateScaleIO(v.ScaleIO.Gateway, v.ScaleIO.System, v.ScaleIO.VolumeName, fld.Child("scaleIO")))
	}
	if v.CSI != nil && c.first("csi") {
		c.add(validateCSIVolume(v.CSI, fld.Child("csi")))
	}
	if v.Ephemeral != nil && c.first("ephemeral") {
		c.add(validateEphemeralVolume(v, meta, fld))
	}
	if v.Image != nil && c.first("image") {
		c.add(validateImageVolume(v.Image, fld.Child("image"), opts))
	}
	if c.n == 0 {
		c.add(field.ErrorList{field.Required(fld, "must specify a volume type")})
	}
	return c.errs
}

func validateLocalSources(c *choice, v *corev1.Volume) {
	if v.EmptyDir != nil && c.first("emptyDir") {
		c.add(validateEmptyDir(v.EmptyDir, c.fld.Child("emptyDir")))
	}
	if v.HostPath != nil && c.first("hostPath") {
		c.add(ValidateHostPath(v.HostPath, c.fld.Child("hostPath")))
	}
	if v.GitRepo != nil && c.first("gitRepo") {
		at := c.fld.Child("gitRepo")
		c.add(required(at.Child("repository"), v.GitRepo.Repository))
		c.add(descendingPath(v.GitRepo.Directory, at.Child("directory")))
	}
}

func validateEmptyDir(e *corev1.EmptyDirVolumeSource, fld *field.Path) field.ErrorList {
	var errs field.ErrorList
	if e.SizeLimit != nil && e.SizeLimit.Sign() < 0 {
		errs = append(errs, field.Forbidden(fld.Child("sizeLimit"), "SizeLimit field must be a valid resource quantity"))
	}
	if e.Mode != nil && (*e.Mode > 0o1777 || *e.Mode < 0) {
		errs = append(errs, field.Invalid(fld.Child("mode"), *e.Mode, "must be a number between 0 and 01777 (octal), both inclusive"))
	}
	return errs
}

// ValidateHostPath checks a path on the node.
func ValidateHostPath(h *corev1.HostPathVolumeSource, fld *field.Path) field.ErrorList {
	if h.Path == "" {
		return field.ErrorList{field.Required(fld.Child("path"), "")}
	}
	errs := noBacksteps(h.Path, fld.Child("path"))
	if h.Type == nil {
		return errs
	}
	return append(errs, OneOf(fld.Child("type"), *h.Type,
		corev1.HostPathUnset, corev1.HostPathDirectoryOrCreate, corev1.HostPathDirectory, corev1.HostPathFileOrCreate,
		corev1.HostPathFile, corev1.HostPathSocket, corev1.HostPathCharDev, corev1.HostPathBlockDev)...)
}

func validateSecretVolume(s *corev1.SecretVolumeSource, fld *field.Path) field.ErrorList {
	errs := required(fld.Child("secretName"), s.SecretName)
	errs = append(errs, fileMode(s.DefaultMode, fld.Child("defaultMode"))...)
	errs = append(errs, fileUser(s.DefaultUser, fld.Child("defaultUser"))...)
	return append(errs, keysToPaths(s.Items, fld.Child("items"))...)
}

func validateConfigMapVolume(c *corev1.ConfigMapVolumeSource, fld *field.Path) field.ErrorList {
	errs := required(fld.Child("name"), c.Name)
	errs = append(errs, fileMode(c.DefaultMode, fld.Child("defaultMode"))...)
	errs = append(errs, fileUser(c.DefaultUser, fld.Child("defaultUser"))...)
	return append(errs, keysToPaths(c.Items, fld.Child("items"))...)
}

func keysToPaths(items []corev1.KeyToPath, fld *field.Path) field.ErrorList {
	var errs field.ErrorList
	for i := range items {
		errs = append(errs, keyToPath(&items[i], fld.Index(i))...)
	}
	return errs
}

func validateEphemeralVolume(v *corev1.Volume, meta *metav1.ObjectMeta, fld *field.Path) field.ErrorList {
	at := fld.Child("ephemeral", "volumeClaimTemplate")
	t := v.Ephemeral.VolumeClaimTemplate
	var errs field.ErrorList
	if t == nil {
		errs = append(errs, field.Required(at, ""))
	} else {
		errs = append(errs, validateClaimTemplateMeta(&t.ObjectMeta, at.Child("metadata"))...)
		errs = append(errs, ValidateClaimSpec(&t.Spec, at.Child("spec"), ClaimOptions{})...)
	}
	if meta != nil && meta.Name != "" && v.Name != "" {
		claim := meta.Name + "-" + v.Name
		for _, msg := range apivalidation.NameIsDNSSubdomain(claim, false) {
			errs = append(errs, field.Invalid(fld.Child("name"), v.Name, fmt.Sprintf("PVC name %q: %v", claim, msg)))
		}
	}
	return errs
}

func validateImageVolume(image *corev1.ImageVolumeSource, fld *field.Path, opts Options) field.ErrorList {
	var errs field.ErrorList
	if !opts.AllowEmptyImageVolumeReference {
		errs = required(fld.Child("reference"), image.Reference)
	}
	return append(errs, validatePullPolicy(image.PullPolicy, fld.Child("pullPolicy"))...)
}
