package bootstrap

import (
	"context"
	"errors"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"
)

func writes(c *fake.Clientset) []string {
	var out []string
	for _, a := range c.Actions() {
		if !slices.Contains([]string{"list", "get", "watch"}, a.GetVerb()) {
			out = append(out, a.GetVerb()+" "+a.GetResource().Resource)
		}
	}
	return out
}

func ensureNow(t *testing.T, c *fake.Clientset) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	c.ClearActions()
	if err := Ensure(ctx, c); err != nil {
		t.Fatal(err)
	}
}

func TestEnsureFromNothingThenNothingToDo(t *testing.T) {
	c := fake.NewSimpleClientset() //nolint:staticcheck // the other tracks field owners, which takes seconds here
	ensureNow(t, c)
	p := DefaultPolicy()
	want := len(Namespaces()) + len(PriorityClasses()) + len(flowSchemas()) + len(priorityLevels()) +
		len(p.ClusterRoles) + len(p.ClusterRoleBindings) + len(p.Roles) + len(p.RoleBindings)
	if got := len(writes(c)); got != want {
		t.Errorf("%d writes, want %d", got, want)
	}
	if _, err := c.RbacV1().Roles("kube-system").Get(t.Context(), "extension-apiserver-authentication-reader", metav1.GetOptions{}); err != nil {
		t.Error(err)
	}
	ensureNow(t, c)
	if w := writes(c); len(w) > 0 {
		t.Errorf("a second start writes %v", w)
	}
	if n := len(c.Actions()); n > 8 {
		t.Errorf("a second start makes %d requests", n)
	}
}

// Changes by users: what is missing comes back, what they added stays, what they
// protected is left alone.
func TestEnsureCompletes(t *testing.T) {
	c := fake.NewSimpleClientset() //nolint:staticcheck // the other tracks field owners, which takes seconds here
	ensureNow(t, c)
	roles, bindings := c.RbacV1().ClusterRoles(), c.RbacV1().ClusterRoleBindings()
	change := func(name string, f func(*rbacv1.ClusterRole)) {
		t.Helper()
		r, err := roles.Get(t.Context(), name, metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		f(r)
		if _, err := roles.Update(t.Context(), r, metav1.UpdateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	mine := rbacv1.PolicyRule{Verbs: []string{"get"}, APIGroups: []string{"example.org"}, Resources: []string{"things"}}
	change("system:kube-dns", func(r *rbacv1.ClusterRole) { r.Rules = []rbacv1.PolicyRule{mine} })
	change("system:node-proxier", func(r *rbacv1.ClusterRole) {
		r.Rules, r.Annotations[rbacv1.AutoUpdateAnnotationKey] = nil, "false"
	})
	change("system:discovery", func(r *rbacv1.ClusterRole) { r.Labels = nil })
	change("view", func(r *rbacv1.ClusterRole) { r.Rules = append(r.Rules, mine) }) // as the controller does
	b, err := bindings.Get(t.Context(), "system:basic-user", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	b.Subjects = []rbacv1.Subject{{Kind: "User", APIGroup: rbacv1.GroupName, Name: "bob"}}
	if _, err := bindings.Update(t.Context(), b, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	b, err = bindings.Get(t.Context(), "system:monitoring", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	b.RoleRef.Name = "cluster-admin"
	if _, err := bindings.Update(t.Context(), b, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}

	ensureNow(t, c)
	w := writes(c)
	slices.Sort(w)
	want := []string{"create clusterrolebindings", "delete clusterrolebindings", "update clusterrolebindings", "update clusterroles", "update clusterroles"}
	if !slices.Equal(w, want) {
		t.Errorf("writes %v, want %v", w, want)
	}
	dns, _ := roles.Get(t.Context(), "system:kube-dns", metav1.GetOptions{})
	if len(dns.Rules) < 2 || !slices.ContainsFunc(dns.Rules, func(r rbacv1.PolicyRule) bool { return slices.Contains(r.Resources, "things") }) {
		t.Errorf("rules %v", dns.Rules)
	}
	proxier, _ := roles.Get(t.Context(), "system:node-proxier", metav1.GetOptions{})
	if len(proxier.Rules) != 0 {
		t.Error("a protected role was changed")
	}
	basic, _ := bindings.Get(t.Context(), "system:basic-user", metav1.GetOptions{})
	if len(basic.Subjects) != 2 {
		t.Errorf("subjects %v", basic.Subjects)
	}
	monitoring, _ := bindings.Get(t.Context(), "system:monitoring", metav1.GetOptions{})
	if monitoring.RoleRef.Name != "system:monitoring" {
		t.Errorf("bound to %s", monitoring.RoleRef.Name)
	}
}

func TestEnsureTriesAgain(t *testing.T) {
	c := fake.NewSimpleClientset() //nolint:staticcheck // the other tracks field owners, which takes seconds here
	var failures atomic.Int32
	c.PrependReactor("create", "clusterroles", func(clienttesting.Action) (bool, runtime.Object, error) {
		if failures.Add(1) <= 3 {
			return true, nil, apierrors.NewServiceUnavailable("no leader")
		}
		return false, nil, nil
	})
	ensureNow(t, c)
	list, err := c.RbacV1().ClusterRoles().List(t.Context(), metav1.ListOptions{})
	if err != nil || len(list.Items) != len(ClusterRoles()) {
		t.Errorf("%d roles, %v", len(list.Items), err)
	}
}

func TestEnsureEndsWithContext(t *testing.T) {
	c := fake.NewSimpleClientset() //nolint:staticcheck // the other tracks field owners, which takes seconds here
	c.PrependReactor("list", "namespaces", func(clienttesting.Action) (bool, runtime.Object, error) {
		return true, nil, errors.New("disk is on fire")
	})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := Ensure(ctx, c); err == nil {
		t.Error("no error")
	}
}
