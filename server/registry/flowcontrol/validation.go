package flowcontrol

import (
	"context"
	"fmt"
	"slices"
	"strings"

	flowcontrolv1 "k8s.io/api/flowcontrol/v1"
	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"skiff/server/registry/check"
	"skiff/server/registry/untagged"
)

const (
	maxPrecedence = 10000
	exempt        = "exempt"
	maxQueues     = 10_000_000
)

// verbs are those that a rule can name, sorted.
var verbs = []string{"create", "delete", "deletecollection", "get", "list", "patch", "proxy", "update", "watch"}

func validateFlowSchema(_ context.Context, s *flowcontrolv1.FlowSchema) field.ErrorList {
	spec, fld := &s.Spec, field.NewPath("spec")
	precedence := fld.Child("matchingPrecedence")
	var errs field.ErrorList
	switch n := spec.MatchingPrecedence; {
	case n <= 0:
		errs = append(errs, field.Invalid(precedence, n, "must be a positive value"))
	case n > maxPrecedence:
		errs = append(errs, field.Invalid(precedence, n, fmt.Sprintf("must not be greater than %v", maxPrecedence)))
	case n == 1 && s.Name != exempt:
		errs = append(errs, field.Invalid(precedence, n, "only the schema named 'exempt' may have matchingPrecedence 1"))
	}
	methods := []flowcontrolv1.FlowDistinguisherMethodType{flowcontrolv1.FlowDistinguisherMethodByNamespaceType, flowcontrolv1.FlowDistinguisherMethodByUserType}
	if m := spec.DistinguisherMethod; m != nil && !slices.Contains(methods, m.Type) {
		errs = append(errs, field.NotSupported(fld.Child("distinguisherMethod", "type"), untagged.Value(m), methods))
	}
	level := fld.Child("priorityLevelConfiguration", "name")
	if name := spec.PriorityLevelConfiguration.Name; name == "" {
		errs = append(errs, field.Required(level, "must reference a priority level"))
	} else {
		errs = append(errs, check.Messages(name, apivalidation.NameIsDNSSubdomain(name, false), level)...)
	}
	for i := range spec.Rules {
		errs = append(errs, validateRule(&spec.Rules[i], fld.Child("rules").Index(i))...)
	}
	return errs
}

func validateFlowSchemaUpdate(ctx context.Context, s, _ *flowcontrolv1.FlowSchema) field.ErrorList {
	return validateFlowSchema(ctx, s)
}

func validateFlowSchemaStatus(_ context.Context, s, _ *flowcontrolv1.FlowSchema) field.ErrorList {
	types := make([]string, len(s.Status.Conditions))
	for i, c := range s.Status.Conditions {
		types[i] = string(c.Type)
	}
	return validateConditionTypes(types)
}

func validateConditionTypes(types []string) field.ErrorList {
	var errs field.ErrorList
	for i, t := range types {
		fld := field.NewPath("status", "conditions").Index(i).Child("type")
		if slices.Contains(types[:i], t) {
			errs = append(errs, field.Duplicate(fld, t))
		}
		if t == "" {
			errs = append(errs, field.Required(fld, ""))
		}
	}
	return errs
}

