package storage

import (
	"context"
	"math"

	storagev1 "k8s.io/api/storage/v1"
	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	metav1validation "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	utilvalidation "k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	apiequality "k8s.io/apimachinery/pkg/api/equality"

	"skiff/server/registry"
	"skiff/server/registry/check"
	"skiff/server/registry/podtemplate"
)

const (
	maxNodeID              = 256
	minTokenSeconds        = 600
	minAllocatableInterval = 10
)

func validateCSINode(_ context.Context, n *storagev1.CSINode) field.ErrorList {
	var errs field.ErrorList
	names := map[string]bool{}
	for i := range n.Spec.Drivers {
		d, fld := &n.Spec.Drivers[i], field.NewPath("spec", "drivers").Index(i)
		errs = append(errs, validateCSINodeDriver(d, fld)...)
		if names[d.Name] {
			errs = append(errs, field.Duplicate(fld.Child("name"), d.Name))
		}
		names[d.Name] = true
		errs = append(errs, validateTopologyKeys(d.TopologyKeys, fld)...)
	}
	return errs
}

func validateCSINodeDriver(d *storagev1.CSINodeDriver, fld *field.Path) field.ErrorList {
	errs := podtemplate.CSIDriverName(d.Name, fld.Child("name"))
	if d.NodeID == "" {
		errs = append(errs, field.Required(fld.Child("nodeID"), d.NodeID))
	}
	if len(d.NodeID) > maxNodeID {
		errs = append(errs, field.Invalid(fld.Child("nodeID"), d.NodeID, "must be 256 characters or less"))
	}
	if d.Allocatable != nil && d.Allocatable.Count != nil {
		errs = append(errs, check.NonNegative(*d.Allocatable.Count, fld.Child("allocatable", "count"))...)
	}
	return errs
}

func validateTopologyKeys(keys []string, fld *field.Path) field.ErrorList {
	var errs field.ErrorList
	seen := map[string]bool{}
	for _, k := range keys {
		if k == "" {
			errs = append(errs, field.Required(fld, k))
		}
		if seen[k] {
			errs = append(errs, field.Duplicate(fld, k))
		}
		seen[k] = true
		errs = append(errs, check.Messages(k, utilvalidation.IsQualifiedName(k), fld)...)
	}
	return errs
}

// validateCSINodeUpdate keeps registered drivers as they are, but for how many
// volumes they can attach.
func validateCSINodeUpdate(ctx context.Context, n, old *storagev1.CSINode) field.ErrorList {
	errs := validateCSINode(ctx, n)
	for i := range old.Spec.Drivers {
		for k := range n.Spec.Drivers {
			was, is := old.Spec.Drivers[i], n.Spec.Drivers[k]
			if was.Name != is.Name {
				continue
			}
			was.Allocatable, is.Allocatable = nil, nil
			errs = append(errs, check.Immutable(is, was, field.NewPath("spec", "drivers"))...)
		}
	}
	return errs
}

func validateCSIDriver(_ context.Context, d *storagev1.CSIDriver) field.ErrorList {
	s, fld := &d.Spec, field.NewPath("spec")
	var errs field.ErrorList
	if p := s.FSGroupPolicy; p != nil && *p != storagev1.FileFSGroupPolicy && *p != storagev1.NoneFSGroupPolicy && *p != storagev1.ReadWriteOnceWithFSTypeFSGroupPolicy {
		errs = append(errs, field.NotSupported(fld.Child("fsGroupPolicy"), p, []storagev1.FSGroupPolicy{storagev1.FileFSGroupPolicy, storagev1.NoneFSGroupPolicy, storagev1.ReadWriteOnceWithFSTypeFSGroupPolicy}))
	}
	errs = append(errs, validateTokenRequests(s.TokenRequests, fld.Child("tokenRequests"))...)
	for _, m := range s.VolumeLifecycleModes {
		errs = append(errs, check.Supported(m, []storagev1.VolumeLifecycleMode{storagev1.VolumeLifecyclePersistent, storagev1.VolumeLifecycleEphemeral}, fld.Child("volumeLifecycleModes"))...)
	}
	if n := s.NodeAllocatableUpdatePeriodSeconds; n != nil && *n < minAllocatableInterval {
		errs = append(errs, field.Invalid(fld.Child("nodeAllocatableUpdatePeriodSeconds"), *n, "must be greater than or equal to 10 seconds"))
	}
	if b := s.ServiceAccountTokenInSecrets; b != nil && len(s.TokenRequests) == 0 {
		errs = append(errs, field.Invalid(fld.Child("serviceAccountTokenInSecrets"), b, "serviceAccountTokenInSecrets is set but no tokenRequests are specified"))
	}
	return errs
}

