// Package apiextensions describes the resources of the API group
// apiextensions.k8s.io: custom resource definitions. It stores them and checks
// their names and versions; package crd serves what they define.
package apiextensions

import (
	"context"
	"slices"
	"strings"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"

	"skiff/server/registry"
)

// Group is the API group's name.
const Group = "apiextensions.k8s.io"

type definition = apiextensionsv1.CustomResourceDefinition

// CustomResourceDefinitions returns the resource customresourcedefinitions.
func CustomResourceDefinitions() *registry.Resource {
	return &registry.Resource{
		Group: Group, Plural: "customresourcedefinitions", Singular: "customresourcedefinition", Kind: "CustomResourceDefinition",
		ShortNames: []string{"crd", "crds"}, Categories: []string{"api-extensions"},
		Versions: []registry.Version{{Name: "v1", New: registry.New[definition](), NewList: registry.New[apiextensionsv1.CustomResourceDefinitionList]()}},
		Rules: registry.Rules{
			Default: registry.Default(defaultDefinition),
			PrepareCreate: registry.Prepare(func(_ context.Context, d *definition) {
				d.Status = apiextensionsv1.CustomResourceDefinitionStatus{}
				addStoredVersion(d)
			}),
			PrepareUpdate: registry.PrepareUpdate(func(_ context.Context, d, old *definition) {
				d.Status = *old.Status.DeepCopy()
				addStoredVersion(d)
			}),
			Generation:     true,
			Validate:       registry.Validate(validateDefinition),
			ValidateUpdate: registry.ValidateUpdate(validateDefinitionUpdate),
			FreeFinalizers: true,
		},
		Subresources: []registry.Subresource{{Name: "status", Update: &registry.Rules{
			Default: registry.Default(defaultDefinition),
			PrepareUpdate: registry.PrepareUpdate(func(_ context.Context, d, old *definition) {
				d.Spec = old.Spec
				meta := d.ObjectMeta
				d.ObjectMeta = *old.ObjectMeta.DeepCopy()
				d.ManagedFields, d.ResourceVersion = meta.ManagedFields, meta.ResourceVersion
			}),
			ValidateUpdate: registry.ValidateUpdate(validateDefinitionStatus),
		}}},
	}
}

func defaultDefinition(d *definition) {
	names := &d.Spec.Names
	if names.Singular == "" {
		names.Singular = strings.ToLower(names.Kind)
	}
	if names.ListKind == "" && names.Kind != "" {
		names.ListKind = names.Kind + "List"
	}
	if d.Spec.Conversion == nil {
		d.Spec.Conversion = &apiextensionsv1.CustomResourceConversion{Strategy: apiextensionsv1.NoneConverter}
	}
	if w := d.Spec.Conversion.Webhook; w != nil && w.ClientConfig != nil {
		if s := w.ClientConfig.Service; s != nil && s.Port == nil {
			port := int32(443)
			s.Port = &port
		}
	}
	if len(d.Status.StoredVersions) == 0 {
		addStoredVersion(d)
	}
}

// addStoredVersion records that objects may be stored in what is now the storage
// version.
func addStoredVersion(d *definition) {
	for _, v := range d.Spec.Versions {
		if v.Storage {
			if !slices.Contains(d.Status.StoredVersions, v.Name) {
				d.Status.StoredVersions = append(d.Status.StoredVersions, v.Name)
			}
			return
		}
	}
}
