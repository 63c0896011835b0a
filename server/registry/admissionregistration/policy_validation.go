package admissionregistration

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	"k8s.io/apimachinery/pkg/api/validate/content"
	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	metav1validation "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/runtime/schema"
	utilvalidation "k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"skiff/server/registry/check"
)

const (
	maxAuditAnnotations      = 20
	maxAuditExpressionLength = 5 * 1024
)

// identifier is a name in CEL, reserved those that are none.
var (
	identifier = regexp.MustCompile(`^[_a-zA-Z][_a-zA-Z0-9]*$`)
	reserved   = strings.Fields("true false null in as break const continue else for function if import let loop package namespace return var void while")
)

func validateValidatingPolicy(_ context.Context, p *admissionv1.ValidatingAdmissionPolicy) field.ErrorList {
	s, fld := &p.Spec, field.NewPath("spec")
	errs := validatePolicy(s.FailurePolicy, s.ParamKind, s.MatchConstraints, s.MatchConditions, s.Variables, fld)
	if len(s.Validations) == 0 && len(s.AuditAnnotations) == 0 {
		const one = "validations or auditAnnotations must contain at least one item"
		return append(errs, field.Required(fld.Child("validations"), one), field.Required(fld.Child("auditAnnotations"), one))
	}
	for i := range s.Validations {
		errs = append(errs, validateValidation(&s.Validations[i], fld.Child("validations").Index(i))...)
	}
	return append(errs, validateAudit(p.Name, s.AuditAnnotations, fld.Child("auditAnnotations"))...)
}

func validateValidatingPolicyUpdate(ctx context.Context, p, _ *admissionv1.ValidatingAdmissionPolicy) field.ErrorList {
	return validateValidatingPolicy(ctx, p)
}

// validatePolicy checks what both kinds of policies have.
func validatePolicy(failure *admissionv1.FailurePolicyType, kind *admissionv1.ParamKind, match *admissionv1.MatchResources, conditions []admissionv1.MatchCondition, variables []admissionv1.Variable, fld *field.Path) field.ErrorList {
	var errs field.ErrorList
	if failure == nil {
		errs = append(errs, field.Required(fld.Child("failurePolicy"), ""))
	}
	errs = append(errs, supported(failure, failurePolicies, fld.Child("failurePolicy"))...)
	if kind != nil {
		errs = append(errs, validateParamKind(kind, fld.Child("paramKind"))...)
	}
	if match == nil {
		errs = append(errs, field.Required(fld.Child("matchConstraints"), ""))
	} else {
		errs = append(errs, validateMatchResources(match, fld.Child("matchConstraints"))...)
		if len(match.ResourceRules) == 0 {
			errs = append(errs, field.Required(fld.Child("matchConstraints", "resourceRules"), ""))
		}
	}
	errs = append(errs, validateMatchConditions(conditions, fld.Child("matchConditions"))...)
	for i := range variables {
		v, path := &variables[i], fld.Child("variables").Index(i)
		switch {
		case strings.TrimSpace(v.Name) == "":
			errs = append(errs, field.Required(path.Child("name"), "name is not specified"))
		case !identifier.MatchString(v.Name) || slices.Contains(reserved, v.Name):
			errs = append(errs, field.Invalid(path.Child("name"), v.Name, "must be a valid CEL identifier"))
		}
		if strings.TrimSpace(v.Expression) == "" {
			errs = append(errs, field.Required(path.Child("expression"), "expression is not specified"))
		}
	}
	return errs
}

func validateParamKind(k *admissionv1.ParamKind, fld *field.Path) field.ErrorList {
	errs := validateParamVersion(k.APIVersion, fld.Child("apiVersion"))
	if k.Kind == "" {
		return append(errs, field.Required(fld.Child("kind"), ""))
	}
	if msgs := utilvalidation.IsDNS1035Label(strings.ToLower(k.Kind)); len(msgs) > 0 {
		errs = append(errs, field.Invalid(fld.Child("kind"), k.Kind, "may have mixed case, but should otherwise match: "+strings.Join(msgs, ",")))
	}
	return errs
}

func validateParamVersion(version string, fld *field.Path) field.ErrorList {
	if version == "" {
		return field.ErrorList{field.Required(fld, "")}
	}
	gv, err := schema.ParseGroupVersion(version)
	if err != nil {
		return field.ErrorList{field.Invalid(fld, version, err.Error())}
	}
	var errs field.ErrorList
	if msgs := utilvalidation.IsDNS1123Subdomain(gv.Group); gv.Group != "" && len(msgs) > 0 {
		errs = append(errs, field.Invalid(fld, gv.Group, strings.Join(msgs, ",")))
	}
	if gv.Version == "" {
		return append(errs, field.Invalid(fld, version, "version must be specified"))
	}
	if msgs := utilvalidation.IsDNS1035Label(gv.Version); len(msgs) > 0 {
		errs = append(errs, field.Invalid(fld, gv.Version, strings.Join(msgs, ",")))
	}
	return errs
}

