package core

import (
	"context"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"skiff/server/registry"
	"skiff/server/registry/check"
	"skiff/server/registry/podtemplate"
	"skiff/server/registry/table"
	"skiff/server/registry/untagged"
)

func persistentVolumes(d Deps) *registry.Resource {
	r := resourceOf[corev1.PersistentVolume, corev1.PersistentVolumeList]("persistentvolumes", "PersistentVolume", "pv")
	r.Namespaced = false
	r.ReturnsDeleted = true
	r.Rules.Default = registry.Default(defaultVolume)
	now := func() *metav1.Time { return new(metav1.NewTime(d.Now())) }
	r.Rules.PrepareCreate = registry.Prepare(func(_ context.Context, v *corev1.PersistentVolume) {
		v.Status = corev1.PersistentVolumeStatus{Phase: corev1.VolumePending, LastPhaseTransitionTime: now()}
	})
	r.Rules.PrepareUpdate = registry.PrepareUpdate(func(_ context.Context, v, old *corev1.PersistentVolume) { v.Status = old.Status })
	r.Rules.Validate = registry.Validate(func(_ context.Context, v *corev1.PersistentVolume) field.ErrorList {
		return append(validateVolumeSpec(v, false), validateMountOptions(v)...)
	})
	r.Rules.ValidateUpdate = registry.ValidateUpdate(validateVolumeUpdate)
	r.Rules.Warnings = func(_ context.Context, obj, _ registry.Object) []string {
		return volumeWarnings(obj.(*corev1.PersistentVolume))
	}
	r.Columns = volumeColumns()
	r.Cells = registry.Cells(volumeCells)
	r.Subresources = []registry.Subresource{{Name: "status", Update: &registry.Rules{
		PrepareUpdate: registry.PrepareUpdate(func(_ context.Context, v, old *corev1.PersistentVolume) {
			v.Spec = old.Spec
			s, before := &v.Status, &old.Status
			switch moved := s.Phase != before.Phase; {
			case !moved && s.LastPhaseTransitionTime == nil:
				s.LastPhaseTransitionTime = before.LastPhaseTransitionTime
			case moved && (s.LastPhaseTransitionTime == nil || s.LastPhaseTransitionTime.Equal(before.LastPhaseTransitionTime)):
				s.LastPhaseTransitionTime = now()
			}
		}),
		ValidateUpdate: registry.ValidateUpdate(func(_ context.Context, v, _ *corev1.PersistentVolume) field.ErrorList {
			return requireVersion(v)
		}),
	}}}
	return r
}

func defaultVolume(v *corev1.PersistentVolume) {
	if v.Status.Phase == "" {
		v.Status.Phase = corev1.VolumePending
	}
	s := &v.Spec
	if s.PersistentVolumeReclaimPolicy == "" {
		s.PersistentVolumeReclaimPolicy = corev1.PersistentVolumeReclaimRetain
	}
	if s.VolumeMode == nil {
		s.VolumeMode = new(corev1.PersistentVolumeFilesystem)
	}
	podtemplate.DefaultResourceList(s.Capacity)
	podtemplate.DefaultHostPath(s.HostPath)
	podtemplate.DefaultAzureDisk(s.AzureDisk)
	if s.RBD != nil {
		s.RBD.RBDPool, s.RBD.RadosUser = or(s.RBD.RBDPool, "rbd"), or(s.RBD.RadosUser, "admin")
		s.RBD.Keyring = or(s.RBD.Keyring, "/etc/ceph/keyring")
	}
	if s.ISCSI != nil {
		s.ISCSI.ISCSIInterface = or(s.ISCSI.ISCSIInterface, "default")
	}
	if s.ScaleIO != nil {
		s.ScaleIO.StorageMode, s.ScaleIO.FSType = or(s.ScaleIO.StorageMode, "ThinProvisioned"), or(s.ScaleIO.FSType, "xfs")
	}
}