func validateRule(r *flowcontrolv1.PolicyRulesWithSubjects, fld *field.Path) field.ErrorList {
	var errs field.ErrorList
	if len(r.Subjects) == 0 {
		errs = append(errs, field.Required(fld.Child("subjects"), "subjects must contain at least one value"))
	}
	for i := range r.Subjects {
		errs = append(errs, validateSubject(&r.Subjects[i], fld.Child("subjects").Index(i))...)
	}
	if len(r.ResourceRules) == 0 && len(r.NonResourceRules) == 0 {
		errs = append(errs, field.Required(fld, "at least one of resourceRules and nonResourceRules has to be non-empty"))
	}
	for i := range r.ResourceRules {
		rule, path := &r.ResourceRules[i], fld.Child("resourceRules").Index(i)
		errs = append(errs, validateVerbs(rule.Verbs, path.Child("verbs"))...)
		errs = append(errs, validateList(rule.APIGroups, "resource rules must supply at least one api group", "api groups", path.Child("apiGroups"))...)
		errs = append(errs, validateList(rule.Resources, "resource rules must supply at least one resource", "resources", path.Child("resources"))...)
		errs = append(errs, validateNamespaces(rule, path.Child("namespaces"))...)
	}
	for i := range r.NonResourceRules {
		rule, path := &r.NonResourceRules[i], fld.Child("nonResourceRules").Index(i)
		errs = append(errs, validateVerbs(rule.Verbs, path.Child("verbs"))...)
		errs = append(errs, validateList(rule.NonResourceURLs, "nonResourceURLs must contain at least one value", "non-resource URLs", path.Child("nonResourceURLs"))...)
		errs = append(errs, validateURLPaths(rule.NonResourceURLs, path.Child("nonResourceURLs"))...)
	}
	return errs
}

// validateURLPaths checks paths outside the API, unless all of them are meant.
func validateURLPaths(paths []string, fld *field.Path) field.ErrorList {
	if slices.Contains(paths, "*") {
		return nil
	}
	var errs field.ErrorList
	for i, p := range paths {
		if msg := urlPathFault(p); msg != "" {
			errs = append(errs, field.Invalid(fld.Index(i), p, msg))
		}
	}
	return errs
}

func urlPathFault(p string) string {
	switch {
	case p == "":
		return "must not be empty"
	case !strings.HasPrefix(p, "/"):
		return "must start with slash"
	case strings.Contains(p, " "):
		return "must not contain white-space"
	case strings.Contains(p, "//"):
		return "must not contain double slash"
	case strings.Contains(strings.TrimSuffix(p, "/*"), "*"):
		return "wildcard can only do suffix matching"
	}
	return ""
}

func validateSubject(s *flowcontrolv1.Subject, fld *field.Path) field.ErrorList {
	kinds := []flowcontrolv1.SubjectKind{flowcontrolv1.SubjectKindGroup, flowcontrolv1.SubjectKindServiceAccount, flowcontrolv1.SubjectKindUser}
	if !slices.Contains(kinds, s.Kind) {
		return field.ErrorList{field.NotSupported(fld.Child("kind"), s.Kind, kinds)}
	}
	var errs field.ErrorList
	for _, m := range []struct {
		kind flowcontrolv1.SubjectKind
		name string
		set  bool
	}{
		{flowcontrolv1.SubjectKindServiceAccount, "serviceAccount", s.ServiceAccount != nil},
		{flowcontrolv1.SubjectKindUser, "user", s.User != nil},
		{flowcontrolv1.SubjectKindGroup, "group", s.Group != nil},
	} {
		switch {
		case m.kind == s.Kind && !m.set:
			errs = append(errs, field.Required(fld.Child(m.name), fmt.Sprintf("%s is required when subject kind is '%s'", m.name, m.kind)))
		case m.kind != s.Kind && m.set:
			errs = append(errs, field.Forbidden(fld.Child(m.name), fmt.Sprintf("%s is forbidden when subject kind is not '%s'", m.name, m.kind)))
		}
	}
	if s.Kind == flowcontrolv1.SubjectKindUser && s.User != nil && s.User.Name == "" {
		errs = append(errs, field.Required(fld.Child("user", "name"), ""))
	}
	if s.Kind == flowcontrolv1.SubjectKindGroup && s.Group != nil && s.Group.Name == "" {
		errs = append(errs, field.Required(fld.Child("group", "name"), ""))
	}
	if s.Kind == flowcontrolv1.SubjectKindServiceAccount && s.ServiceAccount != nil {
		errs = append(errs, validateAccount(s.ServiceAccount, fld.Child("serviceAccount"))...)
	}
	return errs
}

