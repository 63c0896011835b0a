// Package admissiontest makes the writes and listers that tests of admission plugins
// need.
package admissiontest

import (
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/client-go/tools/cache"

	"skiff/server/admission"
)

// Node is the user of a node.
func Node(name string) user.Info {
	return &user.DefaultInfo{Name: "system:node:" + name, Groups: []string{"system:nodes", "system:authenticated"}}
}

// Bob is a user without rights.
func Bob() user.Info {
	return &user.DefaultInfo{Name: "bob", Groups: []string{"system:authenticated"}}
}

// Write makes a write of obj over old (nil on create) by u. resource is
// "pods", "nodes/status" or "leases.coordination.k8s.io".
func Write(op admission.Operation, resource string, obj, old runtime.Object, u user.Info) *admission.Attributes {
	resource, sub, _ := strings.Cut(resource, "/")
	plural, group, _ := strings.Cut(resource, ".")
	if s, g, ok := strings.Cut(sub, "."); ok {
		sub, group = s, g
	}
	a := &admission.Attributes{
		Operation: op, Resource: schema.GroupVersionResource{Group: group, Version: "v1", Resource: plural}, Subresource: sub,
		Object: obj, OldObject: old, User: u,
	}
	for _, o := range []runtime.Object{obj, old} {
		if m, err := meta.Accessor(o); o != nil && err == nil {
			a.Namespace, a.Name = m.GetNamespace(), m.GetName()
			break
		}
	}
	return a
}

// Indexer returns a lister's indexer that holds the objects.
func Indexer(t *testing.T, objects ...runtime.Object) cache.Indexer {
	t.Helper()
	i := cache.NewIndexer(cache.MetaNamespaceKeyFunc, cache.Indexers{cache.NamespaceIndex: cache.MetaNamespaceIndexFunc})
	for _, o := range objects {
		if err := i.Add(o); err != nil {
			t.Fatal(err)
		}
	}
	return i
}

// Check compares an error with the end of its text; "" means none.
func Check(t *testing.T, what string, err error, want string) {
	t.Helper()
	switch {
	case want == "" && err != nil:
		t.Errorf("%s: refused: %v", what, err)
	case want != "" && err == nil:
		t.Errorf("%s: admitted, want %s", what, want)
	case want != "" && !strings.HasSuffix(err.Error(), want):
		t.Errorf("%s: got %v\nwant %s", what, err, want)
	}
}
