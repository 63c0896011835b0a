package podtemplate

import (
	"net"
	"path"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

func validateCloudDiskSources(c *choice, v *corev1.Volume) {
	if v.GCEPersistentDisk != nil && c.first("gcePersistentDisk") {
		c.add(ValidateGCEDisk(v.GCEPersistentDisk, c.fld.Child("persistentDisk")))
	}
	if v.AWSElasticBlockStore != nil && c.first("awsElasticBlockStore") {
		c.add(ValidateAWSDisk(v.AWSElasticBlockStore, c.fld.Child("awsElasticBlockStore")))
	}
}

func validateNetworkSources(c *choice, v *corev1.Volume) {
	if v.NFS != nil && c.first("nfs") {
		c.add(ValidateNFS(v.NFS, c.fld.Child("nfs")))
	}
	if v.ISCSI != nil {
		if c.first("iscsi") {
			c.add(validateISCSI(v.ISCSI, c.fld.Child("iscsi")))
		}
		if v.ISCSI.InitiatorName != nil && len(v.Name+":"+v.ISCSI.TargetPortal) > 64 {
			c.add(field.ErrorList{field.Invalid(c.fld.Child("name"), v.Name, ISCSINameTooLong)})
		}
	}
	if v.Glusterfs != nil && c.first("glusterfs") {
		c.add(ValidateGlusterfs(v.Glusterfs.EndpointsName, v.Glusterfs.Path, c.fld.Child("glusterfs")))
	}
	if v.Flocker != nil && c.first("flocker") {
		c.add(ValidateFlocker(v.Flocker, c.fld.Child("flocker")))
	}
	if v.PersistentVolumeClaim != nil && c.first("persistentVolumeClaim") {
		c.add(required(c.fld.Child("persistentVolumeClaim", "claimName"), v.PersistentVolumeClaim.ClaimName))
	}
	if v.RBD != nil && c.first("rbd") {
		c.add(ValidateRBD(v.RBD.CephMonitors, v.RBD.RBDImage, c.fld.Child("rbd")))
	}
	if v.Cinder != nil && c.first("cinder") {
		at := c.fld.Child("cinder")
		c.add(required(at.Child("volumeID"), v.Cinder.VolumeID))
		c.add(localSecretRef(v.Cinder.SecretRef, at))
	}
	if v.CephFS != nil && c.first("cephFS") {
		c.add(ValidateCephFS(v.CephFS.Monitors, c.fld.Child("cephfs")))
	}
	if v.Quobyte != nil && c.first("quobyte") {
		c.add(ValidateQuobyte(v.Quobyte, c.fld.Child("quobyte")))
	}
}

func validateLateSources(c *choice, v *corev1.Volume) {
	if v.AzureFile != nil && c.first("azureFile") {
		at := c.fld.Child("azureFile")
		c.add(required(at.Child("secretName"), v.AzureFile.SecretName))
		c.add(required(at.Child("shareName"), v.AzureFile.ShareName))
	}
	if v.VsphereVolume != nil && c.first("vsphereVolume") {
		c.add(required(c.fld.Child("vsphereVolume", "volumePath"), v.VsphereVolume.VolumePath))
	}
	if v.PhotonPersistentDisk != nil && c.first("photonPersistentDisk") {
		c.add(required(c.fld.Child("photonPersistentDisk", "pdID"), v.PhotonPersistentDisk.PdID))
	}
	if v.PortworxVolume != nil && c.first("portworxVolume") {
		c.add(required(c.fld.Child("portworxVolume", "volumeID"), v.PortworxVolume.VolumeID))
	}
	if v.AzureDisk != nil && c.first("azureDisk") {
		c.add(ValidateAzureDisk(v.AzureDisk, c.fld.Child("azureDisk")))
	}
	if v.StorageOS != nil && c.first("storageos") {
		at := c.fld.Child("storageos")
		c.add(ValidateStorageOS(v.StorageOS.VolumeName, v.StorageOS.VolumeNamespace, at))
		c.add(localSecretRef(v.StorageOS.SecretRef, at))
	}
}

func localSecretRef(ref *corev1.LocalObjectReference, fld *field.Path) field.ErrorList {
	if ref == nil {
		return nil
	}
	return required(fld.Child("secretRef", "name"), ref.Name)
}

// ValidateGCEDisk checks a disk of Google Compute Engine.
func ValidateGCEDisk(d *corev1.GCEPersistentDiskVolumeSource, fld *field.Path) field.ErrorList {
	return append(required(fld.Child("pdName"), d.PDName), partition(d.Partition, fld)...)
}

// ValidateAWSDisk checks a disk of Amazon Web Services.
func ValidateAWSDisk(d *corev1.AWSElasticBlockStoreVolumeSource, fld *field.Path) field.ErrorList {
	return append(required(fld.Child("volumeID"), d.VolumeID), partition(d.Partition, fld)...)
}

func partition(n int32, fld *field.Path) field.ErrorList {
	if n >= 0 && n <= 255 {
		return nil
	}
	return field.ErrorList{field.Invalid(fld.Child("partition"), n, validation.InclusiveRangeError(1, 255))}
}

// ValidateNFS checks an NFS export.
func ValidateNFS(n *corev1.NFSVolumeSource, fld *field.Path) field.ErrorList {
	errs := append(required(fld.Child("server"), n.Server), required(fld.Child("path"), n.Path)...)
	if !path.IsAbs(n.Path) {
		errs = append(errs, field.Invalid(fld.Child("path"), n.Path, "must be an absolute path"))
	}
	return errs
}

// ValidateGlusterfs checks a GlusterFS volume.
func ValidateGlusterfs(endpoints, path string, fld *field.Path) field.ErrorList {
	return append(required(fld.Child("endpoints"), endpoints), required(fld.Child("path"), path)...)
}

// ValidateFlocker checks a Flocker dataset.
func ValidateFlocker(f *corev1.FlockerVolumeSource, fld *field.Path) field.ErrorList {
	var errs field.ErrorList
	if f.DatasetName == "" && f.DatasetUUID == "" {
		errs = append(errs, field.Required(fld, "one of datasetName and datasetUUID is required"))
	}
	if f.DatasetName != "" && f.DatasetUUID != "" {
		errs = append(errs, field.Invalid(fld, "resource", "datasetName and datasetUUID can not be specified simultaneously"))
	}
	if strings.Contains(f.DatasetName, "/") {
		errs = append(errs, field.Invalid(fld.Child("datasetName"), f.DatasetName, "must not contain '/'"))
	}
	return errs
}

// ValidateRBD checks a Rados block device.
func ValidateRBD(monitors []string, image string, fld *field.Path) field.ErrorList {
	return append(ValidateCephFS(monitors, fld), required(fld.Child("image"), image)...)
}

// ValidateCephFS checks that a Ceph volume names monitors.
func ValidateCephFS(monitors []string, fld *field.Path) field.ErrorList {
	if len(monitors) > 0 {
		return nil
	}
	return field.ErrorList{field.Required(fld.Child("monitors"), "")}
}

// ValidateQuobyte checks a Quobyte volume.
func ValidateQuobyte(q *corev1.QuobyteVolumeSource, fld *field.Path) field.ErrorList {
	const hostPorts = "must be a host:port pair or multiple pairs separated by commas"
	var errs field.ErrorList
	switch {
	case q.Registry == "":
		errs = append(errs, field.Required(fld.Child("registry"), hostPorts))
	case len(q.Tenant) > 64:
		errs = append(errs, field.Required(fld.Child("tenant"), "must be a UUID and may not exceed a length of 64 characters"))
	default:
		for _, pair := range strings.Split(q.Registry, ",") {
			if _, _, err := net.SplitHostPort(pair); err != nil {
				errs = append(errs, field.Invalid(fld.Child("registry"), q.Registry, hostPorts))
			}
		}
	}
	return append(errs, required(fld.Child("volume"), q.Volume)...)
}

// ValidateFC checks a Fibre Channel volume.
func ValidateFC(fc *corev1.FCVolumeSource, fld *field.Path) field.ErrorList {
	var errs field.ErrorList
	if len(fc.TargetWWNs) == 0 && len(fc.WWIDs) == 0 {
		errs = append(errs, field.Required(fld.Child("targetWWNs"), "must specify either targetWWNs or wwids, but not both"))
	}
	if len(fc.TargetWWNs) > 0 && len(fc.WWIDs) > 0 {
		errs = append(errs, field.Invalid(fld.Child("targetWWNs"), fc.TargetWWNs, "targetWWNs and wwids can not be specified simultaneously"))
	}
	switch {
	case len(fc.TargetWWNs) == 0:
	case fc.Lun == nil:
		errs = append(errs, field.Required(fld.Child("lun"), "lun is required if targetWWNs is specified"))
	default:
		errs = append(errs, lun(*fc.Lun, fld)...)
	}
	return errs
}

func lun(n int32, fld *field.Path) field.ErrorList {
	if n >= 0 && n <= 255 {
		return nil
	}
	return field.ErrorList{field.Invalid(fld.Child("lun"), n, validation.InclusiveRangeError(0, 255))}
}

// ValidateFlex checks a volume of a flexvolume driver.
func ValidateFlex(driver string, options map[string]string, fld *field.Path) field.ErrorList {
	errs := required(fld.Child("driver"), driver)
	for key := range options {
		domain, _, _ := strings.Cut(key, "/")
		domain = "." + strings.ToLower(domain)
		if strings.HasSuffix(domain, ".kubernetes.io") || strings.HasSuffix(domain, ".k8s.io") {
			errs = append(errs, field.Invalid(fld.Child("options").Key(key), key, "kubernetes.io and k8s.io namespaces are reserved"))
		}
	}
	return errs
}

// ValidateAzureDisk checks a disk of Azure.
func ValidateAzureDisk(d *corev1.AzureDiskVolumeSource, fld *field.Path) field.ErrorList {
	errs := append(required(fld.Child("diskName"), d.DiskName), required(fld.Child("diskURI"), d.DataDiskURI)...)
	if d.CachingMode != nil {
		errs = append(errs, OneOf(fld.Child("cachingMode"), *d.CachingMode,
			corev1.AzureDataDiskCachingNone, corev1.AzureDataDiskCachingReadOnly, corev1.AzureDataDiskCachingReadWrite)...)
	}
	if d.Kind == nil {
		return errs
	}
	errs = append(errs, OneOf(fld.Child("kind"), *d.Kind,
		corev1.AzureSharedBlobDisk, corev1.AzureDedicatedBlobDisk, corev1.AzureManagedDisk)...)
	managed := *d.Kind == corev1.AzureManagedDisk
	if managed && !strings.HasPrefix(d.DataDiskURI, "/subscriptions/") {
		errs = append(errs, field.NotSupported(fld.Child("diskURI"), d.DataDiskURI,
			[]string{"/subscriptions/{sub-id}/resourcegroups/{group-name}/providers/microsoft.compute/disks/{disk-id}"}))
	}
	if !managed && !strings.HasPrefix(d.DataDiskURI, "https://") {
		errs = append(errs, field.NotSupported(fld.Child("diskURI"), d.DataDiskURI,
			[]string{"https://{account-name}.blob.core.windows.net/{container-name}/{disk-name}.vhd"}))
	}
	return errs
}

// ValidateStorageOS checks a StorageOS volume.
func ValidateStorageOS(volume, namespace string, fld *field.Path) field.ErrorList {
	var errs field.ErrorList
	if volume == "" {
		errs = append(errs, field.Required(fld.Child("volumeName"), ""))
	} else {
		errs = append(errs, DNSLabel(volume, fld.Child("volumeName"))...)
	}
	if namespace != "" {
		errs = append(errs, DNSLabel(namespace, fld.Child("volumeNamespace"))...)
	}
	return errs
}

// ValidateScaleIO checks a ScaleIO volume.
func ValidateScaleIO(gateway, system, volume string, fld *field.Path) field.ErrorList {
	errs := append(required(fld.Child("gateway"), gateway), required(fld.Child("system"), system)...)
	return append(errs, required(fld.Child("volumeName"), volume)...)
}

func validateCSIVolume(csi *corev1.CSIVolumeSource, fld *field.Path) field.ErrorList {
	errs := CSIDriverName(csi.Driver, fld.Child("driver"))
	ref := csi.NodePublishSecretRef
	switch {
	case ref == nil:
	case ref.Name == "":
		errs = append(errs, field.Required(fld.Child("nodePublishSecretRef", "name"), ""))
	default:
		errs = append(errs, objectName(ref.Name, fld.Child("name"))...)
	}
	return errs
}

// CSIDriverName checks the name of a CSI driver.
func CSIDriverName(name string, fld *field.Path) field.ErrorList {
	if name == "" {
		return field.ErrorList{field.Required(fld, "")}
	}
	var errs field.ErrorList
	if len(name) > 63 {
		errs = append(errs, field.TooLong(fld, "", 63))
	}
	return append(errs, invalids(fld, name, validation.IsDNS1123Subdomain(strings.ToLower(name)))...)
}
