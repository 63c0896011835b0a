package node

import (
	"slices"

	corev1 "k8s.io/api/core/v1"
)

// anyContainer calls f for all containers of the pod, of every kind, until it
// returns true.
func anyContainer(p *corev1.Pod, f func(env []corev1.EnvVar, from []corev1.EnvFromSource) bool) bool {
	for _, list := range [][]corev1.Container{p.Spec.InitContainers, p.Spec.Containers} {
		for i := range list {
			if f(list[i].Env, list[i].EnvFrom) {
				return true
			}
		}
	}
	for i := range p.Spec.EphemeralContainers {
		if c := &p.Spec.EphemeralContainers[i]; f(c.Env, c.EnvFrom) {
			return true
		}
	}
	return false
}

func podUsesConfigMap(p *corev1.Pod, name string) bool {
	for i := range p.Spec.Volumes {
		v := &p.Spec.Volumes[i]
		if v.ConfigMap != nil && v.ConfigMap.Name == name {
			return true
		}
		if v.Projected != nil && slices.ContainsFunc(v.Projected.Sources, func(s corev1.VolumeProjection) bool {
			return s.ConfigMap != nil && s.ConfigMap.Name == name
		}) {
			return true
		}
	}
	return anyContainer(p, func(env []corev1.EnvVar, from []corev1.EnvFromSource) bool {
		return slices.ContainsFunc(from, func(e corev1.EnvFromSource) bool { return e.ConfigMapRef != nil && e.ConfigMapRef.Name == name }) ||
			slices.ContainsFunc(env, func(e corev1.EnvVar) bool {
				return e.ValueFrom != nil && e.ValueFrom.ConfigMapKeyRef != nil && e.ValueFrom.ConfigMapKeyRef.Name == name
			})
	})
}

func podUsesSecret(p *corev1.Pod, name string) bool {
	is := func(r *corev1.LocalObjectReference) bool { return r != nil && r.Name == name }
	for i := range p.Spec.ImagePullSecrets {
		if is(&p.Spec.ImagePullSecrets[i]) {
			return true
		}
	}
	for i := range p.Spec.Volumes {
		if sourceUsesSecret(&p.Spec.Volumes[i].VolumeSource, name, is) {
			return true
		}
	}
	return anyContainer(p, func(env []corev1.EnvVar, from []corev1.EnvFromSource) bool {
		return slices.ContainsFunc(from, func(e corev1.EnvFromSource) bool { return e.SecretRef != nil && is(&e.SecretRef.LocalObjectReference) }) ||
			slices.ContainsFunc(env, func(e corev1.EnvVar) bool {
				return e.ValueFrom != nil && e.ValueFrom.SecretKeyRef != nil && is(&e.ValueFrom.SecretKeyRef.LocalObjectReference)
			})
	})
}

func sourceUsesSecret(s *corev1.VolumeSource, name string, is func(*corev1.LocalObjectReference) bool) bool {
	switch {
	case s.Secret != nil:
		return s.Secret.SecretName == name
	case s.Projected != nil:
		return slices.ContainsFunc(s.Projected.Sources, func(p corev1.VolumeProjection) bool {
			return p.Secret != nil && is(&p.Secret.LocalObjectReference)
		})
	case s.CSI != nil:
		return is(s.CSI.NodePublishSecretRef)
	case s.ISCSI != nil:
		return is(s.ISCSI.SecretRef)
	case s.RBD != nil:
		return is(s.RBD.SecretRef)
	case s.CephFS != nil:
		return is(s.CephFS.SecretRef)
	case s.Cinder != nil:
		return is(s.Cinder.SecretRef)
	case s.FlexVolume != nil:
		return is(s.FlexVolume.SecretRef)
	case s.ScaleIO != nil:
		return is(s.ScaleIO.SecretRef)
	case s.StorageOS != nil:
		return is(s.StorageOS.SecretRef)
	case s.AzureFile != nil:
		return s.AzureFile.SecretName == name
	}
	return false
}

func podUsesClaim(p *corev1.Pod, name string) bool {
	return slices.ContainsFunc(p.Spec.Volumes, func(v corev1.Volume) bool {
		return v.PersistentVolumeClaim != nil && v.PersistentVolumeClaim.ClaimName == name ||
			v.Ephemeral != nil && p.Name+"-"+v.Name == name
	})
}

// podUsesResourceClaim looks at the claims that exist for the pod: named in its spec, or
// made for it and noted in its status.
func podUsesResourceClaim(p *corev1.Pod, name string) bool {
	if e := p.Status.ExtendedResourceClaimStatus; e != nil && e.ResourceClaimName == name {
		return true
	}
	for i := range p.Spec.ResourceClaims {
		c := &p.Spec.ResourceClaims[i]
		if c.ResourceClaimName != nil && *c.ResourceClaimName == name {
			return true
		}
	}
	return slices.ContainsFunc(p.Status.ResourceClaimStatuses, func(s corev1.PodResourceClaimStatus) bool {
		return s.ResourceClaimName != nil && *s.ResourceClaimName == name
	})
}

// volumeUsesSecret tells whether the node needs the secret to mount v. Secrets that
// only controllers need (CSI's publish and expand) do not count. Where a source names no
// namespace, the claim's is meant.
func volumeUsesSecret(v *corev1.PersistentVolume, namespace, name string) bool {
	home := ""
	if v.Spec.ClaimRef != nil {
		home = v.Spec.ClaimRef.Namespace
	}
	is := func(ns, n string) bool {
		if ns == "" {
			ns = home
		}
		return ns == namespace && n == name
	}
	ref := func(r *corev1.SecretReference) bool { return r != nil && is(r.Namespace, r.Name) }
	s := &v.Spec.PersistentVolumeSource
	switch {
	case s.CSI != nil:
		return ref(s.CSI.NodePublishSecretRef) || ref(s.CSI.NodeStageSecretRef) || ref(s.CSI.NodeExpandSecretRef)
	case s.ISCSI != nil:
		return ref(s.ISCSI.SecretRef)
	case s.RBD != nil:
		return ref(s.RBD.SecretRef)
	case s.CephFS != nil:
		return ref(s.CephFS.SecretRef)
	case s.Cinder != nil:
		return ref(s.Cinder.SecretRef)
	case s.FlexVolume != nil:
		return ref(s.FlexVolume.SecretRef)
	case s.ScaleIO != nil:
		return ref(s.ScaleIO.SecretRef)
	case s.StorageOS != nil && s.StorageOS.SecretRef != nil:
		return is(s.StorageOS.SecretRef.Namespace, s.StorageOS.SecretRef.Name)
	case s.AzureFile != nil:
		ns := ""
		if s.AzureFile.SecretNamespace != nil {
			ns = *s.AzureFile.SecretNamespace
		}
		return is(ns, s.AzureFile.SecretName)
	}
	return false
}
