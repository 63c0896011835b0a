package podtemplate

import (
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/validate/content"
	metavalidation "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// ValidateTolerations checks the taints that a pod bears.
func ValidateTolerations(list []corev1.Toleration, fld *field.Path, opts Options) field.ErrorList {
	var errs field.ErrorList
	for i := range list {
		t, at := &list[i], fld.Index(i)
		if t.Key != "" {
			errs = append(errs, metavalidation.ValidateLabelName(t.Key, at.Child("key"))...)
		} else if t.Operator != corev1.TolerationOpExists {
			errs = append(errs, field.Invalid(at.Child("operator"), t.Operator,
				"operator must be Exists when `key` is empty, which means \"match all values and all keys\""))
		}
		if t.TolerationSeconds != nil && t.Effect != corev1.TaintEffectNoExecute {
			errs = append(errs, field.Invalid(at.Child("effect"), t.Effect, "effect must be 'NoExecute' when `tolerationSeconds` is set"))
		}
		errs = append(errs, tolerationValue(t, at, opts)...)
		if t.Effect != "" {
			errs = append(errs, TaintEffect(t.Effect, at.Child("effect"))...)
		}
	}
	return errs
}

func tolerationValue(t *corev1.Toleration, fld *field.Path, opts Options) field.ErrorList {
	at := fld.Child("operator")
	switch t.Operator {
	case corev1.TolerationOpEqual, "":
		if msgs := validation.IsValidLabelValue(t.Value); len(msgs) > 0 {
			return field.ErrorList{field.Invalid(at, t.Value, strings.Join(msgs, ";"))}
		}
		return nil
	case corev1.TolerationOpExists:
		if t.Value != "" {
			return field.ErrorList{field.Invalid(at, t.Value, "value must be empty when `operator` is 'Exists'")}
		}
		return nil
	case corev1.TolerationOpLt, corev1.TolerationOpGt:
		if !opts.AllowTolerationComparison {
			return field.ErrorList{field.NotSupported(at, t.Operator, []corev1.TolerationOperator{
				corev1.TolerationOpEqual, corev1.TolerationOpExists, corev1.TolerationOpLt, corev1.TolerationOpGt})}
		}
		errs := invalids(fld.Child("value"), t.Value, content.IsDecimalInteger(t.Value))
		if _, err := strconv.ParseInt(t.Value, 10, 64); err != nil {
			errs = append(errs, field.Invalid(fld.Child("value"), t.Value, err.Error()))
		}
		return errs
	default:
		return oneOfInOrder(at, t.Operator, corev1.TolerationOpEqual, corev1.TolerationOpExists)
	}
}

// TaintEffect checks what a taint does.
func TaintEffect(effect corev1.TaintEffect, fld *field.Path) field.ErrorList {
	return oneOfInOrder(fld, effect,
		corev1.TaintEffectNoSchedule, corev1.TaintEffectPreferNoSchedule, corev1.TaintEffectNoExecute)
}
