package podtemplate

import (
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation"
)

// Options loosen the rules for an update of an object that broke them already
// when it was stored. The zero value is what a new template must satisfy.
type Options struct {
	// Pod tells that the object is a pod, not a template of one: it has its
	// defaults, so that some fields that a template may leave out are required.
	Pod bool
	// AllowInvalidPodDeletionCost keeps a deletion cost that is no number.
	AllowInvalidPodDeletionCost bool
	// AllowIndivisibleHugePages keeps amounts that are no multiple of the page.
	AllowIndivisibleHugePages bool
	// AllowInvalidLabelValueInSelector keeps invalid label values in affinity.
	AllowInvalidLabelValueInSelector bool
	// AllowInvalidLabelValueInNodeAffinity keeps those in required node affinity.
	AllowInvalidLabelValueInNodeAffinity bool
	// AllowInvalidTopologySpreadSelector keeps invalid selectors of spreading.
	AllowInvalidTopologySpreadSelector bool
	// AllowInvalidMatchLabelKeys keeps invalid matchLabelKeys of spreading.
	AllowInvalidMatchLabelKeys bool
	// AllowHostSysctls keeps sysctls of a namespace that the pod shares with its
	// host.
	AllowHostSysctls bool
	// AllowNonLocalTokenPath keeps projected token paths with back-steps.
	AllowNonLocalTokenPath bool
	// AllowUserNamespacesWithVolumeDevices keeps that combination.
	AllowUserNamespacesWithVolumeDevices bool
	// AllowUserNamespacesWithHostNetwork keeps that combination.
	AllowUserNamespacesWithHostNetwork bool
	// AllowInitResizeRestart keeps init containers that restart on a resize.
	AllowInitResizeRestart bool
	// AllowEmptyImageVolumeReference keeps image volumes without a reference.
	AllowEmptyImageVolumeReference bool
	// AllowTolerationComparison keeps the operators Lt and Gt of tolerations.
	AllowTolerationComparison bool
	// AllowSysAdminWithoutEscalation keeps CAP_SYS_ADMIN where privilege
	// escalation is off.
	AllowSysAdminWithoutEscalation bool
}

// OptionsForTemplate returns the rules for a template; old is the stored one,
// nil on create.
func OptionsForTemplate(_, old *corev1.PodTemplateSpec) Options {
	if old == nil {
		return Options{}
	}
	return OptionsFor(&old.Spec, &old.ObjectMeta)
}

// OptionsForPod returns the rules for a pod; old is the stored one, nil on create.
func OptionsForPod(old *corev1.Pod) Options {
	var opts Options
	if old != nil {
		opts = OptionsFor(&old.Spec, &old.ObjectMeta)
	}
	opts.Pod = true
	return opts
}

// OptionsFor returns the rules for an update of what is stored with this spec and
// metadata.
func OptionsFor(old *corev1.PodSpec, meta *metav1.ObjectMeta) Options {
	opts := Options{
		AllowInvalidLabelValueInSelector:     brokenAffinitySelectors(old),
		AllowInvalidLabelValueInNodeAffinity: brokenNodeAffinity(old),
		AllowUserNamespacesWithHostNetwork:   old.HostNetwork && old.HostUsers != nil && !*old.HostUsers,
	}
	if value, ok := meta.Annotations[deletionCostKey]; ok {
		_, err := deletionCost(value)
		opts.AllowInvalidPodDeletionCost = err != nil
	}
	for i := range old.TopologySpreadConstraints {
		c := &old.TopologySpreadConstraints[i]
		if len(strictSelector(c.LabelSelector, nil)) > 0 {
			opts.AllowInvalidTopologySpreadSelector = true
		}
		if len(matchLabelKeys(nil, c.MatchLabelKeys, nil, c.LabelSelector)) > 0 {
			opts.AllowInvalidMatchLabelKeys = true
		}
	}
	if old.SecurityContext != nil {
		for _, s := range old.SecurityContext.Sysctls {
			opts.AllowHostSysctls = opts.AllowHostSysctls || len(validateHostSysctl(s.Name, old, nil)) > 0
		}
	}
	for i := range old.Tolerations {
		op := old.Tolerations[i].Operator
		opts.AllowTolerationComparison = opts.AllowTolerationComparison || op == corev1.TolerationOpLt || op == corev1.TolerationOpGt
	}
	opts.keepContainers(old)
	opts.keepVolumes(old)
	return opts
}

