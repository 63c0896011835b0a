package podtemplate

import (
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// validateContainerRestart checks a container's own restart policy and rules
// (KEP-5307). Of rules without a policy, those of an init container are not
// looked at.
func validateContainerRestart(c *corev1.Container, init bool, fld *field.Path) field.ErrorList {
	policy, rules := c.RestartPolicy, c.RestartPolicyRules
	if policy == nil && len(rules) == 0 {
		return nil
	}
	var errs field.ErrorList
	if policy == nil {
		errs = append(errs, field.Required(fld.Child("restartPolicy"), "must specify restartPolicy when restart rules are used"))
		if init {
			return errs
		}
	} else {
		errs = append(errs, OneOf(fld.Child("restartPolicy"), *policy,
			corev1.ContainerRestartPolicyAlways, corev1.ContainerRestartPolicyNever, corev1.ContainerRestartPolicyOnFailure)...)
	}
	if len(rules) > 20 {
		errs = append(errs, field.TooMany(fld.Child("restartPolicyRules"), len(rules), 20))
	}
	for i := range rules {
		errs = append(errs, validateRestartRule(&rules[i], fld.Child("restartPolicyRules").Index(i))...)
	}
	return errs
}

func validateRestartRule(r *corev1.ContainerRestartRule, fld *field.Path) field.ErrorList {
	errs := OneOf(fld.Child("action"), r.Action,
		corev1.ContainerRestartRuleActionRestart, corev1.ContainerRestartRuleActionRestartAllContainers)
	codes := fld.Child("exitCodes")
	if r.ExitCodes == nil {
		return append(errs, field.Required(codes, "must be specified"))
	}
	errs = append(errs, OneOf(codes.Child("operator"), r.ExitCodes.Operator,
		corev1.ContainerRestartRuleOnExitCodesOpIn, corev1.ContainerRestartRuleOnExitCodesOpNotIn)...)
	if n := len(r.ExitCodes.Values); n > 255 {
		errs = append(errs, field.TooMany(codes.Child("values"), n, 255))
	}
	return errs
}

// validateResizePolicy checks what a container does when its resources change.
func validateResizePolicy(policies []corev1.ContainerResizePolicy, fld *field.Path, restart corev1.RestartPolicy) field.ErrorList {
	var errs field.ErrorList
	seen := sets.New[corev1.ResourceName]()
	for i, p := range policies {
		if seen.Has(p.ResourceName) {
			errs = append(errs, field.Duplicate(fld.Index(i), p.ResourceName))
		}
		seen.Insert(p.ResourceName)
		errs = append(errs, requiredOneOf(fld, p.ResourceName, corev1.ResourceCPU, corev1.ResourceMemory)...)
		errs = append(errs, requiredOneOf(fld, p.RestartPolicy, corev1.NotRequired, corev1.RestartContainer)...)
		if restart == corev1.RestartPolicyNever && p.RestartPolicy != corev1.NotRequired {
			errs = append(errs, field.Invalid(fld, p.RestartPolicy, "must be 'NotRequired' when pod `restartPolicy` is 'Never'"))
		}
	}
	return errs
}

// Restarts tells whether a container of a pod with this restart policy runs
// again after it ended with exitCode.
func Restarts(c *corev1.Container, pod corev1.RestartPolicy, exitCode int32) bool {
	policy := string(pod)
	if c.RestartPolicy != nil {
		for i := range c.RestartPolicyRules {
			if matchesExit(&c.RestartPolicyRules[i], exitCode) {
				return true
			}
		}
		policy = string(*c.RestartPolicy)
	}
	switch policy {
	case string(corev1.RestartPolicyNever):
		return false
	case string(corev1.RestartPolicyOnFailure):
		return exitCode != 0
	}
	return true
}

func matchesExit(r *corev1.ContainerRestartRule, exitCode int32) bool {
	if r.ExitCodes == nil {
		return false
	}
	in := slices.Contains(r.ExitCodes.Values, exitCode)
	return in == (r.ExitCodes.Operator == corev1.ContainerRestartRuleOnExitCodesOpIn)
}

// RestartsAll tells whether one container of a pod can make all of them run again.
func RestartsAll(spec *corev1.PodSpec) bool {
	for c := range Containers(spec) {
		for i := range c.RestartPolicyRules {
			if c.RestartPolicyRules[i].Action == corev1.ContainerRestartRuleActionRestartAllContainers {
				return true
			}
		}
	}
	return false
}
