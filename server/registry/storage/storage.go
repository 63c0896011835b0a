// Package storage describes the resources of the API group storage.k8s.io: storage
// classes, CSI drivers, nodes and capacities, volume attachments and volume
// attributes classes.
package storage

import (
	"context"
	"strings"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"skiff/server/registry"
	"skiff/server/registry/table"
)

// Group is the API group's name.
const Group = storagev1.GroupName

// setDefault points *p to value unless it is set.
func setDefault[T any](p **T, value T) {
	if *p == nil {
		*p = &value
	}
}

// StorageClasses returns the resource storageclasses.
func StorageClasses() *registry.Resource {
	return &registry.Resource{
		Group: Group, Plural: "storageclasses", Singular: "storageclass", Kind: "StorageClass",
		ShortNames: []string{"sc"}, ReturnsDeleted: true,
		Versions: []registry.Version{{Name: "v1", New: registry.New[storagev1.StorageClass](), NewList: registry.New[storagev1.StorageClassList]()}},
		Rules: registry.Rules{
			Default: registry.Default(func(c *storagev1.StorageClass) {
				setDefault(&c.ReclaimPolicy, corev1.PersistentVolumeReclaimDelete)
				setDefault(&c.VolumeBindingMode, storagev1.VolumeBindingImmediate)
			}),
			Validate:                 registry.Validate(validateStorageClass),
			ValidateUpdate:           registry.ValidateUpdate(validateStorageClassUpdate),
			Warnings:                 storageClassWarnings,
			AllowUnconditionalUpdate: true,
		},
		Columns: []table.Column{
			table.Name(),
			table.String("Provisioner", table.Doc(storagev1.StorageClass{}, "provisioner")),
			table.String("ReclaimPolicy", table.Doc(storagev1.StorageClass{}, "reclaimPolicy")),
			table.String("VolumeBindingMode", table.Doc(storagev1.StorageClass{}, "volumeBindingMode")),
			table.String("AllowVolumeExpansion", table.Doc(storagev1.StorageClass{}, "allowVolumeExpansion")),
			table.Age(),
		},
		Cells: registry.Cells(func(c *storagev1.StorageClass) []any {
			name := c.Name
			if isDefault(c) {
				name += " (default)"
			}
			return []any{
				name, c.Provisioner,
				string(table.Or(c.ReclaimPolicy, corev1.PersistentVolumeReclaimDelete)),
				string(table.Or(c.VolumeBindingMode, storagev1.VolumeBindingImmediate)),
				table.Or(c.AllowVolumeExpansion, false), table.Since(c.CreationTimestamp),
			}
		}),
	}
}

// isDefault tells whether claims that name no class get this one.
func isDefault(c *storagev1.StorageClass) bool {
	return c.Annotations["storageclass.kubernetes.io/is-default-class"] == "true" ||
		c.Annotations["storageclass.beta.kubernetes.io/is-default-class"] == "true"
}

