package podtemplate

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

const (
	mirrorKey       = corev1.MirrorPodAnnotationKey
	tolerationsKey  = corev1.TolerationsAnnotationKey
	deletionCostKey = corev1.PodDeletionCost
)

// IsMirror tells whether a pod stands for one that a node started by itself.
func IsMirror(annotations map[string]string) bool {
	_, ok := annotations[mirrorKey]
	return ok
}

// validatePodAnnotations checks the annotations that mean something for a pod.
func validatePodAnnotations(annotations map[string]string, spec *corev1.PodSpec, fld *field.Path, opts Options) field.ErrorList {
	var errs field.ErrorList
	if value, ok := annotations[mirrorKey]; ok && spec.NodeName == "" {
		errs = append(errs, field.Invalid(fld.Key(mirrorKey), value, "must set spec.nodeName if mirror pod annotation is set"))
	}
	if value := annotations[tolerationsKey]; value != "" {
		var list []corev1.Toleration
		if err := json.Unmarshal([]byte(value), &list); err != nil {
			errs = append(errs, field.Invalid(fld, tolerationsKey, err.Error()))
		} else {
			errs = append(errs, ValidateTolerations(list, fld.Child(tolerationsKey), opts)...)
		}
	}
	if value, ok := annotations[deletionCostKey]; ok && !opts.AllowInvalidPodDeletionCost {
		if _, err := deletionCost(value); err != nil {
			errs = append(errs, field.Invalid(fld.Key(deletionCostKey), value, "must be a 32bit integer"))
		}
	}
	errs = append(errs, validateSeccompAnnotations(annotations, fld)...)
	return append(errs, validateAppArmorAnnotations(annotations, spec, fld)...)
}

// deletionCost takes a number without a plus sign or leading zeros.
func deletionCost(value string) (int32, error) {
	if value == "" || value[0] == '+' || value[0] == '0' && value != "0" {
		return 0, fmt.Errorf("invalid value %q", value)
	}
	n, err := strconv.ParseInt(value, 10, 32)
	return int32(n), err
}

// validateAnnotationUpdates keeps the annotations that a node acts on as they
// are.
func validateAnnotationUpdates(pod, old *corev1.Pod, fld *field.Path, opts Options) field.ErrorList {
	var errs field.ErrorList
	for key, value := range sorted(old.Annotations) {
		if now, ok := pod.Annotations[key]; ok && now == value {
			continue
		}
		if strings.HasPrefix(key, appArmorContainerKey) {
			errs = append(errs, field.Forbidden(fld.Key(key), "may not remove or update AppArmor annotations"))
		}
		if key == mirrorKey {
			errs = append(errs, field.Forbidden(fld.Key(key), "may not remove or update mirror pod annotation"))
		}
	}
	for key := range sorted(pod.Annotations) {
		if _, ok := old.Annotations[key]; ok {
			continue
		}
		if strings.HasPrefix(key, appArmorContainerKey) {
			errs = append(errs, field.Forbidden(fld.Key(key), "may not add AppArmor annotations"))
		}
		if key == mirrorKey {
			errs = append(errs, field.Forbidden(fld.Key(key), "may not add mirror pod annotation"))
		}
	}
	return append(errs, validatePodAnnotations(pod.Annotations, &pod.Spec, fld, opts)...)
}
