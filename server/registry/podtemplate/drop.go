package podtemplate

import (
	corev1 "k8s.io/api/core/v1"
)

// gated finds the fields of a feature that is off in a pod spec: it calls found
// for each that is set, with a function that clears it.
type gated func(spec *corev1.PodSpec, found func(clear func()))

// gatedFields are the pod fields of features that are off in v1.37 by default.
var gatedFields = []gated{
	gatedFileOwners,       // AtomicWriteVolumeUserFields
	gatedSchedulingGroup,  // GenericWorkload
	gatedGRPCMode,         // GRPCContainerProbeTLS
	gatedResponders,       // EvictionRequestAPI
	gatedEmptyDirMode,     // EmptyDirVolumeMode
	gatedBindMountOptions, // VolumeBindMountOptions
	gatedStopSignal,       // ContainerStopSignals
	gatedHTTPProtocol,     // H2CContainerProbe
}

// DropDisabledTemplate removes from t the fields of features that are off, as far
// as old (nil on create) does not use them.
func DropDisabledTemplate(t, old *corev1.PodTemplateSpec) {
	if t == nil {
		return
	}
	var oldSpec *corev1.PodSpec
	if old != nil {
		oldSpec = &old.Spec
	}
	dropDisabled(&t.Spec, oldSpec, t.Annotations)
}

// DropDisabledPod does the same for a pod, its status included.
func DropDisabledPod(pod, old *corev1.Pod) {
	var oldSpec *corev1.PodSpec
	var oldStatus *corev1.PodStatus
	if old != nil {
		oldSpec, oldStatus = &old.Spec, &old.Status
	}
	dropDisabled(&pod.Spec, oldSpec, pod.Annotations)
	dropDisabledStatus(&pod.Status, oldStatus)
}

func dropDisabled(spec, old *corev1.PodSpec, annotations map[string]string) {
	for _, feature := range gatedFields {
		used := false
		if old != nil {
			feature(old, func(func()) { used = true })
		}
		if !used {
			feature(spec, func(clear func()) { clear() })
		}
	}
	for _, key := range []string{
		"pod.beta.kubernetes.io/init-containers", "pod.alpha.kubernetes.io/init-containers",
		"pod.beta.kubernetes.io/init-container-statuses", "pod.alpha.kubernetes.io/init-container-statuses",
	} {
		delete(annotations, key)
	}
}

func dropDisabledStatus(status, old *corev1.PodStatus) {
	if old == nil {
		old = &corev1.PodStatus{}
	}
	if !hasImageDigests(old) { // ImageVolumeWithDigest
		eachMountStatus(status, func(m *corev1.VolumeMountStatus) { m.VolumeStatus = nil })
	}
	if len(old.NodeAllocatableResourceClaimStatuses) == 0 { // DRANodeAllocatableResources
		status.NodeAllocatableResourceClaimStatuses = nil
	}
	if len(old.VolumeHealth) == 0 { // CSIVolumeHealth
		status.VolumeHealth = nil
	}
}

func hasImageDigests(status *corev1.PodStatus) bool {
	found := false
	eachMountStatus(status, func(m *corev1.VolumeMountStatus) { found = found || m.VolumeStatus != nil })
	return found
}

func eachMountStatus(status *corev1.PodStatus, visit func(*corev1.VolumeMountStatus)) {
	for _, list := range [][]corev1.ContainerStatus{status.InitContainerStatuses, status.ContainerStatuses, status.EphemeralContainerStatuses} {
		for i := range list {
			for j := range list[i].VolumeMounts {
				visit(&list[i].VolumeMounts[j])
			}
		}
	}
}

// found reports a pointer field that is set.
func found[T any](p **T, report func(func())) {
	if *p != nil {
		report(func() { *p = nil })
	}
}

func gatedSchedulingGroup(spec *corev1.PodSpec, report func(func())) {
	found(&spec.SchedulingGroup, report)
}

