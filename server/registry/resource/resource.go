// Package resource describes the resources of the API group resource.k8s.io:
// device classes, resource claims and their templates, resource slices and device
// taint rules (dynamic resource allocation).
package resource

import (
	"context"
	"strings"
	"time"

	resourcev1 "k8s.io/api/resource/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"

	"skiff/server/registry"
	"skiff/server/registry/table"
)

// Group is the API group's name.
const Group = resourcev1.GroupName

// DeviceClasses returns the resource deviceclasses.
func DeviceClasses() *registry.Resource {
	return &registry.Resource{
		Group: Group, Plural: "deviceclasses", Singular: "deviceclass", Kind: "DeviceClass", ReturnsDeleted: true,
		Versions: []registry.Version{{Name: "v1", New: registry.New[resourcev1.DeviceClass](), NewList: registry.New[resourcev1.DeviceClassList]()}},
		Rules: registry.Rules{
			Generation:               true,
			Validate:                 registry.Validate(validateClass),
			ValidateUpdate:           registry.ValidateUpdate(validateClassUpdate),
			AllowUnconditionalUpdate: true,
		},
		Columns: []table.Column{table.Name(), table.Age()},
		Cells: registry.Cells(func(c *resourcev1.DeviceClass) []any {
			return []any{c.Name, table.Since(c.CreationTimestamp)}
		}),
	}
}

// DeviceTaintRules returns the resource devicetaintrules.
func DeviceTaintRules() *registry.Resource {
	type rule = resourcev1.DeviceTaintRule
	doc := resourcev1.DeviceTaint{}
	return &registry.Resource{
		Group: Group, Plural: "devicetaintrules", Singular: "devicetaintrule", Kind: "DeviceTaintRule", ReturnsDeleted: true,
		Versions: []registry.Version{{Name: "v1", New: registry.New[rule](), NewList: registry.New[resourcev1.DeviceTaintRuleList]()}},
		Rules: registry.Rules{
			Default:       registry.Default(func(r *rule) { defaultTaint(&r.Spec.Taint) }),
			PrepareCreate: registry.Prepare(func(_ context.Context, r *rule) { r.Status = resourcev1.DeviceTaintRuleStatus{} }),
			PrepareUpdate: registry.PrepareUpdate(func(_ context.Context, r, old *rule) {
				r.Status = old.Status
				// Tolerations count from when this effect began.
				if is, was := &r.Spec.Taint, &old.Spec.Taint; is.Effect != was.Effect && is.TimeAdded.Equal(was.TimeAdded) {
					is.TimeAdded = nil
					defaultTaint(is)
				}
			}),
			Generation:               true,
			Validate:                 registry.Validate(validateTaintRule),
			ValidateUpdate:           registry.ValidateUpdate(validateTaintRuleUpdate),
			AllowUnconditionalUpdate: true,
		},
		Columns: []table.Column{
			table.Name(),
			table.String("Key", table.Doc(doc, "key")),
			table.String("Value", table.Doc(doc, "value")),
			table.String("Effect", table.Doc(doc, "effect")),
			table.String("TimeAdded", table.Doc(doc, "timeAdded")),
			table.Age(),
		},
		Cells: registry.Cells(func(r *rule) []any {
			added := ""
			if t := r.Spec.Taint.TimeAdded; t != nil {
				added = table.Since(*t)
			}
			return []any{r.Name, r.Spec.Taint.Key, r.Spec.Taint.Value, string(r.Spec.Taint.Effect), added, table.Since(r.CreationTimestamp)}
		}),
		Subresources: []registry.Subresource{{Name: "status", Update: &registry.Rules{
			PrepareUpdate: registry.PrepareUpdate(func(_ context.Context, r, old *rule) {
				r.Spec = old.Spec
				metav1.ResetObjectMetaForStatus(&r.ObjectMeta, &old.ObjectMeta)
			}),
			ValidateUpdate:           registry.ValidateUpdate(validateTaintRuleStatus),
			AllowUnconditionalUpdate: true,
		}}},
	}
}

// defaultTaint notes when a taint was added, to the second, as it is encoded.
func defaultTaint(t *resourcev1.DeviceTaint) {
	if t.TimeAdded == nil {
		now := metav1.NewTime(time.Now().Truncate(time.Second))
		t.TimeAdded = &now
	}
}

// ResourceClaims returns the resource resourceclaims.
func ResourceClaims() *registry.Resource {
	type claim = resourcev1.ResourceClaim
	return &registry.Resource{
		Group: Group, Plural: "resourceclaims", Singular: "resourceclaim", Kind: "ResourceClaim", Namespaced: true, ReturnsDeleted: true,
		Versions: []registry.Version{{Name: "v1", New: registry.New[claim](), NewList: registry.New[resourcev1.ResourceClaimList]()}},
		Rules: registry.Rules{
			Default:                  registry.Default(func(c *claim) { defaultClaim(&c.Spec) }),
			PrepareCreate:            registry.Prepare(func(_ context.Context, c *claim) { c.Status = resourcev1.ResourceClaimStatus{} }),
			PrepareUpdate:            registry.PrepareUpdate(func(_ context.Context, c, old *claim) { c.Status = old.Status }),
			Validate:                 registry.Validate(validateClaim),
			ValidateUpdate:           registry.ValidateUpdate(validateClaimUpdate),
			AllowUnconditionalUpdate: true,
		},
		Columns: []table.Column{
			table.Name(),
			table.String("State", "A summary of the current state (allocated, pending, reserved, etc.)."),
			table.Age(),
		},
		Cells: registry.Cells(func(c *claim) []any { return []any{c.Name, claimState(c), table.Since(c.CreationTimestamp)} }),
		Subresources: []registry.Subresource{{Name: "status", Update: &registry.Rules{
			PrepareUpdate: registry.PrepareUpdate(func(_ context.Context, c, old *claim) {
				c.Spec = old.Spec
				metav1.ResetObjectMetaForStatus(&c.ObjectMeta, &old.ObjectMeta)
			}),
			ValidateUpdate:           registry.ValidateUpdate(validateClaimStatus),
			AllowUnconditionalUpdate: true,
		}}},
	}
}

