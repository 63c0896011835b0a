package core

import (
	"cmp"
	"maps"
	pathpkg "path"
	"slices"

	corev1 "k8s.io/api/core/v1"
	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"skiff/server/registry/podtemplate"
	"skiff/server/registry/untagged"
)

// validateVolumeSpec checks a persistent volume. keepValues allows invalid label
// values in its node affinity.
func validateVolumeSpec(v *corev1.PersistentVolume, keepValues bool) field.ErrorList {
	s, fld := &v.Spec, path("spec")
	var errs field.ErrorList
	if len(s.AccessModes) == 0 {
		errs = append(errs, field.Required(fld.Child("accessModes"), ""))
	}
	errs = append(errs, podtemplate.AccessModes(s.AccessModes, fld.Child("accessModes"))...)
	errs = append(errs, volumeCapacity(s.Capacity, fld.Child("capacity"))...)
	if s.PersistentVolumeReclaimPolicy != "" {
		errs = append(errs, podtemplate.OneOf(fld.Child("persistentVolumeReclaimPolicy"), s.PersistentVolumeReclaimPolicy,
			corev1.PersistentVolumeReclaimDelete, corev1.PersistentVolumeReclaimRecycle, corev1.PersistentVolumeReclaimRetain)...)
	}
	if a := s.NodeAffinity; a != nil {
		at := fld.Child("nodeAffinity", "required")
		if a.Required == nil {
			errs = append(errs, field.Required(at, "must specify required node constraints"))
		} else {
			errs = append(errs, podtemplate.ValidateNodeSelector(a.Required, keepValues, at)...)
		}
	}
	errs = append(errs, volumeSource(v, fld)...)
	if s.HostPath != nil && pathpkg.Clean(s.HostPath.Path) == "/" && s.PersistentVolumeReclaimPolicy == corev1.PersistentVolumeReclaimRecycle {
		errs = append(errs, field.Forbidden(fld.Child("persistentVolumeReclaimPolicy"), "may not be 'recycle' for a hostPath mount of '/'"))
	}
	if s.StorageClassName != "" {
		errs = append(errs, subdomain(s.StorageClassName, fld.Child("storageClassName"))...)
	}
	if s.VolumeMode != nil {
		errs = append(errs, podtemplate.OneOf(fld.Child("volumeMode"), *s.VolumeMode, corev1.PersistentVolumeBlock, corev1.PersistentVolumeFilesystem)...)
	}
	if name := s.VolumeAttributesClassName; name != nil {
		at := fld.Child("volumeAttributesClassName")
		if *name == "" {
			errs = append(errs, field.Required(at, "an empty string is disallowed"))
		} else {
			errs = append(errs, subdomain(*name, at)...)
		}
		if s.CSI == nil {
			errs = append(errs, field.Required(fld.Child("csi"), "has to be specified when using volumeAttributesClassName"))
		}
	}
	return errs
}

func subdomain(name string, fld *field.Path) field.ErrorList {
	var errs field.ErrorList
	for _, msg := range apivalidation.NameIsDNSSubdomain(name, false) {
		errs = append(errs, field.Invalid(fld, name, msg))
	}
	return errs
}

func volumeCapacity(list corev1.ResourceList, fld *field.Path) field.ErrorList {
	var errs field.ErrorList
	if len(list) == 0 {
		errs = append(errs, field.Required(fld, ""))
	}
	if _, ok := list[corev1.ResourceStorage]; !ok || len(list) > 1 {
		errs = append(errs, field.NotSupported(fld, untagged.Value(list), []corev1.ResourceName{corev1.ResourceStorage}))
	}
	for _, name := range slices.SortedFunc(maps.Keys(list), cmp.Compare[corev1.ResourceName]) {
		quantity, at := list[name], fld.Key(string(name))
		if quantity.Value() < 0 {
			errs = append(errs, field.Invalid(at, quantity.Value(), "must be a valid resource quantity"))
		}
		errs = append(errs, podtemplate.PositiveQuantity(quantity, at)...)
	}
	return errs
}

