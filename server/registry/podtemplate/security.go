package podtemplate

import (
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"skiff/server/registry/untagged"
)

func userID(id *int64, fld *field.Path) field.ErrorList {
	if id == nil {
		return nil
	}
	return invalids(fld, *id, validation.IsValidUserID(*id))
}

func groupID(id *int64, fld *field.Path) field.ErrorList {
	if id == nil {
		return nil
	}
	return invalids(fld, *id, validation.IsValidGroupID(*id))
}

// validatePodSecurity checks a pod's security context.
func validatePodSecurity(spec *corev1.PodSpec, fld *field.Path, opts Options) field.ErrorList {
	sc := spec.SecurityContext
	if sc == nil {
		return nil
	}
	errs := groupID(sc.FSGroup, fld.Child("fsGroup"))
	errs = append(errs, userID(sc.RunAsUser, fld.Child("runAsUser"))...)
	errs = append(errs, groupID(sc.RunAsGroup, fld.Child("runAsGroup"))...)
	for i := range sc.SupplementalGroups {
		errs = append(errs, groupID(&sc.SupplementalGroups[i], fld.Child("supplementalGroups").Index(i))...)
	}
	errs = append(errs, validateSysctls(spec, fld.Child("sysctls"), opts)...)
	if sc.FSGroupChangePolicy != nil {
		errs = append(errs, OneOf(fld.Child("fsGroupChangePolicy"), *sc.FSGroupChangePolicy,
			corev1.FSGroupChangeOnRootMismatch, corev1.FSGroupChangeAlways)...)
	}
	errs = append(errs, validateSeccomp(sc.SeccompProfile, fld.Child("seccompProfile"))...)
	errs = append(errs, validateWindowsOptions(sc.WindowsOptions, fld.Child("windowsOptions"))...)
	errs = append(errs, ValidateAppArmor(sc.AppArmorProfile, fld.Child("appArmorProfile"))...)
	if sc.SupplementalGroupsPolicy != nil {
		errs = append(errs, OneOf(fld.Child("supplementalGroupsPolicy"), *sc.SupplementalGroupsPolicy,
			corev1.SupplementalGroupsPolicyMerge, corev1.SupplementalGroupsPolicyStrict)...)
	}
	if sc.SELinuxChangePolicy != nil {
		errs = append(errs, OneOf(fld.Child("seLinuxChangePolicy"), *sc.SELinuxChangePolicy,
			corev1.SELinuxChangePolicyRecursive, corev1.SELinuxChangePolicyMountOption)...)
	}
	return errs
}

// validateSecurityContext checks a container's security context.
func validateSecurityContext(sc *corev1.SecurityContext, fld *field.Path, hostUsers bool, opts Options) field.ErrorList {
	if sc == nil {
		return nil
	}
	errs := userID(sc.RunAsUser, fld.Child("runAsUser"))
	errs = append(errs, groupID(sc.RunAsGroup, fld.Child("runAsGroup"))...)
	if sc.ProcMount != nil {
		at := fld.Child("procMount")
		errs = append(errs, oneOfInOrder(at, *sc.ProcMount, corev1.DefaultProcMount, corev1.UnmaskedProcMount)...)
		if hostUsers && *sc.ProcMount == corev1.UnmaskedProcMount {
			errs = append(errs, field.Invalid(at, *sc.ProcMount, "`hostUsers` must be false to use `Unmasked`"))
		}
	}
	errs = append(errs, validateSeccomp(sc.SeccompProfile, fld.Child("seccompProfile"))...)
	errs = append(errs, validateEscalation(sc, fld, opts)...)
	errs = append(errs, validateWindowsOptions(sc.WindowsOptions, fld.Child("windowsOptions"))...)
	return append(errs, ValidateAppArmor(sc.AppArmorProfile, fld.Child("appArmorProfile"))...)
}

// validateEscalation refuses to keep a process from privileges that it has
// anyway.
func validateEscalation(sc *corev1.SecurityContext, fld *field.Path, opts Options) field.ErrorList {
	if sc.AllowPrivilegeEscalation == nil || *sc.AllowPrivilegeEscalation {
		return nil
	}
	var errs field.ErrorList
	if isTrue(sc.Privileged) {
		errs = append(errs, field.Invalid(fld, untagged.Value(sc), "cannot set `allowPrivilegeEscalation` to false and `privileged` to true"))
	}
	if opts.AllowSysAdminWithoutEscalation || sc.Capabilities == nil {
		return errs
	}
	for _, capability := range sc.Capabilities.Add {
		if capability == "CAP_SYS_ADMIN" {
			errs = append(errs, field.Invalid(fld, untagged.Value(sc), "cannot set `allowPrivilegeEscalation` to false and `capabilities.Add` CAP_SYS_ADMIN"))
		}
	}
	return errs
}

// keepsSysAdmin tells whether a stored container has CAP_SYS_ADMIN although it
// turns privilege escalation off or leaves it open.
func keepsSysAdmin(sc *corev1.SecurityContext) bool {
	return sc != nil && !isTrue(sc.AllowPrivilegeEscalation) && sc.Capabilities != nil &&
		slices.Contains(sc.Capabilities.Add, "CAP_SYS_ADMIN")
}

// validateHostUsers checks what a pod with users of its own (KEP-127) may share
// with its node.
func validateHostUsers(spec *corev1.PodSpec, fld *field.Path, opts Options) field.ErrorList {
	if spec.HostUsers == nil || *spec.HostUsers {
		return nil
	}
	const text = "when `hostUsers` is false"
	var errs field.ErrorList
	if spec.HostNetwork && !opts.AllowUserNamespacesWithHostNetwork {
		errs = append(errs, field.Forbidden(fld.Child("hostNetwork"), text))
	}
	if spec.HostPID {
		errs = append(errs, field.Forbidden(fld.Child("HostPID"), text))
	}
	if spec.HostIPC {
		errs = append(errs, field.Forbidden(fld.Child("HostIPC"), text))
	}
	if opts.AllowUserNamespacesWithVolumeDevices {
		return errs
	}
	for c, at := range containersAt(spec, fld) {
		if len(c.VolumeDevices) > 0 {
			errs = append(errs, field.Forbidden(at.Child("volumeDevices"), text))
		}
	}
	return errs
}