func claimState(c *resourcev1.ResourceClaim) string {
	var states []string
	if c.DeletionTimestamp != nil {
		states = append(states, "deleted")
	}
	switch {
	case c.Status.Allocation == nil && c.DeletionTimestamp == nil:
		states = append(states, "pending")
	case c.Status.Allocation != nil:
		states = append(states, "allocated")
		if len(c.Status.ReservedFor) > 0 {
			states = append(states, "reserved")
		}
	}
	return strings.Join(states, ",")
}

func defaultClaim(s *resourcev1.ResourceClaimSpec) {
	for i := range s.Devices.Requests {
		r := &s.Devices.Requests[i]
		if r.Exactly != nil {
			defaultCount(&r.Exactly.AllocationMode, &r.Exactly.Count)
		}
		for k := range r.FirstAvailable {
			defaultCount(&r.FirstAvailable[k].AllocationMode, &r.FirstAvailable[k].Count)
		}
	}
}

func defaultCount(mode *resourcev1.DeviceAllocationMode, count *int64) {
	if *mode == "" {
		*mode = resourcev1.DeviceAllocationModeExactCount
	}
	if *mode == resourcev1.DeviceAllocationModeExactCount && *count == 0 {
		*count = 1
	}
}

// ResourceClaimTemplates returns the resource resourceclaimtemplates.
func ResourceClaimTemplates() *registry.Resource {
	type template = resourcev1.ResourceClaimTemplate
	return &registry.Resource{
		Group: Group, Plural: "resourceclaimtemplates", Singular: "resourceclaimtemplate", Kind: "ResourceClaimTemplate", Namespaced: true, ReturnsDeleted: true,
		Versions: []registry.Version{{Name: "v1", New: registry.New[template](), NewList: registry.New[resourcev1.ResourceClaimTemplateList]()}},
		Rules: registry.Rules{
			Default:                  registry.Default(func(t *template) { defaultClaim(&t.Spec.Spec) }),
			Validate:                 registry.Validate(validateTemplate),
			ValidateUpdate:           registry.ValidateUpdate(validateTemplateUpdate),
			AllowUnconditionalUpdate: true,
		},
		Columns: []table.Column{table.Name(), table.Age()},
		Cells:   registry.Cells(func(t *template) []any { return []any{t.Name, table.Since(t.CreationTimestamp)} }),
	}
}

// ResourceSlices returns the resource resourceslices.
func ResourceSlices() *registry.Resource {
	type slice = resourcev1.ResourceSlice
	return &registry.Resource{
		Group: Group, Plural: "resourceslices", Singular: "resourceslice", Kind: "ResourceSlice", ReturnsDeleted: true,
		Versions: []registry.Version{{Name: "v1", New: registry.New[slice](), NewList: registry.New[resourcev1.ResourceSliceList]()}},
		Rules: registry.Rules{
			Default: registry.Default(func(s *slice) {
				for i := range s.Spec.Devices {
					for k := range s.Spec.Devices[i].Taints {
						defaultTaint(&s.Spec.Devices[i].Taints[k])
					}
				}
			}),
			Generation:               true,
			Validate:                 registry.Validate(validateSlice),
			ValidateUpdate:           registry.ValidateUpdate(validateSliceUpdate),
			AllowUnconditionalUpdate: true,
		},
		Fields: func(o registry.Object) fields.Set {
			s := &o.(*slice).Spec
			return fields.Set{
				resourcev1.ResourceSliceSelectorNodeName: table.Or(s.NodeName, ""),
				resourcev1.ResourceSliceSelectorDriver:   s.Driver,
				resourcev1.ResourceSliceSelectorPoolName: s.Pool.Name,
			}
		},
		FieldNames: []string{resourcev1.ResourceSliceSelectorNodeName, resourcev1.ResourceSliceSelectorDriver, resourcev1.ResourceSliceSelectorPoolName},
		Columns: []table.Column{
			table.Name(),
			table.String("Node", table.Doc(resourcev1.ResourceSliceSpec{}, "nodeName")),
			table.String("Driver", table.Doc(resourcev1.ResourceSliceSpec{}, "driver")),
			table.String("Pool", table.Doc(resourcev1.ResourcePool{}, "name")),
			table.Age(),
		},
		Cells: registry.Cells(func(s *slice) []any {
			return []any{s.Name, table.Or(s.Spec.NodeName, ""), s.Spec.Driver, s.Spec.Pool.Name, table.Since(s.CreationTimestamp)}
		}),
	}
}
