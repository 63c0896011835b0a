package batch

import (
	"fmt"
	"strconv"
	"strings"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	utilvalidation "k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"skiff/server/registry/check"
	"skiff/server/registry/untagged"
)

// The values that a pod failure policy (KEP-3329) can have, sorted.
var (
	failurePolicyActions    = []batchv1.PodFailurePolicyAction{batchv1.PodFailurePolicyActionCount, batchv1.PodFailurePolicyActionFailIndex, batchv1.PodFailurePolicyActionFailJob, batchv1.PodFailurePolicyActionIgnore}
	exitCodeOperators       = []batchv1.PodFailurePolicyOnExitCodesOperator{batchv1.PodFailurePolicyOnExitCodesOpIn, batchv1.PodFailurePolicyOnExitCodesOpNotIn}
	podConditionsWithStatus = []corev1.ConditionStatus{corev1.ConditionFalse, corev1.ConditionTrue, corev1.ConditionUnknown}
)

// validateOneOf checks a required value against the supported ones.
func validateOneOf[T ~string](v T, supported []T, fld *field.Path) field.ErrorList {
	if v == "" {
		return field.ErrorList{field.Required(fld, fmt.Sprintf("valid values: %q", supported))}
	}
	for _, s := range supported {
		if v == s {
			return nil
		}
	}
	return field.ErrorList{field.NotSupported(fld, v, supported)}
}

func validateFailurePolicy(spec *batchv1.JobSpec, fld *field.Path) field.ErrorList {
	rules := spec.PodFailurePolicy.Rules
	fld = fld.Child("rules")
	var errs field.ErrorList
	if len(rules) > maxFailurePolicyRules {
		errs = append(errs, field.TooMany(fld, len(rules), maxFailurePolicyRules))
	}
	containers := map[string]bool{}
	for i := range spec.Template.Spec.Containers {
		containers[spec.Template.Spec.Containers[i].Name] = true
	}
	for i := range spec.Template.Spec.InitContainers {
		containers[spec.Template.Spec.InitContainers[i].Name] = true
	}
	for i := range rules {
		errs = append(errs, validateFailurePolicyRule(spec, &rules[i], fld.Index(i), containers)...)
	}
	return errs
}

func validateFailurePolicyRule(spec *batchv1.JobSpec, r *batchv1.PodFailurePolicyRule, fld *field.Path, containers map[string]bool) field.ErrorList {
	errs := validateOneOf(r.Action, failurePolicyActions, fld.Child("action"))
	if r.Action == batchv1.PodFailurePolicyActionFailIndex && spec.BackoffLimitPerIndex == nil {
		errs = append(errs, field.Invalid(fld.Child("action"), r.Action, "requires the backoffLimitPerIndex to be set"))
	}
	if r.OnExitCodes != nil {
		errs = append(errs, validateOnExitCodes(r.OnExitCodes, fld.Child("onExitCodes"), containers)...)
	}
	if len(r.OnPodConditions) > 0 {
		errs = append(errs, validateOnPodConditions(r.OnPodConditions, fld.Child("onPodConditions"))...)
	}
	switch exit, conditions := r.OnExitCodes != nil, len(r.OnPodConditions) > 0; {
	case exit && conditions:
		errs = append(errs, field.Invalid(fld, field.OmitValueType{}, "specifying both OnExitCodes and OnPodConditions is not supported"))
	case !exit && !conditions:
		errs = append(errs, field.Invalid(fld, field.OmitValueType{}, "specifying one of OnExitCodes and OnPodConditions is required"))
	}
	return errs
}

func validateOnPodConditions(patterns []batchv1.PodFailurePolicyOnPodConditionsPattern, fld *field.Path) field.ErrorList {
	var errs field.ErrorList
	if len(patterns) > maxFailurePolicyPodConditions {
		errs = append(errs, field.TooMany(fld, len(patterns), maxFailurePolicyPodConditions))
	}
	for i := range patterns {
		p := fld.Index(i)
		for _, msg := range utilvalidation.IsQualifiedName(string(patterns[i].Type)) {
			errs = append(errs, field.Invalid(p.Child("type"), string(patterns[i].Type), msg))
		}
		errs = append(errs, validateOneOf(patterns[i].Status, podConditionsWithStatus, p.Child("status"))...)
	}
	return errs
}

func validateOnExitCodes(r *batchv1.PodFailurePolicyOnExitCodesRequirement, fld *field.Path, containers map[string]bool) field.ErrorList {
	errs := validateOneOf(r.Operator, exitCodeOperators, fld.Child("operator"))
	if r.ContainerName != nil && !containers[*r.ContainerName] {
		errs = append(errs, field.Invalid(fld.Child("containerName"), *r.ContainerName, "must be one of the container or initContainer names in the pod template"))
	}
	values := fld.Child("values")
	if len(r.Values) == 0 {
		errs = append(errs, field.Invalid(values, r.Values, "at least one value is required"))
	} else if len(r.Values) > maxFailurePolicyExitCodes {
		errs = append(errs, field.TooMany(values, len(r.Values), maxFailurePolicyExitCodes))
	}
	ordered, seen := true, map[int32]bool{}
	for i, v := range r.Values {
		if r.Operator == batchv1.PodFailurePolicyOnExitCodesOpIn && v == 0 {
			errs = append(errs, field.Invalid(values.Index(i), v, "must not be 0 for the In operator"))
		}
		if seen[v] {
			errs = append(errs, field.Duplicate(values.Index(i), v))
		}
		seen[v] = true
		ordered = ordered && (i == 0 || r.Values[i-1] <= v)
	}
	if !ordered {
		errs = append(errs, field.Invalid(values, r.Values, "must be ordered"))
	}
	return errs
}

