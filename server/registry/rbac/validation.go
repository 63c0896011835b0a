package rbac

import (
	"context"

	rbacv1 "k8s.io/api/rbac/v1"
	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	metav1validation "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"skiff/server/registry/untagged"
)

func validateRole(_ context.Context, r *rbacv1.Role) field.ErrorList {
	return validateRules(r.Rules, true)
}

func validateRoleUpdate(ctx context.Context, r, _ *rbacv1.Role) field.ErrorList {
	return validateRole(ctx, r)
}

func validateClusterRole(_ context.Context, r *rbacv1.ClusterRole) field.ErrorList {
	return append(validateRules(r.Rules, false), validateAggregation(r.AggregationRule, false)...)
}

func validateClusterRoleUpdate(_ context.Context, r, old *rbacv1.ClusterRole) field.ErrorList {
	return append(validateRules(r.Rules, false), validateAggregation(r.AggregationRule, hasInvalidSelector(old))...)
}

// hasInvalidSelector tells whether a stored role selects by invalid label values,
// which it may keep.
func hasInvalidSelector(r *rbacv1.ClusterRole) bool {
	if r.AggregationRule == nil {
		return false
	}
	for i := range r.AggregationRule.ClusterRoleSelectors {
		if metav1validation.LabelSelectorHasInvalidLabelValue(&r.AggregationRule.ClusterRoleSelectors[i]) {
			return true
		}
	}
	return false
}

func validateAggregation(a *rbacv1.AggregationRule, allowInvalid bool) field.ErrorList {
	if a == nil {
		return nil
	}
	var errs field.ErrorList
	fld := field.NewPath("aggregationRule", "clusterRoleSelectors")
	if len(a.ClusterRoleSelectors) == 0 {
		errs = append(errs, field.Required(fld, "at least one clusterRoleSelector required if aggregationRule is non-nil"))
	}
	opts := metav1validation.LabelSelectorValidationOptions{AllowInvalidLabelValueInSelector: allowInvalid}
	for i := range a.ClusterRoleSelectors {
		errs = append(errs, metav1validation.ValidateLabelSelector(&a.ClusterRoleSelectors[i], opts, fld.Index(i))...)
		if s, err := metav1.LabelSelectorAsSelector(&a.ClusterRoleSelectors[i]); err != nil {
			errs = append(errs, field.Invalid(fld.Index(i), s, "invalid label selector."))
		}
	}
	return errs
}

func validateRules(rules []rbacv1.PolicyRule, namespaced bool) field.ErrorList {
	var errs field.ErrorList
	for i := range rules {
		errs = append(errs, validateRule(&rules[i], namespaced, field.NewPath("rules").Index(i))...)
	}
	return errs
}

func validateRule(r *rbacv1.PolicyRule, namespaced bool, fld *field.Path) field.ErrorList {
	var errs field.ErrorList
	if len(r.Verbs) == 0 {
		errs = append(errs, field.Required(fld.Child("verbs"), ""))
	}
	if len(r.NonResourceURLs) > 0 {
		urls := fld.Child("nonResourceURLs")
		if namespaced {
			errs = append(errs, field.Invalid(urls, r.NonResourceURLs, "namespaced rules cannot apply to non-resource URLs"))
		}
		if len(r.APIGroups) > 0 || len(r.Resources) > 0 || len(r.ResourceNames) > 0 {
			errs = append(errs, field.Invalid(urls, r.NonResourceURLs, "rules cannot apply to both regular resources and non-resource URLs"))
		}
		return errs
	}
	if len(r.APIGroups) == 0 {
		errs = append(errs, field.Required(fld.Child("apiGroups"), "resource rules must supply at least one api group"))
	}
	if len(r.Resources) == 0 {
		errs = append(errs, field.Required(fld.Child("resources"), "resource rules must supply at least one resource"))
	}
	return errs
}

func validateRoleBinding(_ context.Context, b *rbacv1.RoleBinding) field.ErrorList {
	return append(validateRef(&b.RoleRef, "Role", "ClusterRole"), validateSubjects(b.Subjects, true)...)
}

