package bootstrap

import (
	"slices"

	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/component-helpers/auth/rbac/validation"
)

// keep leaves what exists to its owner.
func keep[P any](P, P) verdict { return good }

func protected(o metav1.Object) bool {
	return o.GetAnnotations()[rbacv1.AutoUpdateAnnotationKey] == "false"
}

// completeMeta adds labels and annotations that are missing; what is there wins.
func completeMeta(have, want metav1.Object) verdict {
	labels, a := add(have.GetLabels(), want.GetLabels())
	annotations, b := add(have.GetAnnotations(), want.GetAnnotations())
	have.SetLabels(labels)
	have.SetAnnotations(annotations)
	return max(a, b)
}

func add(have, want map[string]string) (map[string]string, verdict) {
	v := good
	for k, s := range want {
		if _, ok := have[k]; ok {
			continue
		}
		if have == nil {
			have = map[string]string{}
		}
		have[k], v = s, incomplete
	}
	return have, v
}

// completeRules adds what is missing of the permissions.
func completeRules(have *[]rbacv1.PolicyRule, want []rbacv1.PolicyRule) verdict {
	_, missing := validation.Covers(*have, want)
	if len(missing) == 0 {
		return good
	}
	*have = append(*have, missing...)
	return incomplete
}

func completeClusterRole(have, want *rbacv1.ClusterRole) verdict {
	if protected(have) {
		return good
	}
	v := completeMeta(have, want)
	if want.AggregationRule == nil {
		v = max(v, completeRules(&have.Rules, want.Rules))
		if have.AggregationRule != nil {
			have.AggregationRule, v = nil, incomplete
		}
		return v
	}
	// The rules of an aggregated role are the controller's.
	if have.AggregationRule == nil {
		have.AggregationRule, v = &rbacv1.AggregationRule{}, incomplete
	}
	for _, s := range want.AggregationRule.ClusterRoleSelectors {
		same := func(x metav1.LabelSelector) bool { return equality.Semantic.DeepEqual(x, s) }
		if !slices.ContainsFunc(have.AggregationRule.ClusterRoleSelectors, same) {
			have.AggregationRule.ClusterRoleSelectors = append(have.AggregationRule.ClusterRoleSelectors, s)
			v = incomplete
		}
	}
	return v
}

func completeRole(have, want *rbacv1.Role) verdict {
	if protected(have) {
		return good
	}
	return max(completeMeta(have, want), completeRules(&have.Rules, want.Rules))
}

func completeClusterRoleBinding(have, want *rbacv1.ClusterRoleBinding) verdict {
	return completeBinding(have, want, have.RoleRef, want.RoleRef, &have.Subjects, want.Subjects)
}

func completeRoleBinding(have, want *rbacv1.RoleBinding) verdict {
	return completeBinding(have, want, have.RoleRef, want.RoleRef, &have.Subjects, want.Subjects)
}

func completeBinding(have, want metav1.Object, haveRef, wantRef rbacv1.RoleRef, haveSubjects *[]rbacv1.Subject, wantSubjects []rbacv1.Subject) verdict {
	switch {
	case protected(have):
		return good
	case haveRef != wantRef:
		return replace
	}
	v := completeMeta(have, want)
	for _, s := range wantSubjects {
		if !slices.Contains(*haveSubjects, s) {
			*haveSubjects, v = append(*haveSubjects, s), incomplete
		}
	}
	return v
}