// VolumeAttachments returns the resource volumeattachments.
func VolumeAttachments() *registry.Resource {
	return &registry.Resource{
		Group: Group, Plural: "volumeattachments", Singular: "volumeattachment", Kind: "VolumeAttachment",
		ReturnsDeleted: true,
		Versions:       []registry.Version{{Name: "v1", New: registry.New[storagev1.VolumeAttachment](), NewList: registry.New[storagev1.VolumeAttachmentList]()}},
		Rules: registry.Rules{
			PrepareCreate: registry.Prepare(func(_ context.Context, a *storagev1.VolumeAttachment) {
				a.Status = storagev1.VolumeAttachmentStatus{}
			}),
			PrepareUpdate:  registry.PrepareUpdate(func(_ context.Context, a, old *storagev1.VolumeAttachment) { a.Status = old.Status }),
			Validate:       registry.Validate(validateAttachment),
			ValidateUpdate: registry.ValidateUpdate(validateAttachmentUpdate),
		},
		Columns: []table.Column{
			table.Name(),
			{Name: "Attacher", Type: "string", Format: "name", Description: table.Doc(storagev1.VolumeAttachmentSpec{}, "attacher")},
			table.String("PV", table.Doc(storagev1.VolumeAttachmentSource{}, "persistentVolumeName")),
			table.String("Node", table.Doc(storagev1.VolumeAttachmentSpec{}, "nodeName")),
			table.Boolean("Attached", table.Doc(storagev1.VolumeAttachmentStatus{}, "attached")),
			table.Age(),
		},
		Cells: registry.Cells(func(a *storagev1.VolumeAttachment) []any {
			return []any{
				a.Name, a.Spec.Attacher, table.Or(a.Spec.Source.PersistentVolumeName, ""), a.Spec.NodeName,
				a.Status.Attached, table.Since(a.CreationTimestamp),
			}
		}),
		Subresources: []registry.Subresource{{Name: "status", Update: &registry.Rules{
			PrepareUpdate: registry.PrepareUpdate(func(_ context.Context, a, old *storagev1.VolumeAttachment) {
				a.Spec = old.Spec
				metav1.ResetObjectMetaForStatus(&a.ObjectMeta, &old.ObjectMeta)
			}),
			ValidateUpdate: registry.ValidateUpdate(validateAttachmentUpdate),
		}}},
	}
}

// VolumeAttributesClasses returns the resource volumeattributesclasses.
func VolumeAttributesClasses() *registry.Resource {
	return &registry.Resource{
		Group: Group, Plural: "volumeattributesclasses", Singular: "volumeattributesclass", Kind: "VolumeAttributesClass",
		ShortNames: []string{"vac"}, ReturnsDeleted: true,
		Versions: []registry.Version{{Name: "v1", New: registry.New[storagev1.VolumeAttributesClass](), NewList: registry.New[storagev1.VolumeAttributesClassList]()}},
		Rules: registry.Rules{
			Validate:                 registry.Validate(validateAttributesClass),
			ValidateUpdate:           registry.ValidateUpdate(validateAttributesClassUpdate),
			AllowUnconditionalUpdate: true,
		},
		Columns: []table.Column{
			table.Name(),
			table.String("DriverName", table.Doc(storagev1.VolumeAttributesClass{}, "driverName")),
			table.Age(),
		},
		Cells: registry.Cells(func(c *storagev1.VolumeAttributesClass) []any {
			return []any{c.Name, c.DriverName, table.Since(c.CreationTimestamp)}
		}),
	}
}

// CSINodes returns the resource csinodes.
func CSINodes() *registry.Resource {
	return &registry.Resource{
		Group: Group, Plural: "csinodes", Singular: "csinode", Kind: "CSINode", ReturnsDeleted: true,
		Versions: []registry.Version{{Name: "v1", New: registry.New[storagev1.CSINode](), NewList: registry.New[storagev1.CSINodeList]()}},
		Rules: registry.Rules{
			PrepareCreate:  registry.Prepare(func(_ context.Context, n *storagev1.CSINode) { n.Status = storagev1.CSINodeStatus{} }),
			PrepareUpdate:  registry.PrepareUpdate(func(_ context.Context, n, old *storagev1.CSINode) { n.Status = old.Status }),
			Validate:       registry.Validate(validateCSINode),
			ValidateUpdate: registry.ValidateUpdate(validateCSINodeUpdate),
		},
		Columns: []table.Column{
			table.Name(),
			table.Integer("Drivers", "Drivers indicates the number of CSI drivers registered on the node"),
			table.Age(),
		},
		Cells: registry.Cells(func(n *storagev1.CSINode) []any {
			return []any{n.Name, int64(len(n.Spec.Drivers)), table.Since(n.CreationTimestamp)}
		}),
		Subresources: []registry.Subresource{{Name: "status", Update: &registry.Rules{
			PrepareUpdate: registry.PrepareUpdate(func(_ context.Context, n, old *storagev1.CSINode) {
				n.Spec = old.Spec
				metav1.ResetObjectMetaForStatus(&n.ObjectMeta, &old.ObjectMeta)
				// Volume health is an alpha feature, which is off.
				n.Status = old.Status
			}),
		}}},
	}
}