func validateAccount(a *flowcontrolv1.ServiceAccountSubject, fld *field.Path) field.ErrorList {
	var errs field.ErrorList
	switch a.Name {
	case "":
		errs = append(errs, field.Required(fld.Child("name"), ""))
	case flowcontrolv1.NameAll:
	default:
		errs = append(errs, check.Messages(a.Name, apivalidation.ValidateServiceAccountName(a.Name, false), fld.Child("name"))...)
	}
	if a.Namespace == "" {
		return append(errs, field.Required(fld.Child("namespace"), "must specify namespace for service account"))
	}
	return append(errs, check.Messages(a.Namespace, apivalidation.ValidateNamespaceName(a.Namespace, false), fld.Child("namespace"))...)
}

func validateVerbs(list []string, fld *field.Path) field.ErrorList {
	errs := validateList(list, "verbs must contain at least one value", "verbs", fld)
	if slices.Contains(list, "*") {
		return errs
	}
	for _, v := range list {
		if !slices.Contains(verbs, v) {
			return append(errs, field.NotSupported(fld, list, verbs))
		}
	}
	return errs
}

// validateList checks a list in which "*" stands alone.
func validateList(list []string, missing, what string, fld *field.Path) field.ErrorList {
	if len(list) == 0 {
		return field.ErrorList{field.Required(fld, missing)}
	}
	if len(list) > 1 && slices.Contains(list, "*") {
		return field.ErrorList{field.Invalid(fld, list, "if '*' is present, must not specify other "+what)}
	}
	return nil
}

func validateNamespaces(r *flowcontrolv1.ResourcePolicyRule, fld *field.Path) field.ErrorList {
	if len(r.Namespaces) == 0 {
		if r.ClusterScope {
			return nil
		}
		return field.ErrorList{field.Required(fld, "resource rules that are not cluster scoped must supply at least one namespace")}
	}
	if slices.Contains(r.Namespaces, "*") {
		return validateList(r.Namespaces, "", "namespaces", fld)
	}
	var errs field.ErrorList
	for i, ns := range r.Namespaces {
		for _, msg := range apivalidation.ValidateNamespaceName(ns, false) {
			errs = append(errs, field.Invalid(fld.Index(i), ns, "each member of this list must be '*' or a DNS-1123 label; "+msg))
		}
	}
	return errs
}

func validateLevel(_ context.Context, l *flowcontrolv1.PriorityLevelConfiguration) field.ErrorList {
	s, fld := &l.Spec, field.NewPath("spec")
	var errs field.ErrorList
	if (l.Name == exempt) != (s.Type == flowcontrolv1.PriorityLevelEnablementExempt) {
		errs = append(errs, field.Invalid(fld.Child("type"), s.Type, "must be 'Exempt' if and only if `name` is 'exempt'"))
	}
	switch s.Type {
	case flowcontrolv1.PriorityLevelEnablementExempt:
		if s.Limited != nil {
			errs = append(errs, field.Forbidden(fld.Child("limited"), "must be nil if the type is not Limited"))
		}
		if e := s.Exempt; e != nil {
			errs = append(errs, validateShares(e.NominalConcurrencyShares, e.LendablePercent, fld.Child("exempt"))...)
		}
	case flowcontrolv1.PriorityLevelEnablementLimited:
		if s.Exempt != nil {
			errs = append(errs, field.Forbidden(fld.Child("exempt"), "must be nil if the type is Limited"))
		}
		if s.Limited == nil {
			return append(errs, field.Required(fld.Child("limited"), "must not be empty when type is Limited"))
		}
		errs = append(errs, validateLimited(s.Limited, fld.Child("limited"))...)
	default:
		if s.Exempt != nil {
			errs = append(errs, field.Forbidden(fld.Child("exempt"), ""))
		}
		if s.Limited != nil {
			errs = append(errs, field.Forbidden(fld.Child("limited"), ""))
			errs = append(errs, validateLimitResponse(&s.Limited.LimitResponse, fld.Child("limited", "limitResponse"))...)
		}
		errs = append(errs, check.OneOf(s.Type, []flowcontrolv1.PriorityLevelEnablement{flowcontrolv1.PriorityLevelEnablementExempt, flowcontrolv1.PriorityLevelEnablementLimited}, fld.Child("type"))...)
	}
	return errs
}