func validateCSIDriverUpdate(ctx context.Context, d, old *storagev1.CSIDriver) field.ErrorList {
	errs := validateCSIDriver(ctx, d)
	errs = append(errs, apivalidation.ValidateImmutableField(d.Spec.AttachRequired, old.Spec.AttachRequired, field.NewPath("spec", "attachedRequired"))...)
	return append(errs, apivalidation.ValidateImmutableField(d.Spec.VolumeLifecycleModes, old.Spec.VolumeLifecycleModes, field.NewPath("spec", "volumeLifecycleModes"))...)
}

func validateTokenRequests(requests []storagev1.TokenRequest, fld *field.Path) field.ErrorList {
	var errs field.ErrorList
	audiences := map[string]bool{}
	for i, r := range requests {
		path := fld.Index(i)
		if audiences[r.Audience] {
			errs = append(errs, field.Duplicate(path.Child("audience"), r.Audience))
			continue
		}
		audiences[r.Audience] = true
		if s := r.ExpirationSeconds; s != nil && *s < minTokenSeconds {
			errs = append(errs, field.Invalid(path.Child("expirationSeconds"), *s, "may not specify a duration less than 10 minutes"))
		}
		if s := r.ExpirationSeconds; s != nil && *s > math.MaxUint32+1 {
			errs = append(errs, field.Invalid(path.Child("expirationSeconds"), *s, "may not specify a duration larger than 2^32 seconds"))
		}
	}
	return errs
}

func csiDriverWarnings(_ context.Context, obj, old registry.Object) []string {
	d := obj.(*storagev1.CSIDriver)
	if len(d.Spec.TokenRequests) == 0 || d.Spec.ServiceAccountTokenInSecrets != nil {
		return nil
	}
	if old != nil && apiequality.Semantic.DeepEqual(old.(*storagev1.CSIDriver).Spec.TokenRequests, d.Spec.TokenRequests) {
		return nil
	}
	return []string{"spec.serviceAccountTokenInSecrets is unset; if supported by this CSI driver, set to true to prevent possible logging of tokens in volume attributes"}
}

func validateCapacity(_ context.Context, c *storagev1.CSIStorageCapacity) field.ErrorList {
	return validateCapacityFields(c, false)
}

func validateCapacityFields(c *storagev1.CSIStorageCapacity, allowInvalidLabels bool) field.ErrorList {
	opts := metav1validation.LabelSelectorValidationOptions{AllowInvalidLabelValueInSelector: allowInvalidLabels}
	errs := metav1validation.ValidateLabelSelector(c.NodeTopology, opts, field.NewPath("nodeTopology"))
	errs = append(errs, check.Messages(c.StorageClassName, apivalidation.NameIsDNSSubdomain(c.StorageClassName, false), field.NewPath("storageClassName"))...)
	if c.Capacity != nil {
		errs = append(errs, podtemplate.NonnegativeQuantity(*c.Capacity, field.NewPath("capacity"))...)
	}
	return errs
}

func validateCapacityUpdate(_ context.Context, c, old *storagev1.CSIStorageCapacity) field.ErrorList {
	errs := validateCapacityFields(c, metav1validation.LabelSelectorHasInvalidLabelValue(old.NodeTopology))
	errs = append(errs, apivalidation.ValidateImmutableField(c.NodeTopology, old.NodeTopology, field.NewPath("nodeTopology"))...)
	return append(errs, apivalidation.ValidateImmutableField(c.StorageClassName, old.StorageClassName, field.NewPath("storageClassName"))...)
}
