package podtemplate

import (
	"path"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// noBacksteps checks that a path has no element "..".
func noBacksteps(p string, fld *field.Path) field.ErrorList {
	if slices.Contains(strings.Split(p, "/"), "..") {
		return field.ErrorList{field.Invalid(fld, p, "must not contain '..'")}
	}
	return nil
}

// descendingPath checks that a path is relative and stays below where it starts.
func descendingPath(p string, fld *field.Path) field.ErrorList {
	var errs field.ErrorList
	if path.IsAbs(p) {
		errs = append(errs, field.Invalid(fld, p, "must be a relative path"))
	}
	return append(errs, noBacksteps(p, fld)...)
}

// projectedPath checks a path of a file that is written into a volume: names
// starting with ".." are kept for the writer's own use.
func projectedPath(p string, fld *field.Path) field.ErrorList {
	errs := descendingPath(p, fld)
	if strings.HasPrefix(p, "..") && !strings.HasPrefix(p, "../") {
		errs = append(errs, field.Invalid(fld, p, "must not start with '..'"))
	}
	return errs
}

// fileMode checks the permission bits of a file in a volume.
func fileMode(mode *int32, fld *field.Path) field.ErrorList {
	if mode == nil || *mode >= 0 && *mode <= 0o777 {
		return nil
	}
	return field.ErrorList{field.Invalid(fld, *mode, "must be a number between 0 and 0777 (octal), both inclusive")}
}

// fileUser checks the owner of a file in a volume.
func fileUser(user *int64, fld *field.Path) field.ErrorList {
	if user == nil {
		return nil
	}
	return invalids(fld, *user, validation.IsValidUserID(*user))
}

// keyToPath checks where a key of a secret or config map goes in a volume.
func keyToPath(k *corev1.KeyToPath, fld *field.Path) field.ErrorList {
	errs := required(fld.Child("key"), k.Key)
	errs = append(errs, required(fld.Child("path"), k.Path)...)
	errs = append(errs, projectedPath(k.Path, fld.Child("path"))...)
	errs = append(errs, fileMode(k.Mode, fld.Child("mode"))...)
	return append(errs, fileUser(k.User, fld.Child("user"))...)
}
