// Package discovery describes the resources of the API group discovery.k8s.io:
// endpoint slices.
package discovery

import (
	"context"
	"strconv"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	apiequality "k8s.io/apimachinery/pkg/api/equality"
	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	utilvalidation "k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"skiff/server/registry"
	"skiff/server/registry/table"
)

// Group is the API group's name.
const Group = discoveryv1.GroupName

// The controllers whose addresses are right without looking.
const (
	sliceController     = "endpointslice-controller.k8s.io"
	mirroringController = "endpointslicemirroring-controller.k8s.io"
)

// EndpointSlices returns the resource endpointslices.
func EndpointSlices() *registry.Resource {
	return &registry.Resource{
		Group: Group, Plural: "endpointslices", Singular: "endpointslice", Kind: "EndpointSlice", Namespaced: true,
		Versions: []registry.Version{{Name: "v1", New: registry.New[discoveryv1.EndpointSlice](), NewList: registry.New[discoveryv1.EndpointSliceList]()}},
		Rules: registry.Rules{
			Default:       registry.Default(defaultSlice),
			PrepareCreate: registry.Prepare(func(_ context.Context, s *discoveryv1.EndpointSlice) { dropTopology(s, nil) }),
			PrepareUpdate: registry.PrepareUpdate(func(_ context.Context, s, old *discoveryv1.EndpointSlice) {
				dropTopology(s, old)
				if !apiequality.Semantic.DeepEqual(s.Labels, old.Labels) {
					s.Generation = old.Generation + 1
				}
			}),
			Generation:               true,
			Validate:                 registry.Validate(validateSlice),
			ValidateUpdate:           registry.ValidateUpdate(validateSliceUpdate),
			Warnings:                 warnings,
			AllowUnconditionalUpdate: true,
		},
		Columns: []table.Column{
			table.Name(),
			table.String("AddressType", table.Doc(discoveryv1.EndpointSlice{}, "addressType")),
			table.String("Ports", table.Doc(discoveryv1.EndpointSlice{}, "ports")),
			table.String("Endpoints", table.Doc(discoveryv1.EndpointSlice{}, "endpoints")),
			table.Age(),
		},
		Cells: registry.Cells(func(s *discoveryv1.EndpointSlice) []any {
			return []any{s.Name, string(s.AddressType), ports(s), addresses(s), table.Since(s.CreationTimestamp)}
		}),
	}
}

func defaultSlice(s *discoveryv1.EndpointSlice) {
	for i := range s.Ports {
		p := &s.Ports[i]
		if p.Name == nil {
			p.Name = new(string)
		}
		if p.Protocol == nil {
			tcp := corev1.ProtocolTCP
			p.Protocol = &tcp
		}
	}
}

// dropTopology clears the topology that discovery/v1beta1 had in a map. Node names
// that a stored slice has there move into the field for them.
func dropTopology(s, old *discoveryv1.EndpointSlice) {
	if old != nil && apiequality.Semantic.DeepEqual(old.Endpoints, s.Endpoints) {
		return
	}
	nodes := map[string]bool{}
	if old != nil {
		for i := range old.Endpoints {
			nodes[old.Endpoints[i].DeprecatedTopology[corev1.LabelHostname]] = true
		}
	}
	for i := range s.Endpoints {
		e := &s.Endpoints[i]
		if name := e.DeprecatedTopology[corev1.LabelHostname]; e.NodeName == nil && name != "" && nodes[name] && len(apivalidation.NameIsDNSSubdomain(name, false)) == 0 {
			e.NodeName = &name
		}
		e.DeprecatedTopology = nil
	}
}

func warnings(_ context.Context, obj, old registry.Object) []string {
	s := obj.(*discoveryv1.EndpointSlice)
	var warnings []string
	if old == nil && s.AddressType == discoveryv1.AddressTypeFQDN {
		warnings = append(warnings, "spec.addressType: FQDN endpoints are deprecated")
	}
	if by := s.Labels[discoveryv1.LabelManagedBy]; by == sliceController || by == mirroringController {
		return warnings
	}
	for i := range s.Endpoints {
		for k, address := range s.Endpoints[i].Addresses {
			fld := field.NewPath("endpoints").Index(i).Child("addresses").Index(k)
			warnings = append(warnings, utilvalidation.GetWarningsForIP(fld, address)...)
		}
	}
	return warnings
}

const shown = 3

func ports(s *discoveryv1.EndpointSlice) string {
	list := make([]string, len(s.Ports))
	for i := range s.Ports {
		switch p := &s.Ports[i]; {
		case p.Port != nil:
			list[i] = strconv.Itoa(int(*p.Port))
		case p.Name != nil:
			list[i] = *p.Name
		default:
			list[i] = "*"
		}
	}
	return table.First(list, shown)
}

func addresses(s *discoveryv1.EndpointSlice) string {
	var list []string
	for i := range s.Endpoints {
		list = append(list, s.Endpoints[i].Addresses...)
	}
	return table.First(list, shown)
}
