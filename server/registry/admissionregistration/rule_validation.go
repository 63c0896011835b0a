package admissionregistration

import (
	"fmt"
	"slices"
	"strings"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	"k8s.io/apimachinery/pkg/api/validate/content"
	metav1validation "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	utilvalidation "k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"skiff/server/registry/check"
)

const maxMatchConditions = 64

// What can be chosen, sorted.
var (
	failurePolicies      = []admissionv1.FailurePolicyType{admissionv1.Fail, admissionv1.Ignore}
	matchPolicies        = []admissionv1.MatchPolicyType{admissionv1.Equivalent, admissionv1.Exact}
	reinvocationPolicies = []admissionv1.ReinvocationPolicyType{admissionv1.IfNeededReinvocationPolicy, admissionv1.NeverReinvocationPolicy}
	operations           = []admissionv1.OperationType{admissionv1.OperationAll, admissionv1.Connect, admissionv1.Create, admissionv1.Delete, admissionv1.Update}
	mutatingOperations   = []admissionv1.OperationType{admissionv1.OperationAll, admissionv1.Connect, admissionv1.Create, admissionv1.Update}
	scopes               = []admissionv1.ScopeType{admissionv1.AllScopes, admissionv1.ClusterScope, admissionv1.NamespacedScope}
)

func validateRule(r *admissionv1.RuleWithOperations, fld *field.Path) field.ErrorList {
	var errs field.ErrorList
	ops := fld.Child("operations")
	if len(r.Operations) == 0 {
		errs = append(errs, field.Required(ops, ""))
	}
	if len(r.Operations) > 1 && slices.Contains(r.Operations, admissionv1.OperationAll) {
		errs = append(errs, field.Invalid(ops, r.Operations, "if '*' is present, must not specify other operations"))
	}
	for i, op := range r.Operations {
		errs = append(errs, check.Supported(op, operations, ops.Index(i))...)
	}
	errs = append(errs, validateWildcards(r.APIGroups, "API groups", fld.Child("apiGroups"))...)
	errs = append(errs, validateWildcards(r.APIVersions, "API versions", fld.Child("apiVersions"))...)
	for i, v := range r.APIVersions {
		if v == "" {
			errs = append(errs, field.Required(fld.Child("apiVersions").Index(i), ""))
		}
	}
	errs = append(errs, validateResources(r.Resources, fld.Child("resources"))...)
	return append(errs, supported(r.Scope, scopes, fld.Child("scope"))...)
}

// validateWildcards checks a list in which "*" stands alone.
func validateWildcards(list []string, what string, fld *field.Path) field.ErrorList {
	if len(list) == 0 {
		return field.ErrorList{field.Required(fld, "")}
	}
	if len(list) > 1 && slices.Contains(list, "*") {
		return field.ErrorList{field.Invalid(fld, list, "if '*' is present, must not specify other "+what)}
	}
	return nil
}

// validateResources checks that no resource or subresource is named beside a
// wildcard that includes it.
func validateResources(resources []string, fld *field.Path) field.ErrorList {
	var errs field.ErrorList
	if len(resources) == 0 {
		errs = append(errs, field.Required(fld, ""))
	}
	allSubresources, ofAllResources := map[string]bool{}, map[string]bool{}
	plain := false
	for i, r := range resources {
		if r == "" {
			errs = append(errs, field.Required(fld.Index(i), ""))
			continue
		}
		res, sub, ok := strings.Cut(r, "/")
		if !ok {
			plain = r != "*"
			continue
		}
		if allSubresources[res] {
			errs = append(errs, field.Invalid(fld.Index(i), r, fmt.Sprintf("if '%s/*' is present, must not specify %s", res, r)))
		}
		if ofAllResources[sub] {
			errs = append(errs, field.Invalid(fld.Index(i), r, fmt.Sprintf("if '*/%s' is present, must not specify %s", sub, r)))
		}
		allSubresources[res] = allSubresources[res] || sub == "*"
		ofAllResources[sub] = ofAllResources[sub] || res == "*"
	}
	if len(resources) > 1 && slices.Contains(resources, "*/*") {
		errs = append(errs, field.Invalid(fld, resources, "if '*/*' is present, must not specify other resources"))
	}
	if plain && slices.Contains(resources, "*") {
		errs = append(errs, field.Invalid(fld, resources, "if '*' is present, must not specify other resources without subresources"))
	}
	return errs
}

func validateMatchResources(m *admissionv1.MatchResources, fld *field.Path) field.ErrorList {
	if m == nil {
		return nil
	}
	var errs field.ErrorList
	if m.MatchPolicy == nil {
		errs = append(errs, field.Required(fld.Child("matchPolicy"), ""))
	}
	errs = append(errs, supported(m.MatchPolicy, matchPolicies, fld.Child("matchPolicy"))...)
	opts := metav1validation.LabelSelectorValidationOptions{}
	if m.NamespaceSelector == nil {
		errs = append(errs, field.Required(fld.Child("namespaceSelector"), ""))
	}
	errs = append(errs, metav1validation.ValidateLabelSelector(m.NamespaceSelector, opts, fld.Child("namespaceSelector"))...)
	if m.ObjectSelector == nil {
		errs = append(errs, field.Required(fld.Child("objectSelector"), ""))
	}
	errs = append(errs, metav1validation.ValidateLabelSelector(m.ObjectSelector, opts, fld.Child("objectSelector"))...)
	for i := range m.ResourceRules {
		errs = append(errs, validateNamedRule(&m.ResourceRules[i], fld.Child("resourceRules").Index(i))...)
	}
	for i := range m.ExcludeResourceRules {
		errs = append(errs, validateNamedRule(&m.ExcludeResourceRules[i], fld.Child("excludeResourceRules").Index(i))...)
	}
	return errs
}

func validateNamedRule(r *admissionv1.NamedRuleWithOperations, fld *field.Path) field.ErrorList {
	var errs field.ErrorList
	seen := map[string]bool{}
	for i, name := range r.ResourceNames {
		path := fld.Child("resourceNames").Index(i)
		errs = append(errs, check.Messages(name, content.IsPathSegmentName(name), path)...)
		if seen[name] {
			errs = append(errs, field.Duplicate(path, name))
		}
		seen[name] = true
	}
	return append(errs, validateRule(&r.RuleWithOperations, fld)...)
}

// validateMatchConditions checks conditions but for whether their expressions
// compile.
func validateMatchConditions(conditions []admissionv1.MatchCondition, fld *field.Path) field.ErrorList {
	var errs field.ErrorList
	if len(conditions) > maxMatchConditions {
		errs = append(errs, field.TooMany(fld, len(conditions), maxMatchConditions))
	}
	seen := map[string]bool{}
	for i, c := range conditions {
		path := fld.Index(i)
		if strings.TrimSpace(c.Expression) == "" {
			errs = append(errs, field.Required(path.Child("expression"), ""))
		}
		if c.Name == "" {
			errs = append(errs, field.Required(path.Child("name"), ""))
			continue
		}
		errs = append(errs, check.Messages(c.Name, utilvalidation.IsQualifiedName(c.Name), path.Child("name"))...)
		if seen[c.Name] {
			errs = append(errs, field.Duplicate(path.Child("name"), c.Name))
		}
		seen[c.Name] = true
	}
	return errs
}
