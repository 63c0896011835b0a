package authz

import (
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes/fake"

	"skiff/server/authz/bootstrap"
)

// newAuthorizer serves the default policy and the objects.
func newAuthorizer(t *testing.T, objects ...runtime.Object) *Authorizer {
	t.Helper()
	client := fake.NewClientset(objects...)
	factory := informers.NewSharedInformerFactory(client, 0)
	a, err := New(Config{Informers: factory, Client: client})
	if err != nil {
		t.Fatal(err)
	}
	in := factory.Rbac().V1()
	policy := bootstrap.DefaultPolicy()
	add := func(err error) {
		if err != nil {
			t.Fatal(err)
		}
	}
	for i := range policy.ClusterRoles {
		add(in.ClusterRoles().Informer().GetIndexer().Add(&policy.ClusterRoles[i]))
	}
	for i := range policy.ClusterRoleBindings {
		add(in.ClusterRoleBindings().Informer().GetIndexer().Add(&policy.ClusterRoleBindings[i]))
	}
	for _, o := range objects {
		switch o := o.(type) {
		case *rbacv1.ClusterRole:
			add(in.ClusterRoles().Informer().GetIndexer().Add(o))
		case *rbacv1.RoleBinding:
			add(in.RoleBindings().Informer().GetIndexer().Add(o))
		case *corev1.Pod:
			add(factory.Core().V1().Pods().Informer().GetIndexer().Add(o))
		}
	}
	return a
}

func who(name string, groups ...string) user.Info {
	return &user.DefaultInfo{Name: name, Groups: groups}
}

func get(u user.Info, path string) authorizer.Attributes {
	return authorizer.AttributesRecord{User: u, Verb: "get", Path: path}
}

func on(u user.Info, verb, group, resource, namespace, name string) authorizer.Attributes {
	resource, sub, _ := strings.Cut(resource, "/")
	return authorizer.AttributesRecord{User: u, Verb: verb, APIGroup: group, APIVersion: "v1", Resource: resource, Subresource: sub, Namespace: namespace, Name: name, ResourceRequest: true}
}

func TestDefaultPolicy(t *testing.T) {
	anonymous := who("system:anonymous", "system:unauthenticated")
	bob := who("bob", "system:authenticated")
	admin := who("system:admin", "system:masters", "system:authenticated")
	scheduler := who("system:kube-scheduler", "system:authenticated")
	deployments := who("system:serviceaccount:kube-system:deployment-controller", "system:serviceaccounts", "system:serviceaccounts:kube-system", "system:authenticated")
	a := newAuthorizer(t, &rbacv1.RoleBinding{
		ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "bob-edits"},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "edit"},
		Subjects:   []rbacv1.Subject{{Kind: "User", APIGroup: rbacv1.GroupName, Name: "bob"}, {Kind: "ServiceAccount", Name: "robot"}},
	})
	robot := who("system:serviceaccount:shop:robot", "system:serviceaccounts", "system:serviceaccounts:shop", "system:authenticated")
	for name, tc := range map[string]struct {
		attrs authorizer.Attributes
		want  bool
	}{
		"anonymous healthz":             {get(anonymous, "/healthz"), true},
		"anonymous livez":               {get(anonymous, "/livez"), true},
		"anonymous version":             {get(anonymous, "/version"), true},
		"anonymous api":                 {get(anonymous, "/api"), false},
		"anonymous pods":                {on(anonymous, "list", "", "pods", "", ""), false},
		"user discovers":                {get(bob, "/apis/apps/v1"), true},
		"user asks about himself":       {on(bob, "create", "authorization.k8s.io", "selfsubjectaccessreviews", "", ""), true},
		"user lists nodes":              {on(bob, "list", "", "nodes", "", ""), false},
		"bound user in his namespace":   {on(bob, "create", "apps", "deployments", "shop", ""), true},
		"bound user reads":              {on(bob, "get", "", "pods/log", "shop", "x"), true},
		"bound user in another":         {on(bob, "create", "apps", "deployments", "other", ""), false},
		"bound user cluster-wide":       {on(bob, "list", "apps", "deployments", "", ""), false},
		"bound user grants":             {on(bob, "create", "rbac.authorization.k8s.io", "rolebindings", "shop", ""), false},
		"account without its namespace": {on(robot, "create", "", "configmaps", "shop", ""), true},
		"account elsewhere":             {on(robot, "create", "", "configmaps", "other", ""), false},
		"admin anything":                {on(admin, "delete", "example.org", "things", "x", "y"), true},
		"scheduler binds":               {on(scheduler, "create", "", "pods/binding", "x", "y"), true},
		"scheduler its lease":           {on(scheduler, "update", "coordination.k8s.io", "leases", "kube-system", "kube-scheduler"), true},
		"scheduler another lease":       {on(scheduler, "update", "coordination.k8s.io", "leases", "kube-system", "x"), false},
		"controller its work":           {on(deployments, "update", "apps", "deployments/status", "x", "y"), true},
		"controller others' work":       {on(deployments, "update", "batch", "jobs/status", "x", "y"), false},
		"account discovers issuer":      {get(robot, "/openid/v1/jwks"), true},
		"user discovers issuer":         {get(bob, "/openid/v1/jwks"), false},
	} {
		decision, reason, err := a.Authorize(t.Context(), tc.attrs)
		if err != nil || (decision == authorizer.DecisionAllow) != tc.want {
			t.Errorf("%s: %v %q %v", name, decision, reason, err)
		}
	}
}