// volumeSource checks that there is one source, and checks it.
func volumeSource(v *corev1.PersistentVolume, fld *field.Path) field.ErrorList {
	s := &v.Spec
	var errs field.ErrorList
	n := 0
	one := func(set bool, name string, validate func(*field.Path) field.ErrorList) {
		switch {
		case !set:
		case n > 0 && name != "flexVolume": // which upstream does not count as a second one
			errs = append(errs, field.Forbidden(fld.Child(name), "may not specify more than 1 volume type"))
		default:
			n++
			errs = append(errs, validate(fld.Child(name))...)
		}
	}
	one(s.HostPath != nil, "hostPath", func(at *field.Path) field.ErrorList { return podtemplate.ValidateHostPath(s.HostPath, at) })
	one(s.GCEPersistentDisk != nil, "gcePersistentDisk", func(*field.Path) field.ErrorList {
		return podtemplate.ValidateGCEDisk(s.GCEPersistentDisk, fld.Child("persistentDisk"))
	})
	one(s.AWSElasticBlockStore != nil, "awsElasticBlockStore", func(at *field.Path) field.ErrorList {
		return podtemplate.ValidateAWSDisk(s.AWSElasticBlockStore, at)
	})
	one(s.Glusterfs != nil, "glusterfs", func(at *field.Path) field.ErrorList { return persistentGlusterfs(s.Glusterfs, at) })
	one(s.Flocker != nil, "flocker", func(at *field.Path) field.ErrorList { return podtemplate.ValidateFlocker(s.Flocker, at) })
	one(s.NFS != nil, "nfs", func(at *field.Path) field.ErrorList { return podtemplate.ValidateNFS(s.NFS, at) })
	one(s.RBD != nil, "rbd", func(at *field.Path) field.ErrorList {
		return podtemplate.ValidateRBD(s.RBD.CephMonitors, s.RBD.RBDImage, at)
	})
	one(s.Quobyte != nil, "quobyte", func(at *field.Path) field.ErrorList { return podtemplate.ValidateQuobyte(s.Quobyte, at) })
	one(s.CephFS != nil, "cephFS", func(*field.Path) field.ErrorList {
		return podtemplate.ValidateCephFS(s.CephFS.Monitors, fld.Child("cephfs"))
	})
	one(s.ISCSI != nil, "iscsi", func(at *field.Path) field.ErrorList {
		return podtemplate.ValidatePersistentISCSI(s.ISCSI, v.Name, at)
	})
	one(s.Cinder != nil, "cinder", func(at *field.Path) field.ErrorList {
		return append(needed(at.Child("volumeID"), s.Cinder.VolumeID), bothOf(s.Cinder.SecretRef, at)...)
	})
	one(s.FC != nil, "fc", func(at *field.Path) field.ErrorList { return podtemplate.ValidateFC(s.FC, at) })
	one(s.FlexVolume != nil, "flexVolume", func(at *field.Path) field.ErrorList {
		return podtemplate.ValidateFlex(s.FlexVolume.Driver, s.FlexVolume.Options, at)
	})
	one(s.AzureFile != nil, "azureFile", func(at *field.Path) field.ErrorList { return persistentAzureFile(s.AzureFile, at) })
	one(s.VsphereVolume != nil, "vsphereVolume", func(at *field.Path) field.ErrorList {
		return needed(at.Child("volumePath"), s.VsphereVolume.VolumePath)
	})
	one(s.PhotonPersistentDisk != nil, "photonPersistentDisk", func(at *field.Path) field.ErrorList {
		return needed(at.Child("pdID"), s.PhotonPersistentDisk.PdID)
	})
	one(s.PortworxVolume != nil, "portworxVolume", func(at *field.Path) field.ErrorList {
		return needed(at.Child("volumeID"), s.PortworxVolume.VolumeID)
	})
	one(s.AzureDisk != nil, "azureDisk", func(at *field.Path) field.ErrorList { return podtemplate.ValidateAzureDisk(s.AzureDisk, at) })
	one(s.ScaleIO != nil, "scaleIO", func(at *field.Path) field.ErrorList {
		return podtemplate.ValidateScaleIO(s.ScaleIO.Gateway, s.ScaleIO.System, s.ScaleIO.VolumeName, at)
	})
	one(s.Local != nil, "local", func(at *field.Path) field.ErrorList { return localVolume(s, at, fld) })
	one(s.StorageOS != nil, "storageos", func(at *field.Path) field.ErrorList { return persistentStorageOS(s.StorageOS, at) })
	one(s.CSI != nil, "csi", func(at *field.Path) field.ErrorList { return persistentCSI(s.CSI, at) })
	if n == 0 {
		errs = append(errs, field.Required(fld, "must specify a volume type"))
	}
	return errs
}