func validateRoleBindingUpdate(ctx context.Context, b, old *rbacv1.RoleBinding) field.ErrorList {
	return append(validateRoleBinding(ctx, b), validateRefUpdate(&b.RoleRef, &old.RoleRef)...)
}

func validateClusterRoleBinding(_ context.Context, b *rbacv1.ClusterRoleBinding) field.ErrorList {
	return append(validateRef(&b.RoleRef, "ClusterRole"), validateSubjects(b.Subjects, false)...)
}

func validateClusterRoleBindingUpdate(ctx context.Context, b, old *rbacv1.ClusterRoleBinding) field.ErrorList {
	return append(validateClusterRoleBinding(ctx, b), validateRefUpdate(&b.RoleRef, &old.RoleRef)...)
}

// validateRefUpdate keeps a binding's role: to bind another one, it is made anew,
// so that a right to change subjects is none to change what they get.
func validateRefUpdate(ref, old *rbacv1.RoleRef) field.ErrorList {
	if *ref == *old {
		return nil
	}
	return field.ErrorList{field.Invalid(field.NewPath("roleRef"), untagged.Value(ref), apivalidation.FieldImmutableErrorMsg)}
}

func validateRef(ref *rbacv1.RoleRef, kinds ...string) field.ErrorList {
	var errs field.ErrorList
	fld := field.NewPath("roleRef")
	if ref.APIGroup != Group {
		errs = append(errs, field.NotSupported(fld.Child("apiGroup"), ref.APIGroup, []string{Group}))
	}
	if !contains(kinds, ref.Kind) {
		errs = append(errs, field.NotSupported(fld.Child("kind"), ref.Kind, kinds))
	}
	if ref.Name == "" {
		return append(errs, field.Required(fld.Child("name"), ""))
	}
	for _, msg := range validateName(ref.Name, false) {
		errs = append(errs, field.Invalid(fld.Child("name"), ref.Name, msg))
	}
	return errs
}

func contains(list []string, s string) bool {
	for _, e := range list {
		if e == s {
			return true
		}
	}
	return false
}

func validateSubjects(subjects []rbacv1.Subject, namespaced bool) field.ErrorList {
	var errs field.ErrorList
	for i := range subjects {
		errs = append(errs, validateSubject(&subjects[i], namespaced, field.NewPath("subjects").Index(i))...)
	}
	return errs
}

func validateSubject(s *rbacv1.Subject, namespaced bool, fld *field.Path) field.ErrorList {
	var errs field.ErrorList
	if s.Name == "" {
		errs = append(errs, field.Required(fld.Child("name"), ""))
	}
	switch s.Kind {
	case rbacv1.ServiceAccountKind:
		errs = append(errs, validateAccount(s, namespaced, fld)...)
	case rbacv1.UserKind, rbacv1.GroupKind:
		if s.APIGroup != Group {
			errs = append(errs, field.NotSupported(fld.Child("apiGroup"), s.APIGroup, []string{Group}))
		}
	default:
		errs = append(errs, field.NotSupported(fld.Child("kind"), s.Kind, []string{rbacv1.ServiceAccountKind, rbacv1.UserKind, rbacv1.GroupKind}))
	}
	return errs
}

func validateAccount(s *rbacv1.Subject, namespaced bool, fld *field.Path) field.ErrorList {
	var errs field.ErrorList
	if s.Name != "" {
		for _, msg := range apivalidation.ValidateServiceAccountName(s.Name, false) {
			errs = append(errs, field.Invalid(fld.Child("name"), s.Name, msg))
		}
	}
	if s.APIGroup != "" {
		errs = append(errs, field.NotSupported(fld.Child("apiGroup"), s.APIGroup, []string{""}))
	}
	if !namespaced && s.Namespace == "" {
		errs = append(errs, field.Required(fld.Child("namespace"), ""))
	}
	return errs
}
