package rbac

import (
	"strings"
	"testing"

	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apiserver/pkg/authorization/authorizer"
)

func TestAllows(t *testing.T) {
	for _, tc := range []struct {
		groups, resources, names string // of the rule, which allows get
		group, resource, name    string // of the request
		want                     bool
	}{
		{"apps", "deployments", "", "apps", "deployments", "x", true},
		{"apps", "deployments", "", "apps", "deployments/status", "x", false},
		{"apps", "deployments/status", "", "apps", "deployments/status", "x", true},
		{"apps", "deployments/status", "", "apps", "deployments", "x", false},
		{"apps", "*/status", "", "apps", "deployments/status", "x", true},
		{"apps", "*/scale", "", "apps", "deployments/status", "x", false},
		{"apps", "*", "", "apps", "deployments/status", "x", true},
		{"*", "deployments", "", "apps", "deployments", "x", true},
		{"batch", "deployments", "", "apps", "deployments", "x", false},
		{"apps", "deployments", "x", "apps", "deployments", "x", true},
		{"apps", "deployments", "y", "apps", "deployments", "x", false},
		{"apps", "deployments", "x", "apps", "deployments", "", false},
		{"apps", "deployments/*", "", "apps", "deployments/status", "x", false},
	} {
		rule := rbacv1.PolicyRule{Verbs: []string{"get"}, APIGroups: []string{tc.groups}, Resources: []string{tc.resources}}
		if tc.names != "" {
			rule.ResourceNames = []string{tc.names}
		}
		resource, sub, _ := strings.Cut(tc.resource, "/")
		a := authorizer.AttributesRecord{Verb: "get", APIGroup: tc.group, Resource: resource, Subresource: sub, Name: tc.name, ResourceRequest: true}
		if got := Allows(&rule, a); got != tc.want {
			t.Errorf("%+v: %v", tc, got)
		}
		a.Verb = "delete"
		if Allows(&rule, a) {
			t.Errorf("%+v: allows another verb", tc)
		}
	}
	for _, tc := range []struct {
		rule, path string
		want       bool
	}{{"*", "/x", true}, {"/healthz", "/healthz", true}, {"/healthz", "/healthz/", false}, {"/api/*", "/api/v1", true}, {"/api/*", "/api", false}} {
		rule := rbacv1.PolicyRule{Verbs: []string{"*"}, NonResourceURLs: []string{tc.rule}}
		if got := Allows(&rule, authorizer.AttributesRecord{Verb: "get", Path: tc.path}); got != tc.want {
			t.Errorf("%+v: %v", tc, got)
		}
	}
}
