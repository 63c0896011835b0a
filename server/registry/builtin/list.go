package builtin

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"skiff/server/registry"
	"skiff/server/registry/core"
)

// Complete returns the table with everything in it that a server can have, to be
// documented, not served.
func Complete() []*registry.Resource {
	return Resources(Deps{Core: core.Deps{Token: noToken, Objects: noObjects}})
}

func noObjects(schema.GroupResource) (registry.Objects, bool) { return nil, false }

func noToken(context.Context, registry.Objects, string, string, runtime.Object, *metav1.CreateOptions) (runtime.Object, error) {
	return nil, errors.New("this server issues no tokens")
}

// List describes a table as text, one line per served version of a resource and
// one per subresource, sorted: group/version, resource, kind, scope, short names,
// categories, verbs. It is what the golden file in testdata holds, and what the
// OpenAPI documents are generated for.
func List(table []*registry.Resource) string {
	var lines []string
	for _, r := range table {
		for _, v := range r.Versions {
			gv := strings.TrimPrefix(r.Group+"/"+v.Name, "/")
			lines = append(lines, fmt.Sprintf("%s %s %s %s short=%s categories=%s verbs=%s",
				gv, r.Plural, r.Kind, scope(r), strings.Join(r.ShortNames, ","), strings.Join(r.Categories, ","), strings.Join(r.ServedVerbs(), ",")))
			for i := range r.Subresources {
				s := &r.Subresources[i]
				lines = append(lines, fmt.Sprintf("%s %s/%s %s %s verbs=%s", gv, r.Plural, s.Name, subresourceKind(r, s), scope(r), strings.Join(s.ServedVerbs(), ",")))
			}
		}
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n") + "\n"
}

func scope(r *registry.Resource) string {
	if r.Namespaced {
		return "Namespaced"
	}
	return "Cluster"
}

func subresourceKind(r *registry.Resource, s *registry.Subresource) string {
	if s.Kind.Kind != "" {
		return s.Kind.Kind
	}
	return r.Kind
}
