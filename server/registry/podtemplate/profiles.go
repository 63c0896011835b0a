package podtemplate

import (
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"skiff/server/registry/untagged"
)

func validateSeccomp(p *corev1.SeccompProfile, fld *field.Path) field.ErrorList {
	if p == nil {
		return nil
	}
	var errs field.ErrorList
	if p.Type == "" {
		errs = append(errs, field.Required(fld.Child("type"), "type is required when seccompProfile is set"))
	} else {
		errs = append(errs, oneOfInOrder(fld.Child("type"), p.Type,
			corev1.SeccompProfileTypeLocalhost, corev1.SeccompProfileTypeRuntimeDefault, corev1.SeccompProfileTypeUnconfined)...)
	}
	at := fld.Child("localhostProfile")
	switch local := p.Type == corev1.SeccompProfileTypeLocalhost; {
	case local && p.LocalhostProfile == nil:
		errs = append(errs, field.Required(at, "must be set when seccomp type is Localhost"))
	case local:
		errs = append(errs, descendingPath(*p.LocalhostProfile, at)...)
	case p.LocalhostProfile != nil:
		errs = append(errs, field.Invalid(at, untagged.Value(p), "can only be set when seccomp type is Localhost"))
	}
	return errs
}

// ValidateAppArmor checks an AppArmor profile.
func ValidateAppArmor(p *corev1.AppArmorProfile, fld *field.Path) field.ErrorList {
	if p == nil {
		return nil
	}
	at := fld.Child("localhostProfile")
	switch p.Type {
	case corev1.AppArmorProfileTypeLocalhost:
		return validateLocalAppArmor(p.LocalhostProfile, at)
	case corev1.AppArmorProfileTypeRuntimeDefault, corev1.AppArmorProfileTypeUnconfined:
		if p.LocalhostProfile != nil {
			return field.ErrorList{field.Invalid(at, p.LocalhostProfile, "can only be set when AppArmor type is Localhost")}
		}
		return nil
	case "":
		return field.ErrorList{field.Required(fld.Child("type"), "type is required when appArmorProfile is set")}
	default:
		return oneOfInOrder(fld.Child("type"), p.Type,
			corev1.AppArmorProfileTypeLocalhost, corev1.AppArmorProfileTypeRuntimeDefault, corev1.AppArmorProfileTypeUnconfined)
	}
}

func validateLocalAppArmor(name *string, fld *field.Path) field.ErrorList {
	const text = "must be set when AppArmor type is Localhost"
	const maxName = 4095 // PATH_MAX - 1
	if name == nil {
		return field.ErrorList{field.Required(fld, text)}
	}
	var errs field.ErrorList
	if trimmed := strings.TrimSpace(*name); trimmed != *name {
		errs = append(errs, field.Invalid(fld, *name, "must not be padded with whitespace"))
	} else if trimmed == "" {
		errs = append(errs, field.Required(fld, text))
	}
	if len(*name) > maxName {
		errs = append(errs, field.TooLong(fld, "", maxName))
	}
	return errs
}

// The annotations that told of profiles before there were fields. Their values
// must agree with the fields where both are given.
const (
	seccompPodKey        = "seccomp.security.alpha.kubernetes.io/pod"
	seccompContainerKey  = "container.seccomp.security.alpha.kubernetes.io/"
	appArmorContainerKey = "container.apparmor.security.beta.kubernetes.io/"

	seccompRuntimeDefault = "runtime/default"
	seccompDockerDefault  = "docker/default"
	profileUnconfined     = "unconfined"
	profileLocal          = "localhost/"
)

func validateSeccompAnnotations(annotations map[string]string, fld *field.Path) field.ErrorList {
	var errs field.ErrorList
	for key, value := range sorted(annotations) {
		if key == seccompPodKey || strings.HasPrefix(key, seccompContainerKey) {
			errs = append(errs, validateSeccompName(value, fld.Child(key))...)
		}
	}
	return errs
}

func validateSeccompName(name string, fld *field.Path) field.ErrorList {
	switch name {
	case seccompRuntimeDefault, seccompDockerDefault, profileUnconfined:
		return nil
	}
	if path, ok := strings.CutPrefix(name, profileLocal); ok {
		return descendingPath(path, fld)
	}
	return field.ErrorList{field.Invalid(fld, name, "must be a valid seccomp profile")}
}