// TestOpenPaths are allowed before any role is there.
func TestOpenPaths(t *testing.T) {
	client := fake.NewClientset()
	a, err := New(Config{Informers: informers.NewSharedInformerFactory(client, 0), Client: client, OpenPaths: []string{"/livez"}})
	if err != nil {
		t.Fatal(err)
	}
	anonymous := who("system:anonymous", "system:unauthenticated")
	for name, tc := range map[string]struct {
		attrs authorizer.Attributes
		want  bool
	}{
		"open":     {get(anonymous, "/livez"), true},
		"below it": {get(anonymous, "/livez/ping"), false},
		"resource": {authorizer.AttributesRecord{User: anonymous, Verb: "get", Path: "/livez", ResourceRequest: true}, false},
	} {
		decision, _, err := a.Authorize(t.Context(), tc.attrs)
		if err != nil || (decision == authorizer.DecisionAllow) != tc.want {
			t.Errorf("%s: %v, %v", name, decision, err)
		}
	}
}

func TestReasons(t *testing.T) {
	bob := who("bob", "system:authenticated")
	a := newAuthorizer(t,
		&rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: "reader"}, Rules: []rbacv1.PolicyRule{{Verbs: []string{"get"}, APIGroups: []string{"*"}, Resources: []string{"*/status"}}}},
		&rbacv1.RoleBinding{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "b"}, RoleRef: rbacv1.RoleRef{Kind: "ClusterRole", Name: "reader"}, Subjects: []rbacv1.Subject{{Kind: "User", Name: "bob"}}},
		&rbacv1.RoleBinding{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "dangling"}, RoleRef: rbacv1.RoleRef{Kind: "Role", Name: "gone"}, Subjects: []rbacv1.Subject{{Kind: "User", Name: "bob"}}},
	)
	for _, tc := range []struct {
		attrs  authorizer.Attributes
		reason string
	}{
		{on(bob, "get", "apps", "deployments/status", "shop", "x"), `RBAC: allowed by RoleBinding "b/shop" of ClusterRole "reader" to User "bob"`},
		{on(bob, "get", "apps", "deployments", "shop", "x"), `RBAC: RBAC: role.rbac.authorization.k8s.io "gone" not found`},
		{on(bob, "get", "apps", "deployments", "other", "x"), ""},
		{get(bob, "/version"), `RBAC: allowed by ClusterRoleBinding "system:discovery" of ClusterRole "system:discovery" to Group "system:authenticated"`},
		{on(who("system:node:box", "system:nodes"), "get", "", "secrets", "shop", "x"), "Node: no relationship found between node 'box' and this object"},
	} {
		_, reason, err := a.Authorize(t.Context(), tc.attrs)
		if err != nil {
			t.Error(err)
		}
		// Two default roles allow /version; either is a right answer.
		reason = strings.ReplaceAll(reason, "system:public-info-viewer", "system:discovery")
		if reason != tc.reason {
			t.Errorf("got %q\nwant %q", reason, tc.reason)
		}
	}
}

func TestRulesFor(t *testing.T) {
	a := newAuthorizer(t)
	resources, paths, incomplete, err := a.RulesFor(t.Context(), who("bob", "system:authenticated"), "shop")
	if err != nil || incomplete || len(resources) == 0 || len(paths) == 0 {
		t.Errorf("%d %d %v %v", len(resources), len(paths), incomplete, err)
	}
	if _, _, incomplete, err := a.RulesFor(t.Context(), who("system:node:box", "system:nodes"), "shop"); !incomplete || err == nil {
		t.Error("a node's rights look complete")
	}
	resources, _, _, _ = a.RulesFor(t.Context(), who("x", "system:masters"), "")
	if len(resources) == 0 || resources[0].GetVerbs()[0] != "*" {
		t.Error("masters' rights do not show")
	}
}

func BenchmarkAuthorizeServiceAccount(b *testing.B) {
	t := &testing.T{}
	a := newAuthorizer(t)
	attrs := on(who("system:serviceaccount:kube-system:deployment-controller", "system:serviceaccounts", "system:serviceaccounts:kube-system", "system:authenticated"), "update", "apps", "deployments/status", "x", "y")
	b.ReportAllocs()
	for b.Loop() {
		if d, _, _ := a.Authorize(b.Context(), attrs); d != authorizer.DecisionAllow {
			b.Fatal("denied")
		}
	}
}