// validateSuccessPolicy checks a success policy (KEP-3998).
func validateSuccessPolicy(spec *batchv1.JobSpec, fld *field.Path) field.ErrorList {
	if !isIndexed(spec) {
		return field.ErrorList{field.Invalid(fld, untagged.Value(*spec.SuccessPolicy), "requires indexed completion mode")}
	}
	rules := spec.SuccessPolicy.Rules
	fld = fld.Child("rules")
	var errs field.ErrorList
	if len(rules) == 0 {
		errs = append(errs, field.Required(fld, "at least one rules must be specified when the successPolicy is specified"))
	}
	if len(rules) > maxSuccessPolicyRules {
		errs = append(errs, field.TooMany(fld, len(rules), maxSuccessPolicyRules))
	}
	if spec.Completions == nil {
		// It is missed elsewhere, and without it there are no indexes to check.
		return errs
	}
	for i := range rules {
		errs = append(errs, validateSuccessPolicyRule(*spec.Completions, &rules[i], fld.Index(i))...)
	}
	return errs
}

func validateSuccessPolicyRule(completions int32, r *batchv1.SuccessPolicyRule, fld *field.Path) field.ErrorList {
	var errs field.ErrorList
	if r.SucceededCount == nil && r.SucceededIndexes == nil {
		errs = append(errs, field.Required(fld, "at least one of succeededCount or succeededIndexes must be specified"))
	}
	var total int32
	if indexes := r.SucceededIndexes; indexes != nil {
		path := fld.Child("succeededIndexes")
		if len(*indexes) > maxSuccessPolicyIndexesLength {
			errs = append(errs, field.TooLong(path, "", maxSuccessPolicyIndexesLength))
		}
		var err error
		if total, err = countIndexes(*indexes, completions); err != nil {
			errs = append(errs, field.Invalid(path, *indexes, fmt.Sprintf("error parsing succeededIndexes: %s", err)))
		}
	}
	if count := r.SucceededCount; count != nil {
		path := fld.Child("succeededCount")
		errs = append(errs, check.NonNegativePtr(count, path)...)
		if *count > completions {
			errs = append(errs, field.Invalid(path, *count, fmt.Sprintf("must be less than or equal to %d (the number of specified completions)", completions)))
		}
		if r.SucceededIndexes != nil && *count > total {
			errs = append(errs, field.Invalid(path, *count, fmt.Sprintf("must be less than or equal to %d (the number of indexes in the specified succeededIndexes field)", total)))
		}
	}
	return errs
}

// interval is a run of indexes, both ends included.
type interval struct{ first, last int32 }

// countIndexes checks a list of indexes like "1,3-5,7", and counts them.
func countIndexes(list string, completions int32) (int32, error) {
	if list == "" {
		return 0, nil
	}
	total, last := int32(0), int32(-1)
	for i, s := range strings.Split(list, ",") {
		v, err := parseInterval(s, completions)
		if err != nil {
			return 0, err
		}
		if i > 0 && last >= v.first {
			return 0, fmt.Errorf("non-increasing order, previous: %d, current: %d", last, v.first)
		}
		total += v.last - v.first + 1
		last = v.last
	}
	return total, nil
}

func parseInterval(s string, completions int32) (interval, error) {
	parts := strings.Split(s, "-")
	if len(parts) > 2 {
		return interval{}, fmt.Errorf("the fragment %q violates the requirement that an index interval can have at most two parts separated by '-'", s)
	}
	first, err := parseIndex(parts[0], completions)
	if err != nil || len(parts) == 1 {
		return interval{first, first}, err
	}
	last, err := parseIndex(parts[1], completions)
	if err != nil {
		return interval{}, err
	}
	if first >= last {
		return interval{}, fmt.Errorf("non-increasing order, previous: %d, current: %d", first, last)
	}
	return interval{first, last}, nil
}

func parseIndex(s string, completions int32) (int32, error) {
	n, err := strconv.Atoi(s)
	if err != nil {
		return 0, fmt.Errorf("cannot convert string to integer for index: %q", s)
	}
	if n >= int(completions) {
		return 0, fmt.Errorf("too large index: %q", s)
	}
	return int32(n), nil
}

// parseIntervals returns the intervals of a list that are valid.
func parseIntervals(list string, completions int32) []interval {
	var valid []interval
	for s := range strings.SplitSeq(list, ",") {
		if v, err := parseInterval(s, completions); err == nil {
			valid = append(valid, v)
		}
	}
	return valid
}

// overlap returns the first index that is in both lists, or -1.
func overlap(completed, failed string, completions int32) int32 {
	a, b := parseIntervals(completed, completions), parseIntervals(failed, completions)
	for i, k := 0, 0; i < len(a) && k < len(b); {
		if a[i].first <= b[k].last && b[k].first <= a[i].last {
			return max(a[i].first, b[k].first)
		}
		if a[i].first <= b[k].first {
			i++
		} else {
			k++
		}
	}
	return -1
}
