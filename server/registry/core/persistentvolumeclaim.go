package core

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	metavalidation "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"skiff/server/registry"
	"skiff/server/registry/check"
	"skiff/server/registry/podtemplate"
	"skiff/server/registry/table"
)

func persistentVolumeClaims() *registry.Resource {
	r := resourceOf[corev1.PersistentVolumeClaim, corev1.PersistentVolumeClaimList]("persistentvolumeclaims", "PersistentVolumeClaim", "pvc")
	r.ReturnsDeleted = true
	r.Rules.Default = registry.Default(func(c *corev1.PersistentVolumeClaim) {
		if c.Status.Phase == "" {
			c.Status.Phase = corev1.ClaimPending
		}
		podtemplate.DefaultClaimSpec(&c.Spec)
		podtemplate.DefaultResourceList(c.Status.Capacity)
		podtemplate.DefaultResourceList(c.Status.AllocatedResources)
	})
	r.Rules.PrepareCreate = registry.Prepare(func(_ context.Context, c *corev1.PersistentVolumeClaim) {
		c.Status = corev1.PersistentVolumeClaimStatus{Phase: corev1.ClaimPending}
		prepareDataSource(&c.Spec, nil)
	})
	r.Rules.PrepareUpdate = registry.PrepareUpdate(func(_ context.Context, c, old *corev1.PersistentVolumeClaim) {
		c.Status = old.Status
		prepareDataSource(&c.Spec, &old.Spec)
	})
	r.Rules.Validate = registry.Validate(func(_ context.Context, c *corev1.PersistentVolumeClaim) field.ErrorList {
		return podtemplate.ValidateClaimSpec(&c.Spec, path("spec"), podtemplate.ClaimOptions{})
	})
	r.Rules.ValidateUpdate = registry.ValidateUpdate(validateClaimUpdate)
	r.Rules.Warnings = func(_ context.Context, obj, _ registry.Object) []string {
		return claimWarnings(obj.(*corev1.PersistentVolumeClaim))
	}
	r.Columns = claimColumns()
	r.Cells = registry.Cells(claimCells)
	r.Subresources = []registry.Subresource{{Name: "status", Update: &registry.Rules{
		PrepareUpdate: registry.PrepareUpdate(func(_ context.Context, c, old *corev1.PersistentVolumeClaim) {
			c.Spec = old.Spec
			if old.Status.HealthStatus == nil { // CSIVolumeHealth is off
				c.Status.HealthStatus = nil
			}
		}),
		ValidateUpdate: registry.ValidateUpdate(validateClaimStatus),
	}}}
	return r
}

// prepareDataSource drops what the older field may not hold, and keeps the older
// and the newer one in step (KEP-1495).
func prepareDataSource(s, old *corev1.PersistentVolumeClaimSpec) {
	if ref := s.DataSourceRef; ref != nil && ref.Namespace != nil && *ref.Namespace != "" && (old == nil || old.DataSourceRef == nil) {
		s.DataSourceRef = nil // CrossNamespaceVolumeDataSource is off
	}
	inUse := old != nil && (old.DataSource != nil || old.DataSourceRef != nil)
	if !inUse && s.DataSourceRef == nil && !isClaimOrSnapshot(s.DataSource) {
		s.DataSource = nil
	}
	switch source, ref := s.DataSource, s.DataSourceRef; {
	case source != nil && ref == nil:
		s.DataSourceRef = &corev1.TypedObjectReference{APIGroup: source.APIGroup, Kind: source.Kind, Name: source.Name}
	case source == nil && ref != nil && (ref.Namespace == nil || *ref.Namespace == ""):
		s.DataSource = &corev1.TypedLocalObjectReference{APIGroup: ref.APIGroup, Kind: ref.Kind, Name: ref.Name}
	}
}

func isClaimOrSnapshot(source *corev1.TypedLocalObjectReference) bool {
	if source == nil {
		return false
	}
	group := table.Or(source.APIGroup, "")
	return source.Kind == "PersistentVolumeClaim" && group == "" ||
		source.Kind == "VolumeSnapshot" && group == "snapshot.storage.k8s.io"
}

func claimOptions(old *corev1.PersistentVolumeClaim) podtemplate.ClaimOptions {
	group := old.Spec.DataSource != nil && old.Spec.DataSource.APIGroup != nil ||
		old.Spec.DataSourceRef != nil && old.Spec.DataSourceRef.APIGroup != nil
	invalid := metavalidation.ValidateLabelSelector(old.Spec.Selector, metavalidation.LabelSelectorValidationOptions{}, nil)
	return podtemplate.ClaimOptions{AllowInvalidDataSourceGroup: group, AllowInvalidSelector: len(invalid) > 0}
}

