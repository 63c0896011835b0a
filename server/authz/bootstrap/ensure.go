package bootstrap

import (
	"context"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	flowcontrolv1 "k8s.io/api/flowcontrol/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	schedulingv1 "k8s.io/api/scheduling/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
)

// parallel bounds the writes under way: the store commits concurrent ones
// together, beyond this there is nothing to gain.
const parallel = 32

// retryPause is between attempts; what fails at a start is a store without a
// leader, for moments.
const retryPause = 50 * time.Millisecond

// Ensure makes or completes all that every cluster has. It tries again until it
// succeeds or ctx ends, and then returns the last error.
func Ensure(ctx context.Context, client kubernetes.Interface) error {
	for {
		err := ensure(ctx, client)
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("make the cluster's default objects: %w", err)
		case <-time.After(retryPause):
		}
	}
}

// ensure plans all kinds at once, then writes: what stands in a namespace only
// after the namespaces.
func ensure(ctx context.Context, client kubernetes.Interface) error {
	var first, second work
	policy := DefaultPolicy()
	g, gctx := errgroup.WithContext(ctx)
	list := metav1.ListOptions{}
	core, rbac, flow := client.CoreV1(), client.RbacV1(), client.FlowcontrolV1()
	g.Go(func() error {
		l, err := core.Namespaces().List(gctx, list)
		return plan(err, l, func() []corev1.Namespace { return l.Items }, Namespaces(), &first,
			func(*corev1.Namespace) writer[corev1.Namespace] { return core.Namespaces() }, keep)
	})
	g.Go(func() error {
		l, err := rbac.ClusterRoles().List(gctx, list)
		return plan(err, l, func() []rbacv1.ClusterRole { return l.Items }, policy.ClusterRoles, &first,
			func(*rbacv1.ClusterRole) writer[rbacv1.ClusterRole] { return rbac.ClusterRoles() }, completeClusterRole)
	})
	g.Go(func() error {
		l, err := rbac.ClusterRoleBindings().List(gctx, list)
		return plan(err, l, func() []rbacv1.ClusterRoleBinding { return l.Items }, policy.ClusterRoleBindings, &first,
			func(*rbacv1.ClusterRoleBinding) writer[rbacv1.ClusterRoleBinding] { return rbac.ClusterRoleBindings() }, completeClusterRoleBinding)
	})
	g.Go(func() error {
		l, err := rbac.Roles("").List(gctx, list)
		return plan(err, l, func() []rbacv1.Role { return l.Items }, policy.Roles, &second,
			func(r *rbacv1.Role) writer[rbacv1.Role] { return rbac.Roles(r.Namespace) }, completeRole)
	})
	g.Go(func() error {
		l, err := rbac.RoleBindings("").List(gctx, list)
		return plan(err, l, func() []rbacv1.RoleBinding { return l.Items }, policy.RoleBindings, &second,
			func(b *rbacv1.RoleBinding) writer[rbacv1.RoleBinding] { return rbac.RoleBindings(b.Namespace) }, completeRoleBinding)
	})
	g.Go(func() error {
		l, err := client.SchedulingV1().PriorityClasses().List(gctx, list)
		return plan(err, l, func() []schedulingv1.PriorityClass { return l.Items }, PriorityClasses(), &first,
			func(*schedulingv1.PriorityClass) writer[schedulingv1.PriorityClass] {
				return client.SchedulingV1().PriorityClasses()
			}, keep)
	})
	g.Go(func() error {
		l, err := flow.PriorityLevelConfigurations().List(gctx, list)
		return plan(err, l, func() []flowcontrolv1.PriorityLevelConfiguration { return l.Items }, priorityLevels(), &first,
			func(*flowcontrolv1.PriorityLevelConfiguration) writer[flowcontrolv1.PriorityLevelConfiguration] {
				return flow.PriorityLevelConfigurations()
			}, keep)
	})
	g.Go(func() error {
		l, err := flow.FlowSchemas().List(gctx, list)
		return plan(err, l, func() []flowcontrolv1.FlowSchema { return l.Items }, flowSchemas(), &first,
			func(*flowcontrolv1.FlowSchema) writer[flowcontrolv1.FlowSchema] { return flow.FlowSchemas() }, keep)
	})
	if err := g.Wait(); err != nil {
		return err
	}
	if err := first.run(ctx); err != nil {
		return err
	}
	return second.run(ctx)
}
