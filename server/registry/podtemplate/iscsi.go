package podtemplate

import (
	"regexp"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// ISCSINameTooLong is said of a volume whose name and portal do not fit into
// the name of an iSCSI interface.
const ISCSINameTooLong = "Total length of <volume name>:<iscsi.targetPortal> must be under 64 characters if iscsi.initiatorName is specified."

// The forms of an iSCSI name by the type that it starts with (RFC 3720 3.2.6.3).
var iscsiForms = []struct {
	prefix string
	form   *regexp.Regexp
}{
	{"iqn", regexp.MustCompile(`iqn\.\d{4}-\d{2}\.([[:alnum:]-.]+)(:[^,;*&$|\s]+)$`)},
	{"eui", regexp.MustCompile(`^eui.[[:alnum:]]{16}$`)},
	{"naa", regexp.MustCompile(`^naa.[[:alnum:]]{32}$`)},
}

// iscsiName checks an iSCSI name; unknown is what is said of one of no type.
func iscsiName(name string, fld *field.Path, unknown string) field.ErrorList {
	for _, f := range iscsiForms {
		if !strings.HasPrefix(name, f.prefix) {
			continue
		}
		if f.form.MatchString(name) {
			return nil
		}
		return field.ErrorList{field.Invalid(fld, name, "must be valid format")}
	}
	return field.ErrorList{field.Invalid(fld, name, unknown)}
}

func validateISCSI(i *corev1.ISCSIVolumeSource, fld *field.Path) field.ErrorList {
	const unknown = "must be valid format starting with iqn, eui, or naa"
	errs := iscsiTarget(i.TargetPortal, i.IQN, i.Lun, fld, unknown)
	if (i.DiscoveryCHAPAuth || i.SessionCHAPAuth) && i.SecretRef == nil {
		errs = append(errs, field.Required(fld.Child("secretRef"), ""))
	}
	if i.InitiatorName != nil {
		errs = append(errs, iscsiName(*i.InitiatorName, fld.Child("initiatorname"), unknown)...)
	}
	return errs
}

// ValidatePersistentISCSI checks the iSCSI source of the persistent volume that
// has this name.
func ValidatePersistentISCSI(i *corev1.ISCSIPersistentVolumeSource, volume string, fld *field.Path) field.ErrorList {
	const unknown = "must be valid format"
	errs := required(fld.Child("targetPortal"), i.TargetPortal)
	if i.InitiatorName != nil && len(volume+":"+i.TargetPortal) > 64 {
		errs = append(errs, field.Invalid(fld.Child("targetportal"), i.TargetPortal, ISCSINameTooLong))
	}
	errs = append(errs, iscsiDisk(i.IQN, i.Lun, fld, unknown)...)
	if (i.DiscoveryCHAPAuth || i.SessionCHAPAuth) && i.SecretRef == nil {
		errs = append(errs, field.Required(fld.Child("secretRef"), ""))
	}
	if i.SecretRef != nil {
		errs = append(errs, required(fld.Child("secretRef", "name"), i.SecretRef.Name)...)
	}
	if i.InitiatorName != nil {
		errs = append(errs, iscsiName(*i.InitiatorName, fld.Child("initiatorname"), unknown)...)
	}
	return errs
}

func iscsiTarget(portal, iqn string, n int32, fld *field.Path, unknown string) field.ErrorList {
	return append(required(fld.Child("targetPortal"), portal), iscsiDisk(iqn, n, fld, unknown)...)
}

func iscsiDisk(iqn string, n int32, fld *field.Path, unknown string) field.ErrorList {
	errs := required(fld.Child("iqn"), iqn)
	if iqn != "" {
		errs = append(errs, iscsiName(iqn, fld.Child("iqn"), unknown)...)
	}
	return append(errs, lun(n, fld)...)
}
