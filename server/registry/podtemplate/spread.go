package podtemplate

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	metavalidation "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

func validateSpread(constraints []corev1.TopologySpreadConstraint, fld *field.Path, opts Options) field.ErrorList {
	var errs field.ErrorList
	for i := range constraints {
		c, at := &constraints[i], fld.Index(i)
		errs = append(errs, Positive(int64(c.MaxSkew), at.Child("maxSkew"))...)
		if c.TopologyKey == "" {
			errs = append(errs, field.Required(at.Child("topologyKey"), "can not be empty"))
		}
		errs = append(errs, OneOf(at.Child("whenUnsatisfiable"), c.WhenUnsatisfiable, corev1.DoNotSchedule, corev1.ScheduleAnyway)...)
		for _, other := range constraints[i+1:] {
			if c.TopologyKey == other.TopologyKey && c.WhenUnsatisfiable == other.WhenUnsatisfiable {
				errs = append(errs, field.Duplicate(at.Child("{topologyKey, whenUnsatisfiable}"), fmt.Sprintf("{%v, %v}", c.TopologyKey, c.WhenUnsatisfiable)))
				break
			}
		}
		if c.MinDomains != nil {
			errs = append(errs, Positive(int64(*c.MinDomains), at.Child("minDomains"))...)
			if c.WhenUnsatisfiable != corev1.DoNotSchedule {
				errs = append(errs, field.Invalid(at.Child("minDomains"), c.MinDomains,
					fmt.Sprintf("can only use minDomains if whenUnsatisfiable=%s, not %s", corev1.DoNotSchedule, c.WhenUnsatisfiable)))
			}
		}
		errs = append(errs, inclusionPolicy(c.NodeAffinityPolicy, at.Child("nodeAffinityPolicy"))...)
		errs = append(errs, inclusionPolicy(c.NodeTaintsPolicy, at.Child("nodeTaintsPolicy"))...)
		if opts.AllowInvalidMatchLabelKeys {
			errs = append(errs, legacyMatchLabelKeys(c, at.Child("matchLabelKeys"))...)
		} else {
			errs = append(errs, matchLabelKeys(at, c.MatchLabelKeys, nil, c.LabelSelector)...)
		}
		if !opts.AllowInvalidTopologySpreadSelector {
			errs = append(errs, strictSelector(c.LabelSelector, at.Child("labelSelector"))...)
		}
	}
	return errs
}

func inclusionPolicy(p *corev1.NodeInclusionPolicy, fld *field.Path) field.ErrorList {
	if p == nil {
		return nil
	}
	return OneOf(fld, *p, corev1.NodeInclusionPolicyIgnore, corev1.NodeInclusionPolicyHonor)
}

func strictSelector(s *metav1.LabelSelector, fld *field.Path) field.ErrorList {
	return metavalidation.ValidateLabelSelector(s, metavalidation.LabelSelectorValidationOptions{}, fld)
}

// legacyMatchLabelKeys has the rules from before the keys were merged into the
// selector, for what was stored under them.
func legacyMatchLabelKeys(c *corev1.TopologySpreadConstraint, fld *field.Path) field.ErrorList {
	if len(c.MatchLabelKeys) == 0 {
		return nil
	}
	var errs field.ErrorList
	selected := sets.New[string]()
	if c.LabelSelector == nil {
		errs = append(errs, field.Forbidden(fld, "must not be specified when labelSelector is not set"))
	} else {
		selected = sets.KeySet(c.LabelSelector.MatchLabels)
		for _, e := range c.LabelSelector.MatchExpressions {
			selected.Insert(e.Key)
		}
	}
	for i, key := range c.MatchLabelKeys {
		errs = append(errs, metavalidation.ValidateLabelName(key, fld.Index(i))...)
		if selected.Has(key) {
			errs = append(errs, field.Invalid(fld.Index(i), key, "exists in both matchLabelKeys and labelSelector"))
		}
	}
	return errs
}
