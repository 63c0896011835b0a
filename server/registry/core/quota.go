package core

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"skiff/server/registry"
	"skiff/server/registry/podtemplate"
	"skiff/server/registry/table"
	"skiff/server/registry/untagged"
)

func resourceQuotas() *registry.Resource {
	r := resourceOf[corev1.ResourceQuota, corev1.ResourceQuotaList]("resourcequotas", "ResourceQuota", "quota")
	r.ReturnsDeleted = true
	r.Rules.Default = registry.Default(func(q *corev1.ResourceQuota) {
		for _, list := range []corev1.ResourceList{q.Spec.Hard, q.Status.Hard, q.Status.Used} {
			podtemplate.DefaultResourceList(list)
		}
	})
	r.Rules.PrepareCreate = registry.Prepare(func(_ context.Context, q *corev1.ResourceQuota) { q.Status = corev1.ResourceQuotaStatus{} })
	r.Rules.PrepareUpdate = registry.PrepareUpdate(func(_ context.Context, q, old *corev1.ResourceQuota) { q.Status = old.Status })
	r.Rules.Validate = registry.Validate(func(_ context.Context, q *corev1.ResourceQuota) field.ErrorList {
		return append(validateQuotaSpec(&q.Spec, path("spec")), validateQuotaStatus(&q.Status)...)
	})
	r.Rules.ValidateUpdate = registry.ValidateUpdate(func(_ context.Context, q, old *corev1.ResourceQuota) field.ErrorList {
		errs := validateQuotaSpec(&q.Spec, path("spec"))
		if !sets.New(q.Spec.Scopes...).Equal(sets.New(old.Spec.Scopes...)) {
			errs = append(errs, field.Invalid(path("spec", "scopes"), q.Spec.Scopes, "field is immutable"))
		}
		return errs
	})
	r.Subresources = []registry.Subresource{{Name: "status", Update: &registry.Rules{
		PrepareUpdate: registry.PrepareUpdate(func(_ context.Context, q, old *corev1.ResourceQuota) { q.Spec = old.Spec }),
		ValidateUpdate: registry.ValidateUpdate(func(_ context.Context, q, _ *corev1.ResourceQuota) field.ErrorList {
			return append(requireVersion(q), validateQuotaStatus(&q.Status)...)
		}),
	}}}
	r.Columns = []table.Column{
		table.Name(),
		table.String("Request", "Request represents a minimum amount of cpu/memory that a container may consume."),
		table.String("Limit", "Limits control the maximum amount of cpu/memory that a container may use independent of contention on the node."),
		table.Age(),
	}
	r.Cells = registry.Cells(quotaCells)
	return r
}

// requireVersion is for updates that have to be conditional.
func requireVersion(obj registry.Object) field.ErrorList {
	if obj.GetResourceVersion() != "" {
		return nil
	}
	return field.ErrorList{field.Required(path("resourceVersion"), "")}
}

func quotaCells(q *corev1.ResourceQuota) []any {
	var requests, limits []string
	for _, name := range slices.SortedFunc(maps.Keys(q.Status.Hard), cmp.Compare[corev1.ResourceName]) {
		used, hard := q.Status.Used[name], q.Status.Hard[name]
		text := fmt.Sprintf("%s: %s/%s", name, used.String(), hard.String())
		if strings.HasPrefix(string(name), "limits.") {
			limits = append(limits, text)
		} else {
			requests = append(requests, text)
		}
	}
	return []any{q.Name, strings.Join(requests, ", "), strings.Join(limits, ", "), table.Since(q.CreationTimestamp)}
}

// quotaResources are the names without a domain that a quota may have.
var quotaResources = sets.New(
	corev1.ResourceCPU, corev1.ResourceMemory, corev1.ResourceEphemeralStorage,
	corev1.ResourceRequestsCPU, corev1.ResourceRequestsMemory, corev1.ResourceRequestsStorage, corev1.ResourceRequestsEphemeralStorage,
	corev1.ResourceLimitsCPU, corev1.ResourceLimitsMemory, corev1.ResourceLimitsEphemeralStorage,
	corev1.ResourcePods, corev1.ResourceQuotas, corev1.ResourceServices, corev1.ResourceReplicationControllers,
	corev1.ResourceSecrets, corev1.ResourcePersistentVolumeClaims, corev1.ResourceConfigMaps,
	corev1.ResourceServicesNodePorts, corev1.ResourceServicesLoadBalancers,
)

func isQuotaResource(name corev1.ResourceName) bool {
	return quotaResources.Has(name) || podtemplate.IsQuotaHugePage(name)
}

func quotaAmounts(list corev1.ResourceList, fld *field.Path) field.ErrorList {
	var errs field.ErrorList
	for _, name := range slices.SortedFunc(maps.Keys(list), cmp.Compare[corev1.ResourceName]) {
		at := fld.Key(string(name))
		errs = append(errs, podtemplate.ResourceName(name, at)...)
		if !strings.Contains(string(name), "/") && !isQuotaResource(name) {
			errs = append(errs, field.Invalid(at, name, "must be a standard resource for quota"))
		}
		errs = append(errs, podtemplate.ResourceQuantity(name, list[name], at)...)
	}
	return errs
}

func validateQuotaStatus(s *corev1.ResourceQuotaStatus) field.ErrorList {
	return append(quotaAmounts(s.Hard, path("status", "hard")), quotaAmounts(s.Used, path("status", "used"))...)
}