func validateValidation(v *admissionv1.Validation, fld *field.Path) field.ErrorList {
	var errs field.ErrorList
	if strings.TrimSpace(v.Expression) == "" {
		errs = append(errs, field.Required(fld.Child("expression"), "expression is not specified"))
	}
	if v.MessageExpression != "" && strings.TrimSpace(v.MessageExpression) == "" {
		errs = append(errs, field.Invalid(fld.Child("messageExpression"), v.MessageExpression, "must be non-empty if specified"))
	}
	switch message := strings.TrimSpace(v.Message); {
	case v.Message != "" && message == "":
		errs = append(errs, field.Invalid(fld.Child("message"), v.Message, "must be non-empty if specified"))
	case strings.ContainsAny(message, "\n\r"):
		errs = append(errs, field.Invalid(fld.Child("message"), v.Message, "must not contain line breaks"))
	}
	reasons := []metav1.StatusReason{metav1.StatusReasonForbidden, metav1.StatusReasonInvalid, metav1.StatusReasonRequestEntityTooLarge}
	return append(errs, supported(v.Reason, reasons, fld.Child("reason"))...)
}

func validateAudit(policy string, annotations []admissionv1.AuditAnnotation, fld *field.Path) field.ErrorList {
	var errs field.ErrorList
	if len(annotations) > maxAuditAnnotations {
		errs = append(errs, field.Invalid(fld, annotations, fmt.Sprintf("must not have more than %d auditAnnotations", maxAuditAnnotations)))
	}
	seen := map[string]bool{}
	for i, a := range annotations {
		path := fld.Index(i)
		if policy == "" {
			errs = append(errs, field.Invalid(path.Child("key"), a.Key, "requires metadata.name be non-empty"))
		} else {
			name := policy + "/" + a.Key
			errs = append(errs, check.Messages(name, utilvalidation.IsQualifiedName(name), path.Child("key"))...)
		}
		switch expression := strings.TrimSpace(a.ValueExpression); {
		case expression == "":
			errs = append(errs, field.Required(path.Child("valueExpression"), "valueExpression is not specified"))
		case len(expression) > maxAuditExpressionLength:
			errs = append(errs, field.Required(path.Child("valueExpression"), fmt.Sprintf("must not exceed %d bytes in length", maxAuditExpressionLength)))
		}
		if seen[a.Key] {
			errs = append(errs, field.Duplicate(path.Child("key"), a.Key))
		}
		seen[a.Key] = true
	}
	return errs
}

func validatePolicyStatus(_ context.Context, p, _ *admissionv1.ValidatingAdmissionPolicy) field.ErrorList {
	fld := field.NewPath("status")
	var errs field.ErrorList
	if t := p.Status.TypeChecking; t != nil {
		for i, w := range t.ExpressionWarnings {
			path := fld.Child("typeChecking", "expressionWarnings").Index(i)
			if w.Warning == "" {
				errs = append(errs, field.Required(path.Child("warning"), ""))
			}
			if strings.TrimSpace(w.FieldRef) == "" {
				errs = append(errs, field.Required(path.Child("fieldRef"), ""))
			}
		}
	}
	return append(errs, metav1validation.ValidateConditions(p.Status.Conditions, fld.Child("conditions"))...)
}

func validateMutatingPolicy(_ context.Context, p *admissionv1.MutatingAdmissionPolicy) field.ErrorList {
	s, fld := &p.Spec, field.NewPath("spec")
	errs := validatePolicy(s.FailurePolicy, s.ParamKind, s.MatchConstraints, s.MatchConditions, s.Variables, fld)
	errs = append(errs, validateMutates(s.MatchConstraints, fld.Child("matchConstraints"))...)
	if len(s.Mutations) == 0 {
		errs = append(errs, field.Required(fld.Child("mutations"), "mutations must contain at least one item"))
	}
	for i := range s.Mutations {
		errs = append(errs, validateMutation(&s.Mutations[i], fld.Child("mutations").Index(i))...)
	}
	return append(errs, check.OneOf(s.ReinvocationPolicy, reinvocationPolicies, fld.Child("reinvocationPolicy"))...)
}

func validateMutatingPolicyUpdate(ctx context.Context, p, _ *admissionv1.MutatingAdmissionPolicy) field.ErrorList {
	return validateMutatingPolicy(ctx, p)
}

// validateMutates checks that only requests with an object to change are matched.
func validateMutates(m *admissionv1.MatchResources, fld *field.Path) field.ErrorList {
	if m == nil {
		return nil
	}
	var errs field.ErrorList
	for i := range m.ResourceRules {
		for _, op := range m.ResourceRules[i].Operations {
			errs = append(errs, check.Supported(op, mutatingOperations, fld.Child("resourceRules", "operations"))...)
		}
	}
	return errs
}

