package bootstrap

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"slices"
	"testing"

	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

var update = flag.Bool("update", false, "write the golden file")

// The golden file holds one object per line; it was compared with the fixtures of
// upstream v1.37.2 when it was written. Those of noderoles.txt are Skiff's own.
func TestPolicyGolden(t *testing.T) {
	var got bytes.Buffer
	enc := json.NewEncoder(&got)
	p := DefaultPolicy()
	for _, list := range []func() error{
		func() error { return encodeAll(enc, p.ClusterRoles) },
		func() error { return encodeAll(enc, p.ClusterRoleBindings) },
		func() error { return encodeAll(enc, p.Roles) },
		func() error { return encodeAll(enc, p.RoleBindings) },
	} {
		if err := list(); err != nil {
			t.Fatal(err)
		}
	}
	const path = "testdata/policy.jsonl"
	if *update {
		if err := os.WriteFile(path, got.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	gotLines, wantLines := bytes.Split(got.Bytes(), []byte("\n")), bytes.Split(want, []byte("\n"))
	if len(gotLines) != len(wantLines) {
		t.Errorf("%d objects, want %d", len(gotLines), len(wantLines))
	}
	for i := range min(len(gotLines), len(wantLines)) {
		if !bytes.Equal(gotLines[i], wantLines[i]) {
			t.Errorf("object %d:\n got %s\nwant %s", i, gotLines[i], wantLines[i])
		}
	}
}

func encodeAll[T any](enc *json.Encoder, list []T) error {
	for i := range list {
		if err := enc.Encode(&list[i]); err != nil {
			return err
		}
	}
	return nil
}

// Every binding refers to a role that exists, and no name is there twice.
func TestPolicyIsConsistent(t *testing.T) {
	p := DefaultPolicy()
	cluster := names(t, p.ClusterRoles)
	names(t, p.ClusterRoleBindings)
	roles := names(t, p.Roles)
	names(t, p.RoleBindings)
	for _, b := range p.ClusterRoleBindings {
		if !slices.Contains(cluster, "/"+b.RoleRef.Name) {
			t.Errorf("%s refers to missing %s", b.Name, b.RoleRef.Name)
		}
	}
	for _, b := range p.RoleBindings {
		if !slices.Contains(roles, b.Namespace+"/"+b.RoleRef.Name) {
			t.Errorf("%s/%s refers to missing %s", b.Namespace, b.Name, b.RoleRef.Name)
		}
	}
	for _, r := range p.ClusterRoles {
		// The rules of an aggregated role are what it gathers.
		if len(r.Rules) == 0 && r.Name != "system:controller:certificate-controller" {
			t.Errorf("%s has no rules", r.Name)
		}
	}
}

func names[T any, P object[T]](t *testing.T, list []T) []string {
	t.Helper()
	var out []string
	for i := range list {
		p := P(&list[i])
		n := p.GetNamespace() + "/" + p.GetName()
		if slices.Contains(out, n) {
			t.Errorf("%s is there twice", n)
		}
		out = append(out, n)
	}
	return out
}

// admin includes edit, which includes view: aggregation goes through.
func TestAggregatedRolesInclude(t *testing.T) {
	find := func(name string) rbacv1.ClusterRole {
		for _, r := range DefaultPolicy().ClusterRoles {
			if r.Name == name {
				return r
			}
		}
		t.Fatalf("no role %s", name)
		return rbacv1.ClusterRole{}
	}
	holds := func(r rbacv1.ClusterRole, verb, resource string) bool {
		return slices.ContainsFunc(r.Rules, func(p rbacv1.PolicyRule) bool {
			return slices.Contains(p.Verbs, verb) && slices.Contains(p.Resources, resource)
		})
	}
	for _, tc := range []struct {
		role, verb, resource string
		want                 bool
	}{
		{"view", "get", "configmaps", true}, {"view", "get", "secrets", false}, {"view", "create", "configmaps", false},
		{"edit", "get", "configmaps", true}, {"edit", "create", "secrets", true}, {"edit", "create", "roles", false},
		{"admin", "get", "pods/log", true}, {"admin", "create", "deployments", true}, {"admin", "create", "rolebindings", true},
	} {
		if got := holds(find(tc.role), tc.verb, tc.resource); got != tc.want {
			t.Errorf("%s may %s %s: %v", tc.role, tc.verb, tc.resource, got)
		}
	}
}

func TestFlowControlObjectsAreCopies(t *testing.T) {
	first := flowSchemas()
	first[0].Name = "changed"
	if flowSchemas()[0].Name == "changed" || len(first) != 13 && len(first) < 10 {
		t.Errorf("shared with the library, or only %d", len(first))
	}
	if got := len(priorityLevels()); got < 8 {
		t.Errorf("%d priority levels", got)
	}
	var _ metav1.Object = &first[0]
}
