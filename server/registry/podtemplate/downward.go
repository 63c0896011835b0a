package podtemplate

import (
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// The fields of a pod that the downward API offers, sorted.
var (
	envFields = []string{
		"metadata.name", "metadata.namespace", "metadata.uid", "spec.nodeName", "spec.serviceAccountName",
		"status.hostIP", "status.hostIPs", "status.podIP", "status.podIPs",
	}
	volumeFields = []string{
		"metadata.annotations", "metadata.labels", "metadata.name", "metadata.namespace", "metadata.uid",
	}
	resourceFields = []string{
		"limits.cpu", "limits.ephemeral-storage", "limits.memory",
		"requests.cpu", "requests.ephemeral-storage", "requests.memory",
	}
)

// podFields are the field labels of a pod that are known at all.
var podFields = append([]string{
	"spec.restartPolicy", "spec.schedulerName", "status.phase", "metadata.annotations", "metadata.labels",
}, envFields...)

// splitSubscript splits metadata.labels['key'].
func splitSubscript(path string) (base, key string, ok bool) {
	s, ok := strings.CutSuffix(path, "']")
	if !ok {
		return path, "", false
	}
	base, key, ok = strings.Cut(s, "['")
	if !ok || base == "" {
		return path, "", false
	}
	return base, key, true
}

// resolveField returns the field of a pod that a path of this version means.
func resolveField(version, path string) (string, error) {
	if version != "v1" {
		return "", fmt.Errorf("unsupported pod version: %s", version)
	}
	if base, _, ok := splitSubscript(path); ok {
		if base != "metadata.annotations" && base != "metadata.labels" {
			return "", fmt.Errorf("field label does not support subscript: %s", path)
		}
		return path, nil
	}
	if path == "spec.host" { // the name that very old clients know
		return "spec.nodeName", nil
	}
	if !slices.Contains(podFields, path) {
		return "", fmt.Errorf("field label not supported: %s", path)
	}
	return path, nil
}

func fieldRef(ref *corev1.ObjectFieldSelector, offered []string, fld *field.Path) field.ErrorList {
	at := fld.Child("fieldPath")
	if ref.APIVersion == "" {
		return field.ErrorList{field.Required(fld.Child("apiVersion"), "")}
	}
	if ref.FieldPath == "" {
		return field.ErrorList{field.Required(at, "")}
	}
	path, err := resolveField(ref.APIVersion, ref.FieldPath)
	if err != nil {
		return field.ErrorList{field.Invalid(at, ref.FieldPath, fmt.Sprintf("error converting fieldPath: %v", err))}
	}
	base, key, ok := splitSubscript(path)
	switch {
	case ok && base == "metadata.annotations":
		return QualifiedName(strings.ToLower(key), fld)
	case ok:
		return QualifiedName(key, fld)
	default:
		return oneOfInOrder(at, path, offered...)
	}
}

func resourceFieldRef(ref *corev1.ResourceFieldSelector, fld *field.Path, volume bool) field.ErrorList {
	var errs field.ErrorList
	hugePages := strings.HasPrefix(ref.Resource, "requests.hugepages-") || strings.HasPrefix(ref.Resource, "limits.hugepages-")
	switch {
	case volume && ref.ContainerName == "":
		errs = append(errs, field.Required(fld.Child("containerName"), ""))
	case ref.Resource == "":
		errs = append(errs, field.Required(fld.Child("resource"), ""))
	case !hugePages:
		errs = append(errs, oneOfInOrder(fld.Child("resource"), ref.Resource, resourceFields...)...)
	}
	return append(errs, divisor(ref, hugePages, fld.Child("divisor"))...)
}

var byteDivisors = []string{"1", "1k", "1M", "1G", "1T", "1P", "1E", "1Ki", "1Mi", "1Gi", "1Ti", "1Pi", "1Ei"}

func divisor(ref *corev1.ResourceFieldSelector, hugePages bool, fld *field.Path) field.ErrorList {
	if ref.Divisor.IsZero() {
		return nil
	}
	value, allowed, text := ref.Divisor.String(), byteDivisors, ""
	switch ref.Resource {
	case "limits.cpu", "requests.cpu":
		allowed, text = []string{"1m", "1"}, "only divisor's values 1m and 1 are supported with the cpu resource"
	case "limits.memory", "requests.memory":
		text = byteDivisorText + "memory resource"
	case "limits.ephemeral-storage", "requests.ephemeral-storage":
		text = byteDivisorText + "local ephemeral storage resource"
	default:
		if !hugePages {
			return nil
		}
		text = byteDivisorText + "hugepages resource"
	}
	if slices.Contains(allowed, value) {
		return nil
	}
	return field.ErrorList{field.Invalid(fld, ref.Resource, text)}
}

const byteDivisorText = "only divisor's values 1, 1k, 1M, 1G, 1T, 1P, 1E, 1Ki, 1Mi, 1Gi, 1Ti, 1Pi, 1Ei are supported with the "

func validateDownwardVolume(d *corev1.DownwardAPIVolumeSource, fld *field.Path) field.ErrorList {
	errs := fileMode(d.DefaultMode, fld.Child("defaultMode"))
	errs = append(errs, fileUser(d.DefaultUser, fld.Child("defaultUser"))...)
	for i := range d.Items {
		// Without the item's index, as upstream reports it.
		errs = append(errs, downwardFile(&d.Items[i], fld)...)
	}
	return errs
}

func downwardFile(f *corev1.DownwardAPIVolumeFile, fld *field.Path) field.ErrorList {
	errs := required(fld.Child("path"), f.Path)
	errs = append(errs, projectedPath(f.Path, fld.Child("path"))...)
	switch {
	case f.FieldRef != nil:
		errs = append(errs, fieldRef(f.FieldRef, volumeFields, fld.Child("fieldRef"))...)
		if f.ResourceFieldRef != nil {
			errs = append(errs, field.Invalid(fld, "resource", "fieldRef and resourceFieldRef can not be specified simultaneously"))
		}
	case f.ResourceFieldRef != nil:
		errs = append(errs, resourceFieldRef(f.ResourceFieldRef, fld.Child("resourceFieldRef"), true)...)
	default:
		errs = append(errs, field.Required(fld, "one of fieldRef and resourceFieldRef is required"))
	}
	errs = append(errs, fileMode(f.Mode, fld.Child("mode"))...)
	return append(errs, fileUser(f.User, fld.Child("user"))...)
}