// CSIDrivers returns the resource csidrivers.
func CSIDrivers() *registry.Resource {
	return &registry.Resource{
		Group: Group, Plural: "csidrivers", Singular: "csidriver", Kind: "CSIDriver", ReturnsDeleted: true,
		Versions: []registry.Version{{Name: "v1", New: registry.New[storagev1.CSIDriver](), NewList: registry.New[storagev1.CSIDriverList]()}},
		Rules: registry.Rules{
			Default: registry.Default(defaultCSIDriver),
			// The generation counts changes; a new driver has had none.
			PrepareCreate:  registry.Prepare(func(_ context.Context, d *storagev1.CSIDriver) { d.Generation = 0 }),
			Generation:     true,
			Validate:       registry.Validate(validateCSIDriver),
			ValidateUpdate: registry.ValidateUpdate(validateCSIDriverUpdate),
			Warnings:       csiDriverWarnings,
		},
		Columns: []table.Column{
			table.Name(),
			table.Boolean("AttachRequired", table.Doc(storagev1.CSIDriverSpec{}, "attachRequired")),
			table.Boolean("PodInfoOnMount", table.Doc(storagev1.CSIDriverSpec{}, "podInfoOnMount")),
			table.Boolean("StorageCapacity", table.Doc(storagev1.CSIDriverSpec{}, "storageCapacity")),
			table.String("TokenRequests", table.Doc(storagev1.CSIDriverSpec{}, "tokenRequests")),
			table.Boolean("RequiresRepublish", table.Doc(storagev1.CSIDriverSpec{}, "requiresRepublish")),
			table.String("Modes", table.Doc(storagev1.CSIDriverSpec{}, "volumeLifecycleModes")),
			table.Age(),
		},
		Cells: registry.Cells(csiDriverCells),
	}
}

func defaultCSIDriver(d *storagev1.CSIDriver) {
	s := &d.Spec
	setDefault(&s.AttachRequired, true)
	setDefault(&s.PodInfoOnMount, false)
	setDefault(&s.StorageCapacity, false)
	setDefault(&s.FSGroupPolicy, storagev1.ReadWriteOnceWithFSTypeFSGroupPolicy)
	if len(s.VolumeLifecycleModes) == 0 {
		s.VolumeLifecycleModes = []storagev1.VolumeLifecycleMode{storagev1.VolumeLifecyclePersistent}
	}
	setDefault(&s.RequiresRepublish, false)
	setDefault(&s.SELinuxMount, false)
	setDefault(&s.PreventPodSchedulingIfMissing, false)
}

func csiDriverCells(d *storagev1.CSIDriver) []any {
	var audiences, modes []string
	for _, r := range d.Spec.TokenRequests {
		audiences = append(audiences, r.Audience)
	}
	for _, m := range d.Spec.VolumeLifecycleModes {
		modes = append(modes, string(m))
	}
	tokens, lifecycle := "<unset>", "<none>"
	if d.Spec.TokenRequests != nil {
		tokens = strings.Join(audiences, ",")
	}
	if len(modes) > 0 {
		lifecycle = strings.Join(modes, ",")
	}
	return []any{
		d.Name, table.Or(d.Spec.AttachRequired, true), table.Or(d.Spec.PodInfoOnMount, false), table.Or(d.Spec.StorageCapacity, false),
		tokens, table.Or(d.Spec.RequiresRepublish, false), lifecycle, table.Since(d.CreationTimestamp),
	}
}

// CSIStorageCapacities returns the resource csistoragecapacities.
func CSIStorageCapacities() *registry.Resource {
	return &registry.Resource{
		Group: Group, Plural: "csistoragecapacities", Singular: "csistoragecapacity", Kind: "CSIStorageCapacity", Namespaced: true,
		Versions: []registry.Version{{Name: "v1", New: registry.New[storagev1.CSIStorageCapacity](), NewList: registry.New[storagev1.CSIStorageCapacityList]()}},
		Rules: registry.Rules{
			Validate:       registry.Validate(validateCapacity),
			ValidateUpdate: registry.ValidateUpdate(validateCapacityUpdate),
		},
	}
}