func validateClaimUpdate(_ context.Context, c, old *corev1.PersistentVolumeClaim) field.ErrorList {
	errs := podtemplate.ValidateClaimSpec(&c.Spec, path("spec"), claimOptions(old))
	rest, before := c.DeepCopy(), old.DeepCopy()
	if before.Spec.VolumeName == "" {
		before.Spec.VolumeName = rest.Spec.VolumeName // set once, when it is bound
	}
	errs = append(errs, restOfClassUpdate(rest, before, c, old)...)
	if c.Status.Phase == corev1.ClaimBound {
		if rest.Spec.Resources.Requests != nil {
			rest.Spec.Resources.Requests[corev1.ResourceStorage] = old.Spec.Resources.Requests[corev1.ResourceStorage]
		}
		rest.Spec.VolumeAttributesClassName = before.Spec.VolumeAttributesClassName
	}
	if !equality.Semantic.DeepEqual(rest.Spec, before.Spec) {
		errs = append(errs, field.Forbidden(path("spec"),
			fmt.Sprintf("spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims\n%v", podtemplate.Diff(before.Spec, rest.Spec))))
	}
	now, was, have := c.Spec.Resources.Requests[corev1.ResourceStorage], old.Spec.Resources.Requests[corev1.ResourceStorage], old.Status.Capacity[corev1.ResourceStorage]
	if now.Cmp(was) < 0 && now.Cmp(have) <= 0 {
		// Down to what there is: that lets a user recover from a failed expansion.
		errs = append(errs, field.Forbidden(path("spec", "resources", "requests", "storage"), "field can not be less than status.capacity"))
	}
	errs = append(errs, check.Immutable(c.Spec.VolumeMode, old.Spec.VolumeMode, path("volumeMode"))...)
	return append(errs, validateAttributesClass(c, old)...)
}

// restOfClassUpdate puts back in rest a change of the storage class that is
// allowed: from the old annotation, or from none, to the field.
func restOfClassUpdate(rest, before, c, old *corev1.PersistentVolumeClaim) field.ErrorList {
	const key = corev1.BetaStorageClassAnnotation
	oldClass, hadOld := old.Annotations[key]
	newClass, hasNew := c.Annotations[key]
	name := c.Spec.StorageClassName
	if hadOld && old.Spec.StorageClassName == nil && name != nil && *name == oldClass && (!hasNew || newClass == oldClass) {
		rest.Spec.StorageClassName = nil
		metav1.SetMetaDataAnnotation(&rest.ObjectMeta, key, oldClass)
		return nil
	}
	var errs field.ErrorList
	if newClass != oldClass {
		errs = append(errs, field.Invalid(path("metadata", "annotations", key), newClass, "field is immutable"))
	}
	if name != nil && old.Spec.StorageClassName == nil && (!hadOld || *name == oldClass) {
		rest.Spec.StorageClassName = before.Spec.StorageClassName
	}
	return errs
}

func validateAttributesClass(c, old *corev1.PersistentVolumeClaim) field.ErrorList {
	at, name := path("spec", "volumeAttributesClassName"), c.Spec.VolumeAttributesClassName
	if equality.Semantic.DeepEqual(old.Spec.VolumeAttributesClassName, name) || old.Status.CurrentVolumeAttributesClassName == nil {
		return nil
	}
	if name == nil {
		return field.ErrorList{field.Forbidden(at, "update to nil is forbidden when status.currentVolumeAttributesClassName is not nil")}
	}
	if *name == "" {
		return field.ErrorList{field.Forbidden(at, "update to empty string is forbidden when status.currentVolumeAttributesClassName is not nil")}
	}
	return nil
}

func validateClaimStatus(_ context.Context, c, _ *corev1.PersistentVolumeClaim) field.ErrorList {
	errs := requireVersion(c)
	if len(c.Spec.AccessModes) == 0 {
		errs = append(errs, field.Required(path("Spec", "accessModes"), ""))
	}
	for _, name := range sortedNames(c.Status.Capacity) {
		errs = append(errs, basicQuantity(c.Status.Capacity, name, path("status", "capacity"))...)
	}
	if h := c.Status.HealthStatus; h != nil {
		for i, condition := range h.HealthConditions {
			if condition.Reason == "" {
				continue
			}
			for _, msg := range metavalidation.IsValidConditionReason(condition.Reason) {
				errs = append(errs, field.Invalid(path("status", "healthStatus", "healthConditions").Index(i).Child("reason"), condition.Reason, msg))
			}
		}
	}
	at := path("status", "allocatedResourceStatuses")
	for _, name := range sortedNames(c.Status.AllocatedResourceStatuses) {
		errs = append(errs, claimResourceName(name, at)...)
		if !slices.Contains(resizeStates, c.Status.AllocatedResourceStatuses[name]) {
			errs = append(errs, field.NotSupported(at, name, resizeStates))
		}
	}
	at = path("status", "allocatedResources")
	for _, name := range sortedNames(c.Status.AllocatedResources) {
		if found := claimResourceName(name, at); len(found) > 0 {
			errs = append(errs, found...)
		} else {
			errs = append(errs, basicQuantity(c.Status.AllocatedResources, name, at)...)
		}
	}
	return errs
}

