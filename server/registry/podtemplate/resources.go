package podtemplate

import (
	"cmp"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
	resourcehelper "k8s.io/component-helpers/resource"
)

// The names without a domain that resources may have.
var standardResources = sets.New(
	corev1.ResourceCPU, corev1.ResourceMemory, corev1.ResourceEphemeralStorage,
	corev1.ResourceRequestsCPU, corev1.ResourceRequestsMemory, corev1.ResourceRequestsEphemeralStorage,
	corev1.ResourceLimitsCPU, corev1.ResourceLimitsMemory, corev1.ResourceLimitsEphemeralStorage,
	corev1.ResourceStorage, corev1.ResourceRequestsStorage,
).Union(countedResources)

// countedResources are numbers of objects.
var countedResources = sets.New(
	corev1.ResourcePods, corev1.ResourceQuotas, corev1.ResourceServices, corev1.ResourceReplicationControllers,
	corev1.ResourceSecrets, corev1.ResourceConfigMaps, corev1.ResourcePersistentVolumeClaims,
	corev1.ResourceServicesNodePorts, corev1.ResourceServicesLoadBalancers,
)

// IsQuotaHugePage tells whether name is an amount of huge pages in a quota.
func IsQuotaHugePage(name corev1.ResourceName) bool {
	return IsHugePage(name) || strings.HasPrefix(string(name), corev1.ResourceRequestsHugePagesPrefix)
}

// ResourceName checks the name of a resource.
func ResourceName(name corev1.ResourceName, fld *field.Path) field.ErrorList {
	if errs := invalids(fld, name, validation.IsQualifiedName(string(name))); len(errs) > 0 {
		return errs
	}
	if !strings.Contains(string(name), "/") && !standardResources.Has(name) && !IsQuotaHugePage(name) {
		return field.ErrorList{field.Invalid(fld, name, "must be a standard resource type or fully qualified")}
	}
	return nil
}

// ContainerResourceName checks the name of a resource that a container asks for.
func ContainerResourceName(name corev1.ResourceName, fld *field.Path) field.ErrorList {
	errs := ResourceName(name, fld)
	switch {
	case !strings.Contains(string(name), "/"):
		if !isContainerResource(name) {
			errs = append(errs, field.Invalid(fld, name, "must be a standard resource for containers"))
		}
	case !IsNativeResource(name) && !IsExtendedResource(name):
		errs = append(errs, field.Invalid(fld, name, "doesn't follow extended resource name standard"))
	}
	return errs
}

func isContainerResource(name corev1.ResourceName) bool {
	switch name {
	case corev1.ResourceCPU, corev1.ResourceMemory, corev1.ResourceEphemeralStorage:
		return true
	}
	return IsHugePage(name)
}

// IsExtendedResource tells whether a resource is one that a device plugin or an
// administrator offers.
func IsExtendedResource(name corev1.ResourceName) bool {
	if IsNativeResource(name) || strings.HasPrefix(string(name), corev1.DefaultResourceRequestsPrefix) {
		return false
	}
	return len(validation.IsQualifiedName(corev1.DefaultResourceRequestsPrefix+string(name))) == 0
}

// ResourceQuantity checks an amount of a resource.
func ResourceQuantity(name corev1.ResourceName, value resource.Quantity, fld *field.Path) field.ErrorList {
	errs := NonnegativeQuantity(value, fld)
	if (countedResources.Has(name) || IsExtendedResource(name)) && value.MilliValue()%1000 != 0 {
		errs = append(errs, field.Invalid(fld, value, notInteger))
	}
	return errs
}

func podResourceName(name corev1.ResourceName, fld *field.Path) field.ErrorList {
	if errs := ResourceName(name, fld); len(errs) > 0 {
		return errs
	}
	if !resourcehelper.IsSupportedPodLevelResource(name) {
		return field.ErrorList{field.NotSupported(fld, name, sets.List(resourcehelper.SupportedPodLevelResources()))}
	}
	return nil
}

// ContainerResources checks what a container asks for; claims are the names of
// the pod's resource claims.
func containerResources(r *corev1.ResourceRequirements, claims sets.Set[string], fld *field.Path, opts Options) field.ErrorList {
	return validateRequirements(r, ContainerResourceName, claims, fld, opts)
}

// ValidateOverhead checks the resources that a pod's sandbox takes.
func ValidateOverhead(overhead corev1.ResourceList, fld *field.Path, opts Options) field.ErrorList {
	return containerResources(&corev1.ResourceRequirements{Limits: overhead}, nil, fld, opts)
}

