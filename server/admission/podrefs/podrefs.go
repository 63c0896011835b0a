// Package podrefs tells which other API objects a pod refers to. It is shared by the
// admission plugins that limit such references.
package podrefs

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
)

// Env is the environment of one container of any kind.
type Env struct {
	// Kind is "init container", "container" or "ephemeral container".
	Kind, Name string
	Vars       []corev1.EnvVar
	From       []corev1.EnvFromSource
}

// Envs returns the environments of all the pod's containers.
func Envs(s *corev1.PodSpec) []Env {
	out := make([]Env, 0, len(s.InitContainers)+len(s.Containers)+len(s.EphemeralContainers))
	for _, c := range s.InitContainers {
		out = append(out, Env{"init container", c.Name, c.Env, c.EnvFrom})
	}
	for _, c := range s.Containers {
		out = append(out, Env{"container", c.Name, c.Env, c.EnvFrom})
	}
	for _, c := range s.EphemeralContainers {
		out = append(out, Env{"ephemeral container", c.Name, c.Env, c.EnvFrom})
	}
	return out
}

// HasSecret tells whether the pod names any secret.
func HasSecret(s *corev1.PodSpec) bool {
	for _, r := range s.ImagePullSecrets {
		if r.Name != "" {
			return true
		}
	}
	for _, e := range Envs(s) {
		for _, f := range e.From {
			if f.SecretRef != nil && f.SecretRef.Name != "" {
				return true
			}
		}
		for _, v := range e.Vars {
			if v.ValueFrom != nil && v.ValueFrom.SecretKeyRef != nil && v.ValueFrom.SecretKeyRef.Name != "" {
				return true
			}
		}
	}
	for i := range s.Volumes {
		if volumeHasSecret(&s.Volumes[i].VolumeSource) {
			return true
		}
	}
	return false
}

func volumeHasSecret(v *corev1.VolumeSource) bool {
	ref := func(r *corev1.LocalObjectReference) bool { return r != nil && r.Name != "" }
	switch {
	case v.Secret != nil:
		return v.Secret.SecretName != ""
	case v.AzureFile != nil:
		return v.AzureFile.SecretName != ""
	case v.CSI != nil:
		return ref(v.CSI.NodePublishSecretRef)
	case v.CephFS != nil:
		return ref(v.CephFS.SecretRef)
	case v.Cinder != nil:
		return ref(v.Cinder.SecretRef)
	case v.FlexVolume != nil:
		return ref(v.FlexVolume.SecretRef)
	case v.RBD != nil:
		return ref(v.RBD.SecretRef)
	case v.ScaleIO != nil:
		return ref(v.ScaleIO.SecretRef)
	case v.ISCSI != nil:
		return ref(v.ISCSI.SecretRef)
	case v.StorageOS != nil:
		return ref(v.StorageOS.SecretRef)
	case v.Projected != nil:
		for _, s := range v.Projected.Sources {
			if s.Secret != nil && s.Secret.Name != "" {
				return true
			}
		}
	}
	return false
}

// HasConfigMap tells whether the pod names any config map.
func HasConfigMap(s *corev1.PodSpec) bool {
	for _, e := range Envs(s) {
		for _, f := range e.From {
			if f.ConfigMapRef != nil && f.ConfigMapRef.Name != "" {
				return true
			}
		}
		for _, v := range e.Vars {
			if v.ValueFrom != nil && v.ValueFrom.ConfigMapKeyRef != nil && v.ValueFrom.ConfigMapKeyRef.Name != "" {
				return true
			}
		}
	}
	for i := range s.Volumes {
		if c := s.Volumes[i].ConfigMap; c != nil && c.Name != "" {
			return true
		}
		if p := s.Volumes[i].Projected; p != nil {
			for _, src := range p.Sources {
				if src.ConfigMap != nil && src.ConfigMap.Name != "" {
					return true
				}
			}
		}
	}
	return false
}

// Any returns what kind of API object the pod refers to, "" if to none. It fails on a
// volume that it does not know, which might be such a reference.
func Any(s *corev1.PodSpec) (string, error) {
	switch {
	case s.ServiceAccountName != "":
		return "serviceaccounts", nil
	case HasSecret(s):
		return "secrets", nil
	case HasConfigMap(s):
		return "configmaps", nil
	case len(s.ResourceClaims) > 0:
		return "resourceclaims", nil
	}
	for i := range s.Volumes {
		what, err := volumeRefers(&s.Volumes[i])
		if what != "" || err != nil {
			return what, err
		}
	}
	return "", nil
}

func volumeRefers(v *corev1.Volume) (string, error) {
	switch {
	case v.AWSElasticBlockStore != nil, v.AzureDisk != nil, v.CephFS != nil, v.Cinder != nil, v.DownwardAPI != nil,
		v.EmptyDir != nil, v.FC != nil, v.FlexVolume != nil, v.Flocker != nil, v.GCEPersistentDisk != nil, v.GitRepo != nil,
		v.HostPath != nil, v.Image != nil, v.ISCSI != nil, v.NFS != nil, v.PhotonPersistentDisk != nil, v.PortworxVolume != nil,
		v.Quobyte != nil, v.RBD != nil, v.ScaleIO != nil, v.StorageOS != nil, v.VsphereVolume != nil:
		return "", nil
	case v.ConfigMap != nil:
		return "configmaps (via configmap volumes)", nil
	case v.Secret != nil:
		return "secrets (via secret volumes)", nil
	case v.CSI != nil:
		return "csidrivers (via CSI volumes)", nil
	case v.Glusterfs != nil:
		return "endpoints (via glusterFS volumes)", nil
	case v.PersistentVolumeClaim != nil:
		return "persistentvolumeclaims", nil
	case v.Ephemeral != nil:
		return "persistentvolumeclaims (via ephemeral volumes)", nil
	case v.AzureFile != nil:
		return "secrets (via azureFile volumes)", nil
	case v.Projected != nil:
		return projectedRefers(v)
	}
	return "", fmt.Errorf("unknown volume type for volume  %q", v.Name)
}

func projectedRefers(v *corev1.Volume) (string, error) {
	for _, s := range v.Projected.Sources {
		switch {
		case s.ConfigMap != nil:
			return "configmaps (via projected volumes)", nil
		case s.Secret != nil:
			return "secrets (via projected volumes)", nil
		case s.ServiceAccountToken != nil:
			return "serviceaccounts (via projected volumes)", nil
		case s.ClusterTrustBundle != nil:
			return "clustertrustbundles", nil
		case s.PodCertificate != nil:
			return "podcertificates", nil
		case s.DownwardAPI == nil:
			return "", fmt.Errorf("unknown source for projected volume %q", v.Name)
		}
	}
	return "", nil
}
