package rbac

import (
	"context"

	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apiserver/pkg/authentication/user"
)

// Resolver tells what users hold and what roles grant, for the check that nobody
// grants more than they hold; it is what registry/rbac asks for.
type Resolver struct{ a *Authorizer }

// Resolver returns the authorizer's.
func (a *Authorizer) Resolver() Resolver { return Resolver{a} }

// RulesFor returns all rules that u holds in the namespace ("" for the cluster). With
// an error it returns those that could be resolved.
func (r Resolver) RulesFor(_ context.Context, u user.Info, namespace string) ([]rbacv1.PolicyRule, error) {
	return r.a.Rules(u, namespace)
}

// GetRoleReferenceRules returns the rules of the role that a binding in the
// namespace ("" for a ClusterRoleBinding) refers to.
func (r Resolver) GetRoleReferenceRules(_ context.Context, ref rbacv1.RoleRef, namespace string) ([]rbacv1.PolicyRule, error) {
	return r.a.RoleRules(ref, namespace)
}