// validateMountOptions refuses the old annotation where nothing reads it.
func validateMountOptions(v *corev1.PersistentVolume) field.ErrorList {
	s := &v.Spec
	if _, ok := v.Annotations[corev1.MountOptionAnnotation]; !ok ||
		s.GCEPersistentDisk != nil || s.AWSElasticBlockStore != nil || s.Glusterfs != nil || s.NFS != nil || s.RBD != nil ||
		s.Quobyte != nil || s.ISCSI != nil || s.Cinder != nil || s.CephFS != nil || s.AzureFile != nil ||
		s.VsphereVolume != nil || s.AzureDisk != nil || s.PhotonPersistentDisk != nil {
		return nil
	}
	return field.ErrorList{field.Forbidden(path("metadata", "annotations", corev1.MountOptionAnnotation), "may not specify mount options for this volume type")}
}

func validateVolumeUpdate(_ context.Context, v, old *corev1.PersistentVolume) field.ErrorList {
	keepValues := old.Spec.NodeAffinity != nil && podtemplate.NodeSelectorHasInvalidValues(old.Spec.NodeAffinity.Required)
	errs := append(validateVolumeSpec(v, keepValues), validateMountOptions(v)...)
	source := v.Spec.PersistentVolumeSource
	if source.CSI != nil && old.Spec.CSI != nil && old.Spec.CSI.ControllerExpandSecretRef == nil {
		csi := *source.CSI
		csi.ControllerExpandSecretRef = nil // may be set later
		source.CSI = &csi
	}
	if !equality.Semantic.DeepEqual(source, old.Spec.PersistentVolumeSource) {
		errs = append(errs, field.Forbidden(path("spec", "persistentvolumesource"),
			fmt.Sprintf("spec.persistentvolumesource is immutable after creation\n%v", podtemplate.Diff(old.Spec.PersistentVolumeSource, source))))
	}
	errs = append(errs, check.Immutable(v.Spec.VolumeMode, old.Spec.VolumeMode, path("volumeMode"))...)
	if old.Spec.NodeAffinity != nil && !sameNodeAffinity(v.Spec.NodeAffinity, old.Spec.NodeAffinity) {
		errs = append(errs, field.Invalid(path("nodeAffinity"), untagged.Value(v.Spec.NodeAffinity), "field is immutable, except for updating from beta label to GA"))
	}
	if old.Spec.VolumeAttributesClassName != nil && v.Spec.VolumeAttributesClassName == nil {
		errs = append(errs, field.Forbidden(path("spec", "volumeAttributesClassName"), "update from non-nil value to nil is forbidden"))
	}
	return errs
}

// currentLabels are the names of node labels that replaced beta ones.
var currentLabels = map[string]string{
	corev1.LabelFailureDomainBetaZone:   corev1.LabelTopologyZone,
	corev1.LabelFailureDomainBetaRegion: corev1.LabelTopologyRegion,
	"beta.kubernetes.io/os":             corev1.LabelOSStable,
	"beta.kubernetes.io/arch":           corev1.LabelArchStable,
	corev1.LabelInstanceType:            corev1.LabelInstanceTypeStable,
}

// sameNodeAffinity compares, and lets beta labels become the current ones.
func sameNodeAffinity(a, old *corev1.VolumeNodeAffinity) bool {
	if a == nil || a.Required == nil || old.Required == nil || len(a.Required.NodeSelectorTerms) != len(old.Required.NodeSelectorTerms) {
		return equality.Semantic.DeepEqual(a, old)
	}
	old = old.DeepCopy()
	rename := func(now, before []corev1.NodeSelectorRequirement) {
		for i := range before {
			if i < len(now) && now[i].Key != before[i].Key && currentLabels[before[i].Key] == now[i].Key {
				before[i].Key = now[i].Key
			}
		}
	}
	for i := range old.Required.NodeSelectorTerms {
		now, before := &a.Required.NodeSelectorTerms[i], &old.Required.NodeSelectorTerms[i]
		rename(now.MatchExpressions, before.MatchExpressions)
		rename(now.MatchFields, before.MatchFields)
	}
	return equality.Semantic.DeepEqual(a, old)
}