// resizeStates are sorted.
var resizeStates = []corev1.ClaimResourceStatus{
	corev1.PersistentVolumeClaimControllerResizeInProgress, corev1.PersistentVolumeClaimControllerResizeInfeasible,
	corev1.PersistentVolumeClaimNodeResizeInProgress, corev1.PersistentVolumeClaimNodeResizeInfeasible,
	corev1.PersistentVolumeClaimNodeResizePending,
}

func sortedNames[K cmp.Ordered, V any](m map[K]V) []K { return slices.Sorted(maps.Keys(m)) }

func basicQuantity(list corev1.ResourceList, name corev1.ResourceName, fld *field.Path) field.ErrorList {
	quantity := list[name]
	if quantity.Value() >= 0 {
		return nil
	}
	return field.ErrorList{field.Invalid(fld.Key(string(name)), quantity.Value(), "must be a valid resource quantity")}
}

func claimResourceName(name corev1.ResourceName, fld *field.Path) field.ErrorList {
	var errs field.ErrorList
	for _, msg := range validation.IsQualifiedName(string(name)) {
		errs = append(errs, field.Invalid(fld, string(name), msg))
	}
	if len(errs) == 0 && podtemplate.IsNativeResource(name) && name != corev1.ResourceStorage {
		errs = append(errs, field.NotSupported(fld, string(name), []string{string(corev1.ResourceStorage)}))
	}
	return errs
}

func claimWarnings(c *corev1.PersistentVolumeClaim) []string {
	var texts []string
	if _, ok := c.Annotations[corev1.BetaStorageClassAnnotation]; ok {
		texts = append(texts, fmt.Sprintf(`%s: deprecated since v1.8; use "storageClassName" attribute instead`,
			path("metadata", "annotations").Key(corev1.BetaStorageClassAnnotation)))
	}
	for _, l := range []struct {
		name string
		list corev1.ResourceList
	}{{"requests", c.Spec.Resources.Requests}, {"limits", c.Spec.Resources.Limits}} {
		if size := l.list[corev1.ResourceStorage]; size.MilliValue()%1000 != 0 {
			texts = append(texts, fmt.Sprintf("%s: fractional byte value %q is invalid, must be an integer",
				path("spec", "resources", l.name).Key("storage"), size.String()))
		}
	}
	return texts
}

func claimColumns() []table.Column {
	spec, status := corev1.PersistentVolumeClaimSpec{}, corev1.PersistentVolumeClaimStatus{}
	return []table.Column{
		table.Name(),
		table.String("Status", table.Doc(status, "phase")),
		table.String("Volume", table.Doc(spec, "volumeName")),
		table.String("Capacity", table.Doc(status, "capacity")),
		table.String("Access Modes", table.Doc(status, "accessModes")),
		table.String("StorageClass", "StorageClass of the pvc"),
		table.String("VolumeAttributesClass", "VolumeAttributesClass of the pvc"),
		table.Age(),
		table.Wide("VolumeMode", table.Doc(spec, "volumeMode")),
	}
}

func claimCells(c *corev1.PersistentVolumeClaim) []any {
	phase := string(c.Status.Phase)
	if c.DeletionTimestamp != nil {
		phase = "Terminating"
	}
	var capacity, modes string
	if c.Spec.VolumeName != "" {
		size := c.Status.Capacity[corev1.ResourceStorage]
		capacity, modes = size.String(), accessModes(c.Status.AccessModes)
	}
	class, ok := c.Annotations[corev1.BetaStorageClassAnnotation]
	if !ok {
		class = table.Or(c.Spec.StorageClassName, "")
	}
	return []any{
		c.Name, phase, c.Spec.VolumeName, capacity, modes, class, table.Or(c.Spec.VolumeAttributesClassName, "<unset>"),
		table.Since(c.CreationTimestamp), string(table.Or(c.Spec.VolumeMode, "<unset>")),
	}
}
