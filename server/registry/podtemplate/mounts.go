package podtemplate

import (
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

func validateMounts(c *corev1.Container, volumes volumeSet, fld *field.Path) field.ErrorList {
	devices := make(map[string]string, len(c.VolumeDevices))
	for _, d := range c.VolumeDevices {
		devices[d.Name] = d.DevicePath
	}
	var errs field.ErrorList
	points := sets.New[string]()
	for i := range c.VolumeMounts {
		m, at := &c.VolumeMounts[i], fld.Index(i)
		errs = append(errs, required(at.Child("name"), m.Name)...)
		if _, ok := volumes[m.Name]; !ok {
			errs = append(errs, field.NotFound(at.Child("name"), m.Name))
		}
		errs = append(errs, required(at.Child("mountPath"), m.MountPath)...)
		if points.Has(m.MountPath) {
			errs = append(errs, field.Invalid(at.Child("mountPath"), m.MountPath, "must be unique"))
		}
		points.Insert(m.MountPath)
		if _, ok := devices[m.Name]; ok {
			errs = append(errs, field.Invalid(at.Child("name"), m.Name, "must not already exist in volumeDevices"))
		}
		if hasValue(devices, m.MountPath) {
			errs = append(errs, field.Invalid(at.Child("mountPath"), m.MountPath, "must not already exist as a path in volumeDevices"))
		}
		errs = append(errs, validateMountDetails(m, c, volumes, fld, at)...)
	}
	return errs
}

func hasValue(m map[string]string, value string) bool {
	return slices.Contains(slices.Collect(maps.Values(m)), value)
}

// validateMountDetails checks how a volume is mounted. Some of it is reported at
// the list, as upstream does.
func validateMountDetails(m *corev1.VolumeMount, c *corev1.Container, volumes volumeSet, list, at *field.Path) field.ErrorList {
	var errs field.ErrorList
	if m.SubPath != "" {
		errs = append(errs, descendingPath(m.SubPath, list.Child("subPath"))...)
	}
	if m.SubPathExpr != "" {
		if m.SubPath != "" {
			errs = append(errs, field.Invalid(at.Child("subPathExpr"), m.SubPathExpr, "subPathExpr and subPath are mutually exclusive"))
		}
		errs = append(errs, descendingPath(m.SubPathExpr, list.Child("subPathExpr"))...)
	}
	if m.MountPropagation != nil {
		errs = append(errs, validatePropagation(*m.MountPropagation, c, list.Child("mountPropagation"))...)
	}
	errs = append(errs, validateRecursiveReadOnly(m, list.Child("recursiveReadOnly"))...)
	if len(m.BindMountOptions) == 0 {
		return errs
	}
	options := at.Child("bindMountOptions")
	seen := sets.New[string]()
	for i, option := range m.BindMountOptions {
		errs = append(errs, OneOf(options.Index(i), option, string(corev1.BindMountOptionNoExec),
			string(corev1.BindMountOptionNoDev), string(corev1.BindMountOptionNoSUID))...)
		if seen.Has(option) {
			errs = append(errs, field.Duplicate(options.Index(i), option))
		}
		seen.Insert(option)
	}
	if v, ok := volumes[m.Name]; ok && v.Image != nil {
		errs = append(errs, field.Invalid(options, m.BindMountOptions, "bindMountOptions may not be used with image volumes"))
	}
	return errs
}

func validatePropagation(mode corev1.MountPropagationMode, c *corev1.Container, fld *field.Path) field.ErrorList {
	errs := OneOf(fld, mode, corev1.MountPropagationBidirectional, corev1.MountPropagationHostToContainer, corev1.MountPropagationNone)
	if mode == corev1.MountPropagationBidirectional && !privileged(c) {
		errs = append(errs, field.Forbidden(fld, "Bidirectional mount propagation is available only to privileged containers"))
	}
	return errs
}

func privileged(c *corev1.Container) bool {
	return c.SecurityContext != nil && isTrue(c.SecurityContext.Privileged)
}

func isTrue(b *bool) bool { return b != nil && *b }

func validateRecursiveReadOnly(m *corev1.VolumeMount, fld *field.Path) field.ErrorList {
	if m.RecursiveReadOnly == nil || *m.RecursiveReadOnly == corev1.RecursiveReadOnlyDisabled {
		return nil
	}
	errs := OneOf(fld, *m.RecursiveReadOnly,
		corev1.RecursiveReadOnlyDisabled, corev1.RecursiveReadOnlyIfPossible, corev1.RecursiveReadOnlyEnabled)
	if len(errs) > 0 {
		return errs
	}
	if !m.ReadOnly {
		errs = append(errs, field.Forbidden(fld, "may only be specified when readOnly is true"))
	}
	if m.MountPropagation != nil && *m.MountPropagation != corev1.MountPropagationNone {
		errs = append(errs, field.Forbidden(fld, "may only be specified when mountPropagation is None or not specified"))
	}
	return errs
}

func validateDevices(c *corev1.Container, volumes volumeSet, fld *field.Path) field.ErrorList {
	mounts := make(map[string]string, len(c.VolumeMounts))
	for _, m := range c.VolumeMounts {
		mounts[m.Name] = m.MountPath
	}
	var errs field.ErrorList
	names, paths := sets.New[string](), sets.New[string]()
	for i := range c.VolumeDevices {
		d := &c.VolumeDevices[i]
		name, path := fld.Index(i).Child("name"), fld.Index(i).Child("devicePath")
		errs = append(errs, required(name, d.Name)...)
		if names.Has(d.Name) {
			errs = append(errs, field.Invalid(name, d.Name, "must be unique"))
		}
		if v, ok := volumes[d.Name]; !ok {
			errs = append(errs, field.NotFound(name, d.Name))
		} else if v.PersistentVolumeClaim == nil && v.Ephemeral == nil {
			errs = append(errs, field.Invalid(name, d.Name, "can only use volume source type of PersistentVolumeClaim or Ephemeral for block mode"))
		}
		errs = append(errs, required(path, d.DevicePath)...)
		if paths.Has(d.DevicePath) {
			errs = append(errs, field.Invalid(path, d.DevicePath, "must be unique"))
		}
		if len(noBacksteps(d.DevicePath, path)) > 0 {
			errs = append(errs, field.Invalid(path, d.DevicePath, "can not contain backsteps ('..')"))
		} else {
			paths.Insert(d.DevicePath)
		}
		if _, ok := mounts[d.Name]; ok {
			errs = append(errs, field.Invalid(name, d.Name, "must not already exist in volumeMounts"))
		}
		if hasValue(mounts, d.DevicePath) {
			errs = append(errs, field.Invalid(path, d.DevicePath, "must not already exist as a path in volumeMounts"))
		}
		if d.Name != "" {
			names.Insert(d.Name)
		}
	}
	return errs
}