func gatedResponders(spec *corev1.PodSpec, report func(func())) {
	if len(spec.EvictionResponders) > 0 {
		report(func() { spec.EvictionResponders = nil })
	}
}

func gatedEmptyDirMode(spec *corev1.PodSpec, report func(func())) {
	for i := range spec.Volumes {
		if e := spec.Volumes[i].EmptyDir; e != nil {
			found(&e.Mode, report)
		}
	}
}

func gatedBindMountOptions(spec *corev1.PodSpec, report func(func())) {
	for c := range Containers(spec) {
		for i := range c.VolumeMounts {
			if m := &c.VolumeMounts[i]; len(m.BindMountOptions) > 0 {
				report(func() { m.BindMountOptions = nil })
			}
		}
	}
}

func gatedStopSignal(spec *corev1.PodSpec, report func(func())) {
	for c := range Containers(spec) {
		if c.Lifecycle == nil || c.Lifecycle.StopSignal == nil {
			continue
		}
		report(func() {
			c.Lifecycle.StopSignal = nil
			if *c.Lifecycle == (corev1.Lifecycle{}) {
				c.Lifecycle = nil
			}
		})
	}
}

func probesOf(c *corev1.Container) [3]*corev1.Probe {
	return [...]*corev1.Probe{c.LivenessProbe, c.ReadinessProbe, c.StartupProbe}
}

func gatedGRPCMode(spec *corev1.PodSpec, report func(func())) {
	for c := range Containers(spec) {
		for _, p := range probesOf(c) {
			if p != nil && p.GRPC != nil {
				found(&p.GRPC.Mode, report)
			}
		}
	}
}

func gatedHTTPProtocol(spec *corev1.PodSpec, report func(func())) {
	for c := range Containers(spec) {
		for _, p := range probesOf(c) {
			if p != nil && p.HTTPGet != nil {
				found(&p.HTTPGet.Protocol, report)
			}
		}
		if c.Lifecycle == nil {
			continue
		}
		for _, h := range []*corev1.LifecycleHandler{c.Lifecycle.PostStart, c.Lifecycle.PreStop} {
			if h != nil && h.HTTPGet != nil {
				found(&h.HTTPGet.Protocol, report)
			}
		}
	}
}

func gatedFileOwners(spec *corev1.PodSpec, report func(func())) {
	keys := func(items []corev1.KeyToPath) {
		for i := range items {
			found(&items[i].User, report)
		}
	}
	files := func(items []corev1.DownwardAPIVolumeFile) {
		for i := range items {
			found(&items[i].User, report)
		}
	}
	for i := range spec.Volumes {
		switch v := &spec.Volumes[i]; {
		case v.Secret != nil:
			found(&v.Secret.DefaultUser, report)
			keys(v.Secret.Items)
		case v.ConfigMap != nil:
			found(&v.ConfigMap.DefaultUser, report)
			keys(v.ConfigMap.Items)
		case v.DownwardAPI != nil:
			found(&v.DownwardAPI.DefaultUser, report)
			files(v.DownwardAPI.Items)
		case v.Projected != nil:
			found(&v.Projected.DefaultUser, report)
			for j := range v.Projected.Sources {
				gatedSourceOwners(&v.Projected.Sources[j], keys, files, report)
			}
		}
	}
}

func gatedSourceOwners(s *corev1.VolumeProjection, keys func([]corev1.KeyToPath), files func([]corev1.DownwardAPIVolumeFile), report func(func())) {
	switch {
	case s.Secret != nil:
		keys(s.Secret.Items)
	case s.ConfigMap != nil:
		keys(s.ConfigMap.Items)
	case s.DownwardAPI != nil:
		files(s.DownwardAPI.Items)
	case s.ServiceAccountToken != nil:
		found(&s.ServiceAccountToken.User, report)
	case s.ClusterTrustBundle != nil:
		found(&s.ClusterTrustBundle.User, report)
	case s.PodCertificate != nil:
		found(&s.PodCertificate.User, report)
	}
}
