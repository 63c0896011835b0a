package podtemplate

import (
	"fmt"
	"math"
	"reflect"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/util/diff"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"skiff/server/registry/untagged"
)

// Diff shows how two values of k8s.io/api differ, as messages about immutable
// ones do.
func Diff(old, value any) string { return diff.Diff(untagged.Value(old), untagged.Value(value)) }

// updatableFields are what clients may change in a pod.
var updatableFields = strings.Join([]string{
	"`spec.containers[*].image`",
	"`spec.initContainers[*].image`",
	"`spec.activeDeadlineSeconds`",
	"`spec.tolerations` (only additions to existing tolerations)",
	"`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)",
}, ",")

// ValidatePodUpdate checks an update of a pod.
func ValidatePodUpdate(pod, old *corev1.Pod, opts Options) field.ErrorList {
	fld := field.NewPath("spec")
	errs := validatePod(pod, opts)
	errs = append(errs, validateAnnotationUpdates(pod, old, field.NewPath("metadata", "annotations"), opts)...)
	for _, lists := range []struct {
		name     string
		now, old []corev1.Container
	}{
		{"containers", pod.Spec.Containers, old.Spec.Containers},
		{"initContainers", pod.Spec.InitContainers, old.Spec.InitContainers},
	} {
		found, comparable := validateContainerUpdates(lists.now, lists.old, fld.Child(lists.name))
		errs = append(errs, found...)
		if !comparable {
			return errs
		}
	}
	found, comparable := validateDeadlineUpdate(&pod.Spec, &old.Spec, fld.Child("activeDeadlineSeconds"))
	errs = append(errs, found...)
	if !comparable {
		return errs
	}
	errs = append(errs, validateTolerationUpdate(pod.Spec.Tolerations, old.Spec.Tolerations, fld.Child("tolerations"), opts)...)
	errs = append(errs, validateGateUpdate(pod.Spec.SchedulingGates, old.Spec.SchedulingGates, fld.Child("schedulingGates"))...)
	if equality.Semantic.DeepEqual(pod.Spec, old.Spec) {
		return errs
	}
	rest, found := restOfUpdate(&pod.Spec, &old.Spec, fld)
	errs = append(errs, found...)
	if !equality.Semantic.DeepEqual(*rest, old.Spec) {
		errs = append(errs, field.Forbidden(fld, fmt.Sprintf("pod updates may not change fields other than %s\n%v",
			updatableFields, Diff(old.Spec, *rest))))
	}
	return errs
}

// restOfUpdate is the new spec with everything that may change put back.
func restOfUpdate(spec, old *corev1.PodSpec, fld *field.Path) (*corev1.PodSpec, field.ErrorList) {
	rest := spec.DeepCopy()
	for i := range rest.Containers {
		rest.Containers[i].Image = old.Containers[i].Image
	}
	for i := range rest.InitContainers {
		rest.InitContainers[i].Image = old.InitContainers[i].Image
	}
	rest.ActiveDeadlineSeconds = old.ActiveDeadlineSeconds
	rest.SchedulingGates = old.SchedulingGates
	rest.Tolerations = old.Tolerations
	before, now := old.TerminationGracePeriodSeconds, rest.TerminationGracePeriodSeconds
	if before != nil && *before < 0 && now != nil && *now == 1 {
		rest.TerminationGracePeriodSeconds = before
	}
	if len(old.SchedulingGates) == 0 {
		return rest, nil
	}
	return rest, restOfGatedUpdate(rest, old, fld)
}

// restOfGatedUpdate puts back what may change while the scheduler does not look
// at the pod (KEP-3838).
func restOfGatedUpdate(rest, old *corev1.PodSpec, fld *field.Path) field.ErrorList {
	var errs field.ErrorList
	if !equality.Semantic.DeepEqual(rest.NodeSelector, old.NodeSelector) {
		errs = append(errs, validateSelectorAdditions(rest.NodeSelector, old.NodeSelector, fld.Child("nodeSelector"))...)
		rest.NodeSelector = old.NodeSelector
	}
	before, now := nodeAffinity(old.Affinity), nodeAffinity(rest.Affinity)
	if equality.Semantic.DeepEqual(before, now) {
		return errs
	}
	errs = append(errs, validateAffinityTightening(now, before, fld.Child("affinity", "nodeAffinity"))...)
	switch a := rest.Affinity; {
	case a == nil:
		rest.Affinity = &corev1.Affinity{NodeAffinity: before}
	case old.Affinity == nil && a.PodAffinity == nil && a.PodAntiAffinity == nil:
		rest.Affinity = nil
	default:
		a.NodeAffinity = before
	}
	return errs
}

func nodeAffinity(a *corev1.Affinity) *corev1.NodeAffinity {
	if a == nil {
		return nil
	}
	return a.NodeAffinity
}

// validateContainerUpdates checks a list of containers; the second result tells
// whether it can be compared one by one.
func validateContainerUpdates(containers, old []corev1.Container, fld *field.Path) (field.ErrorList, bool) {
	if len(containers) != len(old) {
		return field.ErrorList{field.Forbidden(fld, "pod updates may not add or remove containers")}, false
	}
	var errs field.ErrorList
	for i := range containers {
		errs = append(errs, required(fld.Index(i).Child("image"), containers[i].Image)...)
		errs = append(errs, validateImagePadding(containers[i].Image, fld.Index(i))...)
	}
	return errs, true
}

