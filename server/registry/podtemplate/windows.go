package podtemplate

import (
	"fmt"
	"regexp"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// validateOS checks the operating system that a pod is for, and that it asks
// nothing of another.
func validateOS(spec *corev1.PodSpec, fld *field.Path) field.ErrorList {
	if spec.OS == nil {
		return nil
	}
	at := fld.Child("os")
	if spec.OS.Name == "" {
		return field.ErrorList{field.Required(at.Child("name"), "")}
	}
	if errs := OneOf(at, spec.OS.Name, corev1.Linux, corev1.Windows); len(errs) > 0 {
		return errs
	}
	if spec.OS.Name == corev1.Linux {
		return validateLinux(spec, fld)
	}
	return validateWindows(spec, fld)
}

func validateLinux(spec *corev1.PodSpec, fld *field.Path) field.ErrorList {
	const text = "windows options cannot be set for a linux pod"
	var errs field.ErrorList
	if sc := spec.SecurityContext; sc != nil && sc.WindowsOptions != nil {
		errs = append(errs, field.Forbidden(fld.Child("securityContext", "windowsOptions"), text))
	}
	for c, at := range containersAt(spec, fld) {
		if sc := c.SecurityContext; sc != nil && sc.WindowsOptions != nil {
			errs = append(errs, field.Forbidden(at.Child("securityContext", "windowsOptions"), text))
		}
	}
	return errs
}

// setField is a field with whether it is set.
type setField struct {
	name string
	set  bool
}

func forbidSet(fld *field.Path, text string, fields ...setField) field.ErrorList {
	var errs field.ErrorList
	for _, f := range fields {
		if f.set {
			errs = append(errs, field.Forbidden(fld.Child(f.name), text))
		}
	}
	return errs
}

func validateWindows(spec *corev1.PodSpec, fld *field.Path) field.ErrorList {
	const text = "cannot be set for a windows pod"
	var errs field.ErrorList
	if sc := spec.SecurityContext; sc != nil {
		errs = append(errs, forbidSet(fld.Child("securityContext"), text,
			setField{"appArmorProfile", sc.AppArmorProfile != nil},
			setField{"seLinuxOptions", sc.SELinuxOptions != nil},
			setField{"seccompProfile", sc.SeccompProfile != nil},
			setField{"fsGroup", sc.FSGroup != nil},
			setField{"fsGroupChangePolicy", sc.FSGroupChangePolicy != nil},
			setField{"sysctls", len(sc.Sysctls) > 0},
			setField{"runAsUser", sc.RunAsUser != nil},
			setField{"runAsGroup", sc.RunAsGroup != nil},
			setField{"supplementalGroups", sc.SupplementalGroups != nil},
			setField{"supplementalGroupsPolicy", sc.SupplementalGroupsPolicy != nil},
			setField{"seLinuxChangePolicy", sc.SELinuxChangePolicy != nil})...)
	}
	errs = append(errs, forbidSet(fld, text,
		setField{"hostUsers", spec.HostUsers != nil},
		setField{"hostPID", spec.HostPID},
		setField{"hostIPC", spec.HostIPC},
		setField{"shareProcessNamespace", spec.ShareProcessNamespace != nil})...)
	for c, at := range containersAt(spec, fld) {
		sc := c.SecurityContext
		if sc == nil {
			continue
		}
		errs = append(errs, forbidSet(at.Child("securityContext"), text,
			setField{"appArmorProfile", sc.AppArmorProfile != nil},
			setField{"seLinuxOptions", sc.SELinuxOptions != nil},
			setField{"seccompProfile", sc.SeccompProfile != nil},
			setField{"capabilities", sc.Capabilities != nil},
			setField{"readOnlyRootFilesystem", sc.ReadOnlyRootFilesystem != nil},
			setField{"privileged", sc.Privileged != nil},
			setField{"allowPrivilegeEscalation", sc.AllowPrivilegeEscalation != nil},
			setField{"procMount", sc.ProcMount != nil},
			setField{"runAsUser", sc.RunAsUser != nil},
			setField{"runAsGroup", sc.RunAsGroup != nil})...)
	}
	return errs
}

// validateHostProcess checks pods whose containers run as processes of a Windows
// node.
func validateHostProcess(spec *corev1.PodSpec, fld *field.Path) field.ErrorList {
	var errs field.ErrorList
	var podSays *bool
	if sc := spec.SecurityContext; sc != nil && sc.WindowsOptions != nil {
		podSays = sc.WindowsOptions.HostProcess
	}
	all, host := 0, 0
	for c, at := range containersAt(spec, fld) {
		all++
		var says *bool
		if sc := c.SecurityContext; sc != nil && sc.WindowsOptions != nil {
			says = sc.WindowsOptions.HostProcess
		}
		if podSays != nil && says != nil && *podSays != *says {
			errs = append(errs, field.Invalid(at.Child("securityContext", "windowsOptions", "hostProcess"), *says,
				fmt.Sprintf("pod hostProcess value must be identical if both are specified, was %v", *podSays)))
		}
		if isTrue(says) || says == nil && isTrue(podSays) {
			host++
		}
	}
	if host == 0 {
		return errs
	}
	if host != all {
		errs = append(errs, field.Invalid(fld, "", "If pod contains any hostProcess containers then all containers must be HostProcess containers"))
	}
	if !spec.HostNetwork {
		errs = append(errs, field.Invalid(fld.Child("hostNetwork"), false, "hostNetwork must be true if pod contains any hostProcess containers"))
	}
	return errs
}

const (
	maxGMSASpecKiB   = 64
	maxWindowsDomain = 256
	maxWindowsUser   = 104
)

// What Windows takes in DOMAIN\USER.
var (
	controlChars      = regexp.MustCompile(`[[:cntrl:]]+`)
	netBIOSDomain     = regexp.MustCompile(`^[^\\/:\*\?"<>|\.][^\\/:\*\?"<>|]{0,14}$`)
	dnsDomain         = regexp.MustCompile(`^[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?(?:\.[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?)*$`)
	badUserChars      = regexp.MustCompile(`["/\\:;|=,\+\*\?<>@\[\]]`)
	onlyDotsAndSpaces = regexp.MustCompile(`^[\. ]+$`)
)

func validateWindowsOptions(o *corev1.WindowsSecurityContextOptions, fld *field.Path) field.ErrorList {
	if o == nil {
		return nil
	}
	var errs field.ErrorList
	if name := o.GMSACredentialSpecName; name != nil {
		errs = append(errs, invalids(fld.Child("gmsaCredentialSpecName"), name, validation.IsDNS1123Subdomain(*name))...)
	}
	if spec := o.GMSACredentialSpec; spec != nil {
		at := fld.Child("gmsaCredentialSpec")
		if *spec == "" {
			errs = append(errs, field.Invalid(at, spec, "gmsaCredentialSpec cannot be an empty string"))
		} else if len(*spec) > maxGMSASpecKiB*1024 {
			errs = append(errs, field.Invalid(at, spec, fmt.Sprintf("gmsaCredentialSpec size must be under %d KiB", maxGMSASpecKiB)))
		}
	}
	if o.RunAsUserName != nil {
		errs = append(errs, invalids(fld.Child("runAsUserName"), o.RunAsUserName, windowsUser(*o.RunAsUserName))...)
	}
	return errs
}

// windowsUser returns what is wrong with DOMAIN\USER or USER.
func windowsUser(name string) []string {
	switch {
	case name == "":
		return []string{"runAsUserName cannot be an empty string"}
	case controlChars.MatchString(name):
		return []string{"runAsUserName cannot contain control characters"}
	case strings.Count(name, `\`) > 1:
		return []string{"runAsUserName cannot contain more than one backslash"}
	}
	var msgs []string
	domain, user, hasDomain := strings.Cut(name, `\`)
	if !hasDomain {
		domain, user = "", name
	}
	if len(domain) >= maxWindowsDomain {
		msgs = append(msgs, fmt.Sprintf("runAsUserName's Domain length must be under %d characters", maxWindowsDomain))
	}
	if hasDomain && !netBIOSDomain.MatchString(domain) && !dnsDomain.MatchString(domain) {
		msgs = append(msgs, "runAsUserName's Domain doesn't match the NetBios nor the DNS format")
	}
	if user == "" {
		msgs = append(msgs, "runAsUserName's User cannot be empty")
	} else if len(user) > maxWindowsUser {
		msgs = append(msgs, fmt.Sprintf("runAsUserName's User length must not be longer than %d characters", maxWindowsUser))
	}
	if onlyDotsAndSpaces.MatchString(user) {
		msgs = append(msgs, "runAsUserName's User cannot contain only periods or spaces")
	}
	if badUserChars.MatchString(user) {
		msgs = append(msgs, `runAsUserName's User cannot contain the following characters: "/\:;|=,+*?<>@[]`)
	}
	return msgs
}
