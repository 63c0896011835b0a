// Package policy describes the resources of the API group policy: pod disruption
// budgets. Evictions, the group's other kind, are a subresource of pods.
package policy

import (
	"context"

	policyv1 "k8s.io/api/policy/v1"
	apiequality "k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	metav1validation "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"skiff/server/registry"
	"skiff/server/registry/check"
	"skiff/server/registry/table"
	"skiff/server/registry/untagged"
)

// Group is the API group's name.
const Group = policyv1.GroupName

// matchLabel is the key by which upstream tells selectors that match all or no
// pods apart from those of policy/v1beta1. Clients cannot combine it with others.
const matchLabel = "pdb.kubernetes.io/deprecated-v1beta1-empty-selector-match"

// PodDisruptionBudgets returns the resource poddisruptionbudgets.
func PodDisruptionBudgets() *registry.Resource {
	return &registry.Resource{
		Group: Group, Plural: "poddisruptionbudgets", Singular: "poddisruptionbudget", Kind: "PodDisruptionBudget", Namespaced: true,
		ShortNames: []string{"pdb"},
		Versions:   []registry.Version{{Name: "v1", New: registry.New[policyv1.PodDisruptionBudget](), NewList: registry.New[policyv1.PodDisruptionBudgetList]()}},
		Rules: registry.Rules{
			PlainMetadata: true,
			PrepareCreate: registry.Prepare(func(_ context.Context, b *policyv1.PodDisruptionBudget) {
				b.Status = policyv1.PodDisruptionBudgetStatus{}
				stripMatchLabel(b.Spec.Selector)
			}),
			PrepareUpdate: registry.PrepareUpdate(func(_ context.Context, b, old *policyv1.PodDisruptionBudget) {
				b.Status = old.Status
				if !apiequality.Semantic.DeepEqual(b.Spec.Selector, old.Spec.Selector) {
					stripMatchLabel(b.Spec.Selector)
				}
			}),
			Generation: true,
			Validate: registry.Validate(func(_ context.Context, b *policyv1.PodDisruptionBudget) field.ErrorList {
				return validateSpec(&b.Spec, false, field.NewPath("spec"))
			}),
			ValidateUpdate: registry.ValidateUpdate(func(_ context.Context, b, old *policyv1.PodDisruptionBudget) field.ErrorList {
				return validateSpec(&b.Spec, metav1validation.LabelSelectorHasInvalidLabelValue(old.Spec.Selector), field.NewPath("spec"))
			}),
		},
		Columns: []table.Column{
			table.Name(),
			table.String("Min Available", "The minimum number of pods that must be available."),
			table.String("Max Unavailable", "The maximum number of pods that may be unavailable."),
			table.Integer("Allowed Disruptions", "Calculated number of pods that may be disrupted at this time."),
			table.Age(),
		},
		Cells: registry.Cells(func(b *policyv1.PodDisruptionBudget) []any {
			return []any{b.Name, amount(b.Spec.MinAvailable), amount(b.Spec.MaxUnavailable), int64(b.Status.DisruptionsAllowed), table.Since(b.CreationTimestamp)}
		}),
		Subresources: []registry.Subresource{{Name: "status", Update: &registry.Rules{
			PrepareUpdate:  registry.PrepareUpdate(func(_ context.Context, b, old *policyv1.PodDisruptionBudget) { b.Spec = old.Spec }),
			ValidateUpdate: registry.ValidateUpdate(validateStatus),
		}}},
	}
}

// stripMatchLabel removes matchLabel from a selector, unless the selector is the
// one that selects nothing by it.
func stripMatchLabel(s *metav1.LabelSelector) {
	if s == nil {
		return
	}
	none := &metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{{Key: matchLabel, Operator: metav1.LabelSelectorOpExists}}}
	if apiequality.Semantic.DeepEqual(s, none) {
		return
	}
	kept := s.MatchExpressions[:0]
	for _, e := range s.MatchExpressions {
		if e.Key != matchLabel {
			kept = append(kept, e)
		}
	}
	s.MatchExpressions = kept
}

func validateSpec(spec *policyv1.PodDisruptionBudgetSpec, allowInvalidLabels bool, fld *field.Path) field.ErrorList {
	var errs field.ErrorList
	if spec.MinAvailable != nil && spec.MaxUnavailable != nil {
		errs = append(errs, field.Invalid(fld, untagged.Value(spec), "minAvailable and maxUnavailable cannot be both set"))
	}
	for _, n := range []struct {
		value *intstr.IntOrString
		fld   *field.Path
	}{{spec.MinAvailable, fld.Child("minAvailable")}, {spec.MaxUnavailable, fld.Child("maxUnavailable")}} {
		errs = append(errs, check.CountOrPercent(n.value, n.fld)...)
		errs = append(errs, check.AtMostAll(n.value, n.fld)...)
	}
	opts := metav1validation.LabelSelectorValidationOptions{AllowInvalidLabelValueInSelector: allowInvalidLabels}
	errs = append(errs, metav1validation.ValidateLabelSelector(spec.Selector, opts, fld.Child("selector"))...)
	if p := spec.UnhealthyPodEvictionPolicy; p != nil {
		errs = append(errs, check.Supported(*p, []policyv1.UnhealthyPodEvictionPolicyType{policyv1.AlwaysAllow, policyv1.IfHealthyBudget}, fld.Child("unhealthyPodEvictionPolicy"))...)
	}
	return errs
}

func validateStatus(_ context.Context, b, _ *policyv1.PodDisruptionBudget) field.ErrorList {
	s, fld := &b.Status, field.NewPath("status")
	errs := metav1validation.ValidateConditions(s.Conditions, fld.Child("conditions"))
	errs = append(errs, check.NonNegative(s.DisruptionsAllowed, fld.Child("disruptionsAllowed"))...)
	errs = append(errs, check.NonNegative(s.CurrentHealthy, fld.Child("currentHealthy"))...)
	errs = append(errs, check.NonNegative(s.DesiredHealthy, fld.Child("desiredHealthy"))...)
	return append(errs, check.NonNegative(s.ExpectedPods, fld.Child("expectedPods"))...)
}

func amount(v *intstr.IntOrString) string {
	if v == nil {
		return "N/A"
	}
	return v.String()
}
