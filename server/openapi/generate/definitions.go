//go:build openapigen

package main

import (
	"fmt"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	openapinamer "k8s.io/apiserver/pkg/endpoints/openapi"
	"k8s.io/kube-openapi/pkg/builder"
	"k8s.io/kube-openapi/pkg/builder3"
	"k8s.io/kube-openapi/pkg/common"
	"k8s.io/kube-openapi/pkg/handler"
	"k8s.io/kube-openapi/pkg/spec3"
	"k8s.io/kube-openapi/pkg/validation/spec"

	"skiff/server/openapi/generate/definitions"
	"skiff/server/registry"
)

const title, version = "Kubernetes", "v1.37.2"

// generator makes the documents of a table.
type generator struct {
	table []*registry.Resource
	namer *openapinamer.DefinitionNamer
}

func newGenerator(table []*registry.Resource) (*generator, error) {
	scheme := runtime.NewScheme()
	for _, r := range table {
		for _, v := range r.Versions {
			gv := schema.GroupVersion{Group: r.Group, Version: v.Name}
			scheme.AddKnownTypeWithName(gv.WithKind(r.Kind), v.New())
			if v.NewList != nil {
				scheme.AddKnownTypeWithName(gv.WithKind(r.Kind+"List"), v.NewList())
			}
			metav1.AddToGroupVersion(scheme, gv)
			for _, s := range r.Subresources {
				if s.New != nil && s.Kind.Kind != "" {
					scheme.AddKnownTypeWithName(s.Kind, s.New())
				}
			}
		}
	}
	return &generator{table: table, namer: openapinamer.NewDefinitionNamer(scheme)}, nil
}

// model is the name of an object's schema.
func model(obj any) string {
	n, ok := obj.(interface{ OpenAPIModelName() string })
	if !ok {
		panic(fmt.Sprintf("%T has no OpenAPI model name", obj))
	}
	return n.OpenAPIModelName()
}

// models are the schemas that operations of a table refer to.
func (g *generator) models(operations []operation) []string {
	set := map[string]bool{}
	for _, o := range operations {
		for _, name := range []string{o.body, o.result} {
			if name != "" && name != patchModel {
				set[name] = true
			}
		}
		if o.body == patchModel {
			set[model(metav1.Patch{})] = true
		}
	}
	names := make([]string, 0, len(set))
	for name := range set {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

func (g *generator) v2() (*spec.Swagger, error) {
	operations := g.operations(g.table)
	doc, err := builder.BuildOpenAPIDefinitionsForResources(&common.Config{
		ProtocolList:      []string{"https"},
		Info:              &spec.Info{InfoProps: spec.InfoProps{Title: title, Version: version}},
		GetDefinitions:    definitions.GetOpenAPIDefinitions,
		GetDefinitionName: g.namer.GetDefinitionName,
	}, g.models(operations)...)
	if err != nil {
		return nil, fmt.Errorf("build OpenAPI v2 definitions: %w", err)
	}
	// Clients of version 2 have never seen defaults.
	doc.Definitions = handler.PruneDefaults(doc.Definitions)
	addPathsV2(doc, operations)
	return doc, nil
}

// v3 returns a document for each group version, by its path ("apis/apps/v1").
func (g *generator) v3() (map[string]*spec3.OpenAPI, error) {
	byPath := map[string][]*registry.Resource{}
	for _, r := range g.table {
		for _, v := range r.Versions {
			only := *r
			only.Versions = []registry.Version{v}
			path := strings.TrimPrefix(root(r.Group, v.Name), "/")
			byPath[path] = append(byPath[path], &only)
		}
	}
	docs := map[string]*spec3.OpenAPI{}
	for path, table := range byPath {
		operations := g.operations(table)
		schemas, err := builder3.BuildOpenAPIDefinitionsForResources(&common.OpenAPIV3Config{
			Info:              &spec.Info{InfoProps: spec.InfoProps{Title: title, Version: version}},
			GetDefinitions:    definitions.GetOpenAPIDefinitions,
			GetDefinitionName: g.namer.GetDefinitionName,
		}, g.models(operations)...)
		if err != nil {
			return nil, fmt.Errorf("build OpenAPI v3 definitions of %s: %w", path, err)
		}
		docs[path] = newV3(schemas, operations)
	}
	return docs, nil
}

// root is the path of a group version.
func root(group, version string) string {
	if group == "" {
		return "/api/" + version
	}
	return "/apis/" + group + "/" + version
}