func (opts *Options) keepContainers(old *corev1.PodSpec) {
	opts.AllowIndivisibleHugePages = indivisible(old.Overhead)
	for c := range Containers(old) {
		if indivisible(c.Resources.Limits) || indivisible(c.Resources.Requests) {
			opts.AllowIndivisibleHugePages = true
		}
		if old.HostUsers != nil && !*old.HostUsers && len(c.VolumeDevices) > 0 {
			opts.AllowUserNamespacesWithVolumeDevices = true
		}
		if keepsSysAdmin(c.SecurityContext) {
			opts.AllowSysAdminWithoutEscalation = true
		}
	}
	for i := range old.InitContainers {
		c := &old.InitContainers[i]
		for _, p := range c.ResizePolicy {
			if !IsSidecar(c) && p.RestartPolicy == corev1.RestartContainer {
				opts.AllowInitResizeRestart = true
			}
		}
	}
}

func indivisible(list corev1.ResourceList) bool {
	for name, quantity := range list {
		if IsHugePage(name) && !divisibleHugePages(name, quantity) {
			return true
		}
	}
	return false
}

func (opts *Options) keepVolumes(old *corev1.PodSpec) {
	for i := range old.Volumes {
		v := &old.Volumes[i]
		if v.Image != nil && v.Image.Reference == "" {
			opts.AllowEmptyImageVolumeReference = true
		}
		if v.Projected == nil {
			continue
		}
		for j := range v.Projected.Sources {
			token := v.Projected.Sources[j].ServiceAccountToken
			if token != nil && len(projectedPath(token.Path, nil)) > 0 {
				opts.AllowNonLocalTokenPath = true
			}
		}
	}
}

func brokenAffinitySelectors(spec *corev1.PodSpec) bool {
	if spec.Affinity == nil {
		return false
	}
	for term := range affinityTerms(spec.Affinity) {
		if len(affinitySelectors(term, nil, false)) > 0 {
			return true
		}
	}
	return false
}

// affinityTerms yields every affinity and anti-affinity to pods.
func affinityTerms(a *corev1.Affinity) func(func(*corev1.PodAffinityTerm) bool) {
	return func(yield func(*corev1.PodAffinityTerm) bool) {
		each := func(required []corev1.PodAffinityTerm, preferred []corev1.WeightedPodAffinityTerm) bool {
			for i := range preferred {
				if !yield(&preferred[i].PodAffinityTerm) {
					return false
				}
			}
			for i := range required {
				if !yield(&required[i]) {
					return false
				}
			}
			return true
		}
		if p := a.PodAffinity; p != nil && !each(p.RequiredDuringSchedulingIgnoredDuringExecution, p.PreferredDuringSchedulingIgnoredDuringExecution) {
			return
		}
		if p := a.PodAntiAffinity; p != nil {
			each(p.RequiredDuringSchedulingIgnoredDuringExecution, p.PreferredDuringSchedulingIgnoredDuringExecution)
		}
	}
}

func brokenNodeAffinity(spec *corev1.PodSpec) bool {
	if spec.Affinity == nil || spec.Affinity.NodeAffinity == nil {
		return false
	}
	return NodeSelectorHasInvalidValues(spec.Affinity.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution)
}

// NodeSelectorHasInvalidValues tells whether a choice of nodes names label values
// that no node can have. s may be nil.
func NodeSelectorHasInvalidValues(s *corev1.NodeSelector) bool {
	if s == nil {
		return false
	}
	for i := range s.NodeSelectorTerms {
		for _, e := range s.NodeSelectorTerms[i].MatchExpressions {
			for _, value := range e.Values {
				if len(validation.IsValidLabelValue(value)) > 0 {
					return true
				}
			}
		}
	}
	return false
}