// validateDeadlineUpdate lets the deadline come nearer only.
func validateDeadlineUpdate(spec, old *corev1.PodSpec, fld *field.Path) (field.ErrorList, bool) {
	now, before := spec.ActiveDeadlineSeconds, old.ActiveDeadlineSeconds
	switch {
	case now == nil && before == nil:
		return nil, true
	case now == nil:
		return field.ErrorList{field.Invalid(fld, now, "must not update from a positive integer to nil value")}, true
	case *now < 0 || *now > math.MaxInt32:
		return field.ErrorList{field.Invalid(fld, *now, validation.InclusiveRangeError(0, math.MaxInt32))}, false
	case before != nil && *before < *now:
		return field.ErrorList{field.Invalid(fld, *now, "must be less than or equal to previous value")}, false
	}
	return nil, true
}

// validateTolerationUpdate allows additions, and other tolerationSeconds.
func validateTolerationUpdate(list, old []corev1.Toleration, fld *field.Path, opts Options) field.ErrorList {
	for i := range old {
		kept := false
		for j := range list {
			same := old[i]
			same.TolerationSeconds = list[j].TolerationSeconds
			kept = kept || reflect.DeepEqual(same, list[j])
		}
		if !kept {
			return field.ErrorList{field.Forbidden(fld, "existing toleration can not be modified except its tolerationSeconds")}
		}
	}
	return ValidateTolerations(list, fld, opts)
}

func validateGateUpdate(gates, old []corev1.PodSchedulingGate, fld *field.Path) field.ErrorList {
	var errs field.ErrorList
	known := make(map[string]bool, len(old))
	for _, gate := range old {
		known[gate.Name] = true
	}
	for i, gate := range gates {
		if !known[gate.Name] {
			errs = append(errs, field.Forbidden(fld.Index(i).Child("name"), fmt.Sprintf("only deletion is allowed, but found new scheduling gate '%s'", gate.Name)))
		}
	}
	return errs
}

func validateSelectorAdditions(selector, old map[string]string, fld *field.Path) field.ErrorList {
	for key, value := range old {
		if now, ok := selector[key]; !ok || now != value {
			return field.ErrorList{field.Invalid(fld, selector, "only additions to spec.nodeSelector are allowed (no mutations or deletions)")}
		}
	}
	return nil
}

// validateAffinityTightening lets required node affinity only get stricter: the
// terms, which are alternatives, stay, and each may get further conditions.
func validateAffinityTightening(a, old *corev1.NodeAffinity, fld *field.Path) field.ErrorList {
	if old == nil || old.RequiredDuringSchedulingIgnoredDuringExecution == nil {
		return nil
	}
	at := fld.Child("requiredDuringSchedulingIgnoredDuringExecution", "nodeSelectorTerms")
	before := old.RequiredDuringSchedulingIgnoredDuringExecution.NodeSelectorTerms
	var now []corev1.NodeSelectorTerm
	if a != nil && a.RequiredDuringSchedulingIgnoredDuringExecution != nil {
		now = a.RequiredDuringSchedulingIgnoredDuringExecution.NodeSelectorTerms
	}
	if len(before) > 0 && len(before) != len(now) {
		return field.ErrorList{field.Invalid(at, untagged.Value(now), "no additions/deletions to non-empty NodeSelectorTerms list are allowed")}
	}
	var errs field.ErrorList
	for i := range before {
		if !onlyAdds(&now[i], &before[i]) {
			errs = append(errs, field.Invalid(at.Index(i), untagged.Value(now[i]), "only additions are allowed (no mutations or deletions)"))
		}
	}
	return errs
}

func onlyAdds(term, old *corev1.NodeSelectorTerm) bool {
	if len(old.MatchExpressions) == 0 && len(old.MatchFields) == 0 {
		// An empty term matches nothing; anything more would match.
		return len(term.MatchExpressions) == 0 && len(term.MatchFields) == 0
	}
	return startsWith(term.MatchExpressions, old.MatchExpressions) && startsWith(term.MatchFields, old.MatchFields)
}

func startsWith(list, start []corev1.NodeSelectorRequirement) bool {
	return len(start) == 0 || len(list) >= len(start) && equality.Semantic.DeepEqual(list[:len(start)], start)
}

// ValidateEphemeralUpdate checks an update of a pod's ephemeral containers: there
// can only be more of them.
func ValidateEphemeralUpdate(pod, old *corev1.Pod, opts Options) field.ErrorList {
	if IsMirror(old.Annotations) {
		return field.ErrorList{field.Forbidden(field.NewPath(""), "static pods do not support ephemeral containers")}
	}
	fld := field.NewPath("spec", "ephemeralContainers")
	errs := validatePod(pod, opts)
	errs = append(errs, validateAnnotationUpdates(pod, old, field.NewPath("metadata", "annotations"), opts)...)
	index := make(map[string]*corev1.EphemeralContainer, len(pod.Spec.EphemeralContainers))
	for i := range pod.Spec.EphemeralContainers {
		index[pod.Spec.EphemeralContainers[i].Name] = &pod.Spec.EphemeralContainers[i]
	}
	for i := range old.Spec.EphemeralContainers {
		before := &old.Spec.EphemeralContainers[i]
		now, ok := index[before.Name]
		if !ok {
			errs = append(errs, field.Forbidden(fld, fmt.Sprintf("existing ephemeral containers %q may not be removed\n", before.Name)))
		} else if !equality.Semantic.DeepEqual(*before, *now) {
			errs = append(errs, field.Forbidden(fld, fmt.Sprintf("existing ephemeral containers %q may not be changed\n%v", before.Name, Diff(*before, *now))))
		}
	}
	return errs
}