func volumeWarnings(v *corev1.PersistentVolume) []string {
	var texts []string
	for _, old := range []struct{ key, text string }{
		{corev1.BetaStorageClassAnnotation, `deprecated since v1.8; use "storageClassName" attribute instead`},
		{corev1.MountOptionAnnotation, `deprecated since v1.31; use "mountOptions" attribute instead`},
	} {
		if _, ok := v.Annotations[old.key]; ok {
			texts = append(texts, fmt.Sprintf("%s: %s", path("metadata", "annotations").Key(old.key), old.text))
		}
	}
	s := &v.Spec
	if s.PersistentVolumeReclaimPolicy == corev1.PersistentVolumeReclaimRecycle {
		texts = append(texts, "spec.persistentVolumeReclaimPolicy: The Recycle reclaim policy is deprecated. Instead, the recommended approach is to use dynamic provisioning.")
	}
	if s.NodeAffinity != nil && s.NodeAffinity.Required != nil {
		at := path("spec", "nodeAffinity", "required", "nodeSelectorTerms")
		for i := range s.NodeAffinity.Required.NodeSelectorTerms {
			texts = append(texts, podtemplate.NodeTermWarnings(&s.NodeAffinity.Required.NodeSelectorTerms[i], false, at.Index(i))...)
		}
	}
	for _, gone := range []struct {
		used bool
		text string
	}{
		{s.CephFS != nil, "spec.cephfs: deprecated in v1.28, non-functional in v1.31+"},
		{s.PhotonPersistentDisk != nil, "spec.photonPersistentDisk: deprecated in v1.11, non-functional in v1.16+"},
		{s.ScaleIO != nil, "spec.scaleIO: deprecated in v1.16, non-functional in v1.22+"},
		{s.StorageOS != nil, "spec.storageOS: deprecated in v1.22, non-functional in v1.25+"},
		{s.Glusterfs != nil, "spec.glusterfs: deprecated in v1.25, non-functional in v1.26+"},
		{s.RBD != nil, "spec.rbd: deprecated in v1.28, non-functional in v1.31+"},
	} {
		if gone.used {
			texts = append(texts, gone.text)
		}
	}
	return texts
}

func volumeColumns() []table.Column {
	spec, status := corev1.PersistentVolumeSpec{}, corev1.PersistentVolumeStatus{}
	return []table.Column{
		table.Name(),
		table.String("Capacity", table.Doc(spec, "capacity")),
		table.String("Access Modes", table.Doc(spec, "accessModes")),
		table.String("Reclaim Policy", table.Doc(spec, "persistentVolumeReclaimPolicy")),
		table.String("Status", table.Doc(status, "phase")),
		table.String("Claim", table.Doc(spec, "claimRef")),
		table.String("StorageClass", "StorageClass of the pv"),
		table.String("VolumeAttributesClass", "VolumeAttributesClass of the pv"),
		table.String("Reason", table.Doc(status, "reason")),
		table.Age(),
		table.Wide("VolumeMode", table.Doc(spec, "volumeMode")),
	}
}

func volumeCells(v *corev1.PersistentVolume) []any {
	claim := ""
	if ref := v.Spec.ClaimRef; ref != nil {
		claim = ref.Namespace + "/" + ref.Name
	}
	phase := string(v.Status.Phase)
	if v.DeletionTimestamp != nil {
		phase = "Terminating"
	}
	class, ok := v.Annotations[corev1.BetaStorageClassAnnotation]
	if !ok {
		class = v.Spec.StorageClassName
	}
	size := v.Spec.Capacity[corev1.ResourceStorage]
	return []any{
		v.Name, size.String(), accessModes(v.Spec.AccessModes), string(v.Spec.PersistentVolumeReclaimPolicy), phase, claim, class,
		table.Or(v.Spec.VolumeAttributesClassName, "<unset>"), v.Status.Reason, table.Since(v.CreationTimestamp),
		string(table.Or(v.Spec.VolumeMode, "<unset>")),
	}
}

// accessModes are the usual short names, always in the same order.
func accessModes(modes []corev1.PersistentVolumeAccessMode) string {
	var names []string
	for _, m := range []struct {
		mode corev1.PersistentVolumeAccessMode
		name string
	}{
		{corev1.ReadWriteOnce, "RWO"}, {corev1.ReadOnlyMany, "ROX"}, {corev1.ReadWriteMany, "RWX"}, {corev1.ReadWriteOncePod, "RWOP"},
	} {
		if slices.Contains(modes, m.mode) {
			names = append(names, m.name)
		}
	}
	return strings.Join(names, ",")
}