func validateQuotaSpec(s *corev1.ResourceQuotaSpec, fld *field.Path) field.ErrorList {
	errs := quotaAmounts(s.Hard, fld.Child("hard"))
	scopes := fld.Child("scopes")
	for _, scope := range s.Scopes {
		if !isScope(scope) {
			errs = append(errs, field.Invalid(scopes, s.Scopes, "unsupported scope"))
		}
		for range unscoped(scope, s.Hard) {
			errs = append(errs, field.Invalid(scopes, s.Scopes, "unsupported scope applied to resource"))
		}
	}
	errs = append(errs, scopeConflicts(sets.New(s.Scopes...), s, scopes)...)
	if s.ScopeSelector == nil {
		return errs
	}
	at := fld.Child("scopeSelector", "matchExpressions")
	selected := sets.New[corev1.ResourceQuotaScope]()
	for i := range s.ScopeSelector.MatchExpressions {
		e := &s.ScopeSelector.MatchExpressions[i]
		if !isScope(e.ScopeName) {
			errs = append(errs, field.Invalid(at.Child("scopeName"), e.ScopeName, "unsupported scope"))
		}
		for range unscoped(e.ScopeName, s.Hard) {
			errs = append(errs, field.Invalid(at, untagged.Value(s.ScopeSelector), "unsupported scope applied to resource"))
		}
		errs = append(errs, scopeOperator(e, at)...)
		selected.Insert(e.ScopeName)
	}
	return append(errs, scopeConflicts(selected, s, at)...)
}

func isScope(s corev1.ResourceQuotaScope) bool {
	switch s {
	case corev1.ResourceQuotaScopeTerminating, corev1.ResourceQuotaScopeNotTerminating, corev1.ResourceQuotaScopeBestEffort,
		corev1.ResourceQuotaScopeNotBestEffort, corev1.ResourceQuotaScopePriorityClass,
		corev1.ResourceQuotaScopeVolumeAttributesClass, corev1.ResourceQuotaScopeCrossNamespacePodAffinity:
		return true
	}
	return false
}

// unscoped are the resources that a scope says nothing about.
func unscoped(s corev1.ResourceQuotaScope, hard corev1.ResourceList) []corev1.ResourceName {
	var names []corev1.ResourceName
	for name := range hard {
		if isQuotaResource(name) && !scopeHolds(s, name) {
			names = append(names, name)
		}
	}
	return names
}

func scopeHolds(s corev1.ResourceQuotaScope, name corev1.ResourceName) bool {
	switch s {
	case corev1.ResourceQuotaScopeBestEffort:
		return name == corev1.ResourcePods
	case corev1.ResourceQuotaScopeTerminating, corev1.ResourceQuotaScopeNotTerminating, corev1.ResourceQuotaScopeNotBestEffort,
		corev1.ResourceQuotaScopePriorityClass, corev1.ResourceQuotaScopeCrossNamespacePodAffinity:
		switch name {
		case corev1.ResourcePods, corev1.ResourceCPU, corev1.ResourceMemory, corev1.ResourceLimitsCPU,
			corev1.ResourceLimitsMemory, corev1.ResourceRequestsCPU, corev1.ResourceRequestsMemory:
			return true
		}
		return false
	case corev1.ResourceQuotaScopeVolumeAttributesClass:
		return name == corev1.ResourcePersistentVolumeClaims || name == corev1.ResourceRequestsStorage
	}
	return true
}

func scopeConflicts(scopes sets.Set[corev1.ResourceQuotaScope], s *corev1.ResourceQuotaSpec, fld *field.Path) field.ErrorList {
	var errs field.ErrorList
	if scopes.HasAll(corev1.ResourceQuotaScopeBestEffort, corev1.ResourceQuotaScopeNotBestEffort) {
		errs = append(errs, field.Invalid(fld, s.Scopes, "conflicting scopes"))
	}
	if scopes.HasAll(corev1.ResourceQuotaScopeTerminating, corev1.ResourceQuotaScopeNotTerminating) {
		errs = append(errs, field.Invalid(fld, s.Scopes, "conflicting scopes"))
	}
	return errs
}

func scopeOperator(e *corev1.ScopedResourceSelectorRequirement, fld *field.Path) field.ErrorList {
	var errs field.ErrorList
	switch e.ScopeName {
	case corev1.ResourceQuotaScopeBestEffort, corev1.ResourceQuotaScopeNotBestEffort, corev1.ResourceQuotaScopeTerminating,
		corev1.ResourceQuotaScopeNotTerminating, corev1.ResourceQuotaScopeCrossNamespacePodAffinity:
		if e.Operator != corev1.ScopeSelectorOpExists {
			errs = append(errs, field.Invalid(fld.Child("operator"), e.Operator,
				"must be 'Exists' when scope is any of ResourceQuotaScopeTerminating, ResourceQuotaScopeNotTerminating, ResourceQuotaScopeBestEffort, ResourceQuotaScopeNotBestEffort or ResourceQuotaScopeCrossNamespacePodAffinity"))
		}
	}
	switch e.Operator {
	case corev1.ScopeSelectorOpIn, corev1.ScopeSelectorOpNotIn:
		if len(e.Values) == 0 {
			errs = append(errs, field.Required(fld.Child("values"), "must be at least one value when `operator` is 'In' or 'NotIn' for scope selector"))
		}
	case corev1.ScopeSelectorOpExists, corev1.ScopeSelectorOpDoesNotExist:
		if len(e.Values) > 0 {
			errs = append(errs, field.Invalid(fld.Child("values"), e.Values, "must be no value when `operator` is 'Exist' or 'DoesNotExist' for scope selector"))
		}
	default:
		errs = append(errs, field.Invalid(fld.Child("operator"), e.Operator, "not a valid selector operator"))
	}
	return errs
}
