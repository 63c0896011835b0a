package authz_test

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	flowcontrolv1 "k8s.io/api/flowcontrol/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/client-go/kubernetes"

	"skiff/server/api"
	"skiff/server/authz"
	"skiff/server/authz/bootstrap"
	"skiff/server/client"
	"skiff/server/registry"
	rbacregistry "skiff/server/registry/rbac"
	"skiff/server/registry/scheduling"
	"skiff/store/storetest"
)

// cluster is an API server that authorizes, and clients of it.
type cluster struct {
	t       *testing.T
	handler http.Handler
}

func (c cluster) as(name string, groups ...string) kubernetes.Interface {
	c.t.Helper()
	k, err := kubernetes.NewForConfig(client.InProcess(c.handler, &user.DefaultInfo{Name: name, Groups: groups}))
	if err != nil {
		c.t.Fatal(err)
	}
	return k
}

// newCluster serves the kinds of the default objects, and pods.
func newCluster(t *testing.T, ctx context.Context) cluster {
	t.Helper()
	// The authorizer asks the server that asks the authorizer.
	var server *api.Server
	c := cluster{t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { server.ServeHTTP(w, r) })}
	admin := c.as("admin", user.SystemPrivilegedGroup)
	informers := client.Informers(admin)
	az, err := authz.New(authz.Config{Informers: informers, Client: admin})
	if err != nil {
		t.Fatal(err)
	}
	simple := func(group, plural, kind string, namespaced bool, v registry.Version) *registry.Resource {
		return &registry.Resource{Group: group, Plural: plural, Singular: strings.ToLower(kind), Kind: kind, Namespaced: namespaced, Versions: []registry.Version{v}}
	}
	resources := []*registry.Resource{
		simple("", "namespaces", "Namespace", false, registry.Version{Name: "v1", New: registry.New[corev1.Namespace](), NewList: registry.New[corev1.NamespaceList]()}),
		simple("", "pods", "Pod", true, registry.Version{Name: "v1", New: registry.New[corev1.Pod](), NewList: registry.New[corev1.PodList]()}),
		simple(flowcontrolv1.GroupName, "flowschemas", "FlowSchema", false, registry.Version{Name: "v1", New: registry.New[flowcontrolv1.FlowSchema](), NewList: registry.New[flowcontrolv1.FlowSchemaList]()}),
		simple(flowcontrolv1.GroupName, "prioritylevelconfigurations", "PriorityLevelConfiguration", false, registry.Version{Name: "v1", New: registry.New[flowcontrolv1.PriorityLevelConfiguration](), NewList: registry.New[flowcontrolv1.PriorityLevelConfigurationList]()}),
	}
	resources = append(resources, scheduling.PriorityClasses())
	deps := rbacregistry.Deps{Rules: az.RBAC.Resolver(), Authorizer: az}
	resources = append(resources, rbacregistry.ClusterRoleBindings(deps), rbacregistry.ClusterRoles(deps), rbacregistry.RoleBindings(deps), rbacregistry.Roles(deps))
	server, err = api.New(api.Config{Store: storetest.NewMemory(t), Resources: resources, Authorizer: az})
	if err != nil {
		t.Fatal(err)
	}
	informers.Start(ctx.Done())
	t.Cleanup(informers.Shutdown)
	if !client.WaitForSync(ctx, informers) {
		t.Fatal("informers did not sync")
	}
	return c
}

// The default policy through the real API server: it passes validation, it
// decides, and nobody grants more than they hold.
func TestServed(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	c := newCluster(t, ctx)
	admin, bob := c.as("admin", user.SystemPrivilegedGroup), c.as("bob", user.AllAuthenticated)
	began := time.Now()
	if err := bootstrap.Ensure(ctx, admin); err != nil {
		t.Fatal(err)
	}
	first := time.Since(began)
	began = time.Now()
	if err := bootstrap.Ensure(ctx, admin); err != nil {
		t.Fatal(err)
	}
	t.Logf("made in %v, found complete in %v", first, time.Since(began))

	_, err := bob.CoreV1().Pods("shop").List(ctx, metav1.ListOptions{})
	if want := `pods is forbidden: User "bob" cannot list resource "pods" in API group "" in the namespace "shop"`; err == nil || err.Error() != want {
		t.Errorf("got %v\nwant %s", err, want)
	}
	bind(t, ctx, admin, "bob-admin", "admin", rbacv1.Subject{Kind: "User", APIGroup: rbacv1.GroupName, Name: "bob"})
	eventually(t, ctx, func() error {
		_, err := bob.CoreV1().Pods("shop").List(ctx, metav1.ListOptions{})
		return err
	})
	// An admin of the namespace may grant what he holds, and no more.
	bind(t, ctx, bob, "carol-views", "view", rbacv1.Subject{Kind: "User", APIGroup: rbacv1.GroupName, Name: "carol"})
	_, err = bob.RbacV1().RoleBindings("shop").Create(ctx, binding("bob-all", "cluster-admin", rbacv1.Subject{Kind: "User", APIGroup: rbacv1.GroupName, Name: "bob"}), metav1.CreateOptions{})
	if !apierrors.IsForbidden(err) || !strings.Contains(err.Error(), "is attempting to grant RBAC permissions not currently held") {
		t.Errorf("got %v", err)
	}
}

func binding(name, role string, s ...rbacv1.Subject) *rbacv1.RoleBinding {
	return &rbacv1.RoleBinding{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: name}, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: role}, Subjects: s}
}

func bind(t *testing.T, ctx context.Context, k kubernetes.Interface, name, role string, s rbacv1.Subject) {
	t.Helper()
	if _, err := k.RbacV1().RoleBindings("shop").Create(ctx, binding(name, role, s), metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
}

// eventually tries until the informers have seen what was written.
func eventually(t *testing.T, ctx context.Context, f func() error) {
	t.Helper()
	for {
		err := f()
		if err == nil {
			return
		}
		select {
		case <-ctx.Done():
			t.Fatal(err)
		case <-time.After(5 * time.Millisecond):
		}
	}
}
