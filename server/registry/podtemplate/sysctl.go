package podtemplate

import (
	"fmt"
	"regexp"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/component-helpers/node/util/sysctl"
)

// maxSysctlName is the longest name of a sysctl in characters.
const maxSysctlName = 253

// sysctlName takes both separators that sysctl(8) knows.
var sysctlName = regexp.MustCompile(`^([a-z0-9]([-_a-z0-9]*[a-z0-9])?[\./])*[a-z0-9]([-_a-z0-9]*[a-z0-9])?$`)

func validateSysctls(spec *corev1.PodSpec, fld *field.Path, opts Options) field.ErrorList {
	var errs field.ErrorList
	seen := sets.New[string]()
	for i, s := range spec.SecurityContext.Sysctls {
		at := fld.Index(i).Child("name")
		switch {
		case s.Name == "":
			errs = append(errs, field.Required(at, ""))
		case len(s.Name) > maxSysctlName || !sysctlName.MatchString(s.Name):
			errs = append(errs, field.Invalid(at, s.Name, fmt.Sprintf("must have at most %d characters and match regex %s", maxSysctlName, sysctlName)))
		case seen.Has(s.Name):
			errs = append(errs, field.Duplicate(at, s.Name))
		}
		seen.Insert(s.Name)
		if !opts.AllowHostSysctls {
			errs = append(errs, validateHostSysctl(s.Name, spec, at)...)
		}
	}
	return errs
}

// validateHostSysctl refuses a sysctl of a namespace that the pod shares with its
// node.
func validateHostSysctl(name string, spec *corev1.PodSpec, fld *field.Path) field.ErrorList {
	namespace, _, _ := sysctl.GetNamespace(name)
	switch {
	case spec.HostNetwork && namespace == sysctl.NetNamespace:
		return field.ErrorList{field.Invalid(fld, name, "may not be specified when 'hostNetwork' is true")}
	case spec.HostIPC && namespace == sysctl.IPCNamespace:
		return field.ErrorList{field.Invalid(fld, name, "may not be specified when 'hostIPC' is true")}
	}
	return nil
}