func validateAppArmorAnnotations(annotations map[string]string, spec *corev1.PodSpec, fld *field.Path) field.ErrorList {
	var errs field.ErrorList
	for key, value := range sorted(annotations) {
		container, ok := strings.CutPrefix(key, appArmorContainerKey)
		if !ok {
			continue
		}
		if !hasContainer(spec, container) {
			errs = append(errs, field.Invalid(fld.Key(key), container, "container not found"))
		}
		if value != "" && value != seccompRuntimeDefault && value != profileUnconfined && !strings.HasPrefix(value, profileLocal) {
			errs = append(errs, field.Invalid(fld.Key(key), value, fmt.Sprintf("invalid AppArmor profile name: %q", value)))
		}
	}
	return errs
}

func hasContainer(spec *corev1.PodSpec, name string) bool {
	for c := range Containers(spec) {
		if c.Name == name {
			return true
		}
	}
	return false
}

// validateProfilesAgree checks that annotations about profiles and fields say the
// same.
func validateProfilesAgree(annotations map[string]string, spec *corev1.PodSpec, fld *field.Path) field.ErrorList {
	var errs field.ErrorList
	if sc := spec.SecurityContext; sc != nil && sc.SeccompProfile != nil {
		if value, ok := annotations[seccompPodKey]; ok {
			errs = append(errs, seccompAgrees(value, sc.SeccompProfile, fld.Child("securityContext", "seccompProfile"))...)
		}
	}
	for c, at := range containersAt(spec, fld) {
		if c.SecurityContext == nil || c.SecurityContext.SeccompProfile == nil {
			continue
		}
		if value, ok := annotations[seccompContainerKey+c.Name]; ok {
			errs = append(errs, seccompAgrees(value, c.SecurityContext.SeccompProfile, at.Child("securityContext", "seccompProfile"))...)
		}
	}
	return append(errs, appArmorAgrees(annotations, spec, fld)...)
}

func seccompAgrees(value string, p *corev1.SeccompProfile, fld *field.Path) field.ErrorList {
	return profileAgrees("seccomp", value, string(p.Type), p.LocalhostProfile, fld,
		value == seccompRuntimeDefault || value == seccompDockerDefault)
}

func appArmorAgrees(annotations map[string]string, spec *corev1.PodSpec, fld *field.Path) field.ErrorList {
	if spec.OS != nil && spec.OS.Name == corev1.Windows {
		return nil
	}
	var errs field.ErrorList
	for c, at := range containersAt(spec, fld) {
		var profile *corev1.AppArmorProfile
		if spec.SecurityContext != nil {
			profile = spec.SecurityContext.AppArmorProfile
		}
		if c.SecurityContext != nil && c.SecurityContext.AppArmorProfile != nil {
			profile = c.SecurityContext.AppArmorProfile
		}
		value, ok := annotations[appArmorContainerKey+c.Name]
		if profile == nil || !ok {
			continue
		}
		errs = append(errs, profileAgrees("apparmor", value, string(profile.Type), profile.LocalhostProfile,
			at.Child("securityContext", "appArmorProfile"), value == seccompRuntimeDefault)...)
	}
	return errs
}

// profileAgrees compares an annotation's value with a profile's fields; both
// kinds of profiles have the same types.
func profileAgrees(kind, value, profileType string, local *string, fld *field.Path, runtimeDefault bool) field.ErrorList {
	agrees := true
	switch profileType {
	case "Unconfined":
		agrees = value == profileUnconfined
	case "RuntimeDefault":
		agrees = runtimeDefault
	case "Localhost":
		path, ok := strings.CutPrefix(value, profileLocal)
		if ok && (local == nil || path != *local) {
			return field.ErrorList{field.Forbidden(fld.Child("localhostProfile"), kind+" profile in annotation and field must match")}
		}
		agrees = ok
	}
	if agrees {
		return nil
	}
	return field.ErrorList{field.Forbidden(fld.Child("type"), kind+" type in annotation and field must match")}
}