func needed(fld *field.Path, value string) field.ErrorList {
	if value != "" {
		return nil
	}
	return field.ErrorList{field.Required(fld, "")}
}

func bothOf(ref *corev1.SecretReference, fld *field.Path) field.ErrorList {
	if ref == nil {
		return nil
	}
	return append(needed(fld.Child("secretRef", "name"), ref.Name), needed(fld.Child("secretRef", "namespace"), ref.Namespace)...)
}

func persistentGlusterfs(g *corev1.GlusterfsPersistentVolumeSource, fld *field.Path) field.ErrorList {
	errs := podtemplate.ValidateGlusterfs(g.EndpointsName, g.Path, fld)
	at := fld.Child("endpointsNamespace")
	switch ns := g.EndpointsNamespace; {
	case ns == nil:
	case *ns == "":
		errs = append(errs, field.Invalid(at, *ns, "if the endpointnamespace is set, it must be a valid namespace name"))
	default:
		errs = append(errs, podtemplate.NamespaceName(*ns, at)...)
	}
	return errs
}

func persistentAzureFile(a *corev1.AzureFilePersistentVolumeSource, fld *field.Path) field.ErrorList {
	errs := append(needed(fld.Child("secretName"), a.SecretName), needed(fld.Child("shareName"), a.ShareName)...)
	if a.SecretNamespace != nil {
		errs = append(errs, needed(fld.Child("secretNamespace"), *a.SecretNamespace)...)
	}
	return errs
}

func persistentStorageOS(s *corev1.StorageOSPersistentVolumeSource, fld *field.Path) field.ErrorList {
	errs := podtemplate.ValidateStorageOS(s.VolumeName, s.VolumeNamespace, fld)
	if s.SecretRef != nil {
		errs = append(errs, bothOf(&corev1.SecretReference{Name: s.SecretRef.Name, Namespace: s.SecretRef.Namespace}, fld)...)
	}
	return errs
}

// localVolume checks a disk of one node, which the volume has to name.
func localVolume(s *corev1.PersistentVolumeSpec, fld, spec *field.Path) field.ErrorList {
	errs := podtemplate.ValidateHostPath(&corev1.HostPathVolumeSource{Path: s.Local.Path}, fld)
	if s.NodeAffinity == nil {
		errs = append(errs, field.Required(spec.Child("nodeAffinity"), "Local volume requires node affinity"))
	}
	return errs
}

func persistentCSI(c *corev1.CSIPersistentVolumeSource, fld *field.Path) field.ErrorList {
	errs := append(podtemplate.CSIDriverName(c.Driver, fld.Child("driver")), needed(fld.Child("volumeHandle"), c.VolumeHandle)...)
	for _, ref := range []struct {
		name string
		ref  *corev1.SecretReference
	}{
		{"controllerPublishSecretRef", c.ControllerPublishSecretRef},
		{"controllerExpandSecretRef", c.ControllerExpandSecretRef},
		{"nodePublishSecretRef", c.NodePublishSecretRef},
		{"nodeExpandSecretRef", c.NodeExpandSecretRef},
	} {
		if ref.ref == nil {
			continue
		}
		at := fld.Child(ref.name)
		if ref.ref.Name == "" {
			errs = append(errs, field.Required(at.Child("name"), ""))
		} else {
			errs = append(errs, podtemplate.DNSSubdomain(ref.ref.Name, at.Child("name"))...)
		}
		if ref.ref.Namespace == "" {
			errs = append(errs, field.Required(at.Child("namespace"), ""))
		} else {
			errs = append(errs, podtemplate.DNSLabel(ref.ref.Namespace, at.Child("namespace"))...)
		}
	}
	return errs
}