func validateRequirements(r *corev1.ResourceRequirements, checkName func(corev1.ResourceName, *field.Path) field.ErrorList, claims sets.Set[string], fld *field.Path, opts Options) field.ErrorList {
	var errs field.ErrorList
	limits, requests := fld.Child("limits"), fld.Child("requests")
	for name, quantity := range sorted(r.Limits) {
		errs = append(errs, resourceAmount(name, quantity, checkName, limits, nil, opts)...)
	}
	for name, quantity := range sorted(r.Requests) {
		errs = append(errs, resourceAmount(name, quantity, checkName, requests, func() field.ErrorList {
			limit, ok := r.Limits[name]
			return requestBelowLimit(name, quantity, limit, ok, requests, limits)
		}, opts)...)
	}
	if (hasHugePages(r.Limits) || hasHugePages(r.Requests)) && !hasCompute(r.Limits) && !hasCompute(r.Requests) {
		errs = append(errs, field.Forbidden(fld, "HugePages require cpu or memory"))
	}
	return append(errs, claimNames(r.Claims, claims, fld.Child("claims"))...)
}

// sorted yields a map by its keys, so that messages come in a fixed order.
func sorted[K cmp.Ordered, V any](m map[K]V) iter.Seq2[K, V] {
	return func(yield func(K, V) bool) {
		for _, key := range slices.Sorted(maps.Keys(m)) {
			if !yield(key, m[key]) {
				return
			}
		}
	}
}

func resourceAmount(name corev1.ResourceName, quantity resource.Quantity, checkName func(corev1.ResourceName, *field.Path) field.ErrorList, list *field.Path, more func() field.ErrorList, opts Options) field.ErrorList {
	at := list.Key(string(name))
	errs := checkName(name, at)
	errs = append(errs, ResourceQuantity(name, quantity, at)...)
	if more != nil {
		errs = append(errs, more()...)
	}
	if IsHugePage(name) && !opts.AllowIndivisibleHugePages && !divisibleHugePages(name, quantity) {
		errs = append(errs, field.Invalid(at, quantity.String(), fmt.Sprintf("%s is not positive integer multiple of %s", quantity.String(), name)))
	}
	return errs
}

func requestBelowLimit(name corev1.ResourceName, request, limit resource.Quantity, limited bool, requests, limits *field.Path) field.ErrorList {
	switch order := request.Cmp(limit); {
	case !limited && !IsOvercommittable(name):
		return field.ErrorList{field.Required(limits, "Limit must be set for non overcommitable resources")}
	case !limited:
		return nil
	case order != 0 && !IsOvercommittable(name):
		return field.ErrorList{field.Invalid(requests, request.String(), fmt.Sprintf("must be equal to %s limit of %s", name, limit.String()))}
	case order > 0:
		return field.ErrorList{field.Invalid(requests, request.String(), fmt.Sprintf("must be less than or equal to %s limit of %s", name, limit.String()))}
	default:
		return nil
	}
}

func divisibleHugePages(name corev1.ResourceName, quantity resource.Quantity) bool {
	page, err := hugePageSize(name)
	if err != nil || page.Sign() <= 0 || page.MilliValue()%1000 != 0 {
		return false
	}
	return quantity.Value()%page.Value() == 0
}

func hasHugePages(list corev1.ResourceList) bool {
	for name := range list {
		if IsHugePage(name) {
			return true
		}
	}
	return false
}

func hasCompute(list corev1.ResourceList) bool {
	_, cpu := list[corev1.ResourceCPU]
	_, memory := list[corev1.ResourceMemory]
	return cpu || memory
}

// claimNames checks that a container's claims are among the pod's, and that it
// names each, or each request of each, only once.
func claimNames(refs []corev1.ResourceClaim, claims sets.Set[string], fld *field.Path) field.ErrorList {
	var errs field.ErrorList
	seen := sets.New[string]()
	for i, ref := range refs {
		at := fld.Index(i)
		if ref.Name == "" {
			errs = append(errs, field.Required(at, ""))
			continue
		}
		errs = append(errs, claimRequest(ref, seen, at)...)
		if !claims.Has(ref.Name) {
			err := field.NotFound(at, ref.Name)
			err.Detail = "must be one of the names in pod.spec.resourceClaims"
			if len(claims) == 0 {
				err.Detail += " which is empty"
			} else {
				err.Detail += ": " + strings.Join(sets.List(claims), ", ")
			}
			errs = append(errs, err)
		}
	}
	return errs
}

func claimRequest(ref corev1.ResourceClaim, seen sets.Set[string], at *field.Path) field.ErrorList {
	if seen.Has(ref.Name) { // all requests of that claim are referenced already
		return field.ErrorList{field.Duplicate(at, ref.Name)}
	}
	var errs field.ErrorList
	key := ref.Name
	if ref.Request != "" {
		errs = append(errs, DNSLabel(ref.Request, at.Child("request"))...)
		key += "/" + ref.Request
	}
	if seen.Has(key) {
		errs = append(errs, field.Duplicate(at, key))
	} else if ref.Request == "" {
		for other := range seen { // a single request was referenced before
			if name, _, ok := strings.Cut(other, "/"); ok && name == ref.Name {
				errs = append(errs, field.Duplicate(at, ref.Name))
			}
		}
	}
	seen.Insert(key)
	return errs
}