func validateLevelUpdate(ctx context.Context, l, _ *flowcontrolv1.PriorityLevelConfiguration) field.ErrorList {
	return validateLevel(ctx, l)
}

func validateLevelStatus(_ context.Context, l, _ *flowcontrolv1.PriorityLevelConfiguration) field.ErrorList {
	types := make([]string, len(l.Status.Conditions))
	for i, c := range l.Status.Conditions {
		types[i] = string(c.Type)
	}
	return validateConditionTypes(types)
}

func validateShares(shares, lendable *int32, fld *field.Path) field.ErrorList {
	var errs field.ErrorList
	if shares != nil && *shares < 0 {
		errs = append(errs, field.Invalid(fld.Child("nominalConcurrencyShares"), *shares, "must be a non-negative integer"))
	}
	if lendable != nil && (*lendable < 0 || *lendable > 100) {
		errs = append(errs, field.Invalid(fld.Child("lendablePercent"), *lendable, "must be between 0 and 100, inclusive"))
	}
	return errs
}

func validateLimited(l *flowcontrolv1.LimitedPriorityLevelConfiguration, fld *field.Path) field.ErrorList {
	errs := validateShares(l.NominalConcurrencyShares, l.LendablePercent, fld)
	if n := l.BorrowingLimitPercent; n != nil && *n < 0 {
		errs = append(errs, field.Invalid(fld.Child("borrowingLimitPercent"), *n, "if specified, must be a non-negative integer"))
	}
	return append(errs, validateLimitResponse(&l.LimitResponse, fld.Child("limitResponse"))...)
}

func validateLimitResponse(r *flowcontrolv1.LimitResponse, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	switch r.Type {
	case flowcontrolv1.LimitResponseTypeReject:
		if r.Queuing != nil {
			errs = append(errs, field.Forbidden(path.Child("queuing"), "must be nil if limited.limitResponse.type is not Limited"))
		}
	case flowcontrolv1.LimitResponseTypeQueue:
		if r.Queuing == nil {
			return append(errs, field.Required(path.Child("queuing"), "must not be empty if limited.limitResponse.type is Limited"))
		}
		errs = append(errs, validateQueuing(r.Queuing, path.Child("queuing"))...)
	default:
		if r.Queuing != nil {
			errs = append(errs, field.Forbidden(path.Child("queuing"), ""))
		}
		errs = append(errs, check.OneOf(r.Type, []flowcontrolv1.LimitResponseType{flowcontrolv1.LimitResponseTypeQueue, flowcontrolv1.LimitResponseTypeReject}, path.Child("type"))...)
	}
	return errs
}

func validateQueuing(q *flowcontrolv1.QueuingConfiguration, fld *field.Path) field.ErrorList {
	var errs field.ErrorList
	if q.QueueLengthLimit <= 0 {
		errs = append(errs, field.Invalid(fld.Child("queueLengthLimit"), q.QueueLengthLimit, "must be positive"))
	}
	if q.Queues <= 0 {
		errs = append(errs, field.Invalid(fld.Child("queues"), q.Queues, "must be positive"))
	} else if q.Queues > maxQueues {
		errs = append(errs, field.Invalid(fld.Child("queues"), q.Queues, fmt.Sprintf("must not be greater than %d", maxQueues)))
	}
	if q.HandSize <= 0 {
		errs = append(errs, field.Invalid(fld.Child("handSize"), q.HandSize, "must be positive"))
	} else if q.HandSize > q.Queues {
		errs = append(errs, field.Invalid(fld.Child("handSize"), q.HandSize, fmt.Sprintf("should not be greater than queues (%d)", q.Queues)))
	}
	return errs
}