func validateMutation(m *admissionv1.Mutation, fld *field.Path) field.ErrorList {
	apply, patch := fld.Child("applyConfiguration"), fld.Child("jsonPatch")
	var errs field.ErrorList
	switch m.PatchType {
	case "":
		return field.ErrorList{field.Required(fld.Child("patchType"), "")}
	case admissionv1.PatchTypeJSONPatch:
		if m.JSONPatch == nil {
			errs = append(errs, field.Required(patch, "must be specified when patchType is JSONPatch"))
		} else if strings.TrimSpace(m.JSONPatch.Expression) == "" {
			errs = append(errs, field.Required(patch.Child("expression"), "expression is not specified"))
		}
		if m.ApplyConfiguration != nil {
			errs = append(errs, field.Invalid(apply, "{applyConfiguration}", "must not be specified when patchType is JSONPatch"))
		}
	case admissionv1.PatchTypeApplyConfiguration:
		if m.ApplyConfiguration == nil {
			errs = append(errs, field.Required(apply, "must be specified when patchType is ApplyConfiguration"))
		} else if strings.TrimSpace(m.ApplyConfiguration.Expression) == "" {
			errs = append(errs, field.Required(apply.Child("expression"), "expression is not specified"))
		}
		if m.JSONPatch != nil {
			errs = append(errs, field.Invalid(patch, "{jsonPatch}", "must not be specified when patchType is ApplyConfiguration"))
		}
	default:
		errs = append(errs, field.NotSupported(fld.Child("patchType"), m.PatchType, []admissionv1.PatchType{admissionv1.PatchTypeApplyConfiguration, admissionv1.PatchTypeJSONPatch}))
	}
	return errs
}

func validateValidatingBinding(_ context.Context, b *admissionv1.ValidatingAdmissionPolicyBinding) field.ErrorList {
	fld := field.NewPath("spec")
	errs := validateBinding(b.Spec.PolicyName, b.Spec.ParamRef, b.Spec.MatchResources, fld)
	actions, path := b.Spec.ValidationActions, fld.Child("validationActions")
	seen := map[admissionv1.ValidationAction]bool{}
	for i, a := range actions {
		errs = append(errs, check.Supported(a, []admissionv1.ValidationAction{admissionv1.Audit, admissionv1.Deny, admissionv1.Warn}, path.Index(i))...)
		if seen[a] {
			errs = append(errs, field.Duplicate(path.Index(i), a))
		}
		seen[a] = true
	}
	if seen[admissionv1.Deny] && seen[admissionv1.Warn] {
		errs = append(errs, field.Invalid(path, actions, "must not contain both Deny and Warn (repeating the same validation failure information in the API response and headers serves no purpose)"))
	}
	if len(actions) == 0 {
		errs = append(errs, field.Required(path, "at least one validation action is required"))
	}
	return errs
}

func validateValidatingBindingUpdate(ctx context.Context, b, _ *admissionv1.ValidatingAdmissionPolicyBinding) field.ErrorList {
	return validateValidatingBinding(ctx, b)
}

func validateMutatingBinding(_ context.Context, b *admissionv1.MutatingAdmissionPolicyBinding) field.ErrorList {
	fld := field.NewPath("spec")
	errs := validateBinding(b.Spec.PolicyName, b.Spec.ParamRef, b.Spec.MatchResources, fld)
	return append(errs, validateMutates(b.Spec.MatchResources, fld.Child("matchResources"))...)
}

func validateMutatingBindingUpdate(ctx context.Context, b, _ *admissionv1.MutatingAdmissionPolicyBinding) field.ErrorList {
	return validateMutatingBinding(ctx, b)
}

// validateBinding checks what both kinds of bindings have.
func validateBinding(policy string, ref *admissionv1.ParamRef, match *admissionv1.MatchResources, fld *field.Path) field.ErrorList {
	var errs field.ErrorList
	if policy == "" {
		errs = append(errs, field.Required(fld.Child("policyName"), ""))
	} else {
		errs = append(errs, check.Messages(policy, apivalidation.NameIsDNSSubdomain(policy, false), fld.Child("policyName"))...)
	}
	if ref != nil {
		errs = append(errs, validateParamRef(ref, fld.Child("paramRef"))...)
	}
	return append(errs, validateMatchResources(match, fld.Child("matchResources"))...)
}

func validateParamRef(r *admissionv1.ParamRef, fld *field.Path) field.ErrorList {
	const exclusive = "name and selector are mutually exclusive"
	var errs field.ErrorList
	if r.Name != "" {
		errs = append(errs, check.Messages(r.Name, content.IsPathSegmentName(r.Name), fld.Child("name"))...)
		if r.Selector != nil {
			errs = append(errs, field.Forbidden(fld.Child("name"), exclusive))
		}
	}
	if r.Selector != nil {
		errs = append(errs, metav1validation.ValidateLabelSelector(r.Selector, metav1validation.LabelSelectorValidationOptions{}, fld.Child("selector"))...)
		if r.Name != "" {
			errs = append(errs, field.Forbidden(fld.Child("selector"), exclusive))
		}
	}
	if r.Name == "" && r.Selector == nil {
		errs = append(errs, field.Required(fld, "one of name or selector must be specified"))
	}
	action := fld.Child("parameterNotFoundAction")
	if a := r.ParameterNotFoundAction; a == nil || *a == "" {
		return append(errs, field.Required(action, ""))
	}
	return append(errs, supported(r.ParameterNotFoundAction, []admissionv1.ParameterNotFoundActionType{admissionv1.DenyAction, admissionv1.AllowAction}, action)...)
}
