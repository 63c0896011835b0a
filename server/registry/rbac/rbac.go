// Package rbac describes the resources of the API group
// rbac.authorization.k8s.io: roles, cluster roles and their bindings.
//
// Nobody may grant what they do not hold themselves; escalation.go checks that on
// each write, with what package authz knows about the user (see Deps).
package rbac

import (
	"context"
	"fmt"
	"strings"

	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/api/validate/content"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/authorization/authorizer"

	"skiff/server/registry"
	"skiff/server/registry/table"
)

// Group is the API group's name.
const Group = rbacv1.GroupName

// RuleResolver finds the rules that roles and bindings give.
type RuleResolver interface {
	// RulesFor returns the rules that u has in namespace ("" for the whole
	// cluster). With an error it may return those that it could find.
	RulesFor(ctx context.Context, u user.Info, namespace string) ([]rbacv1.PolicyRule, error)
	// GetRoleReferenceRules returns the rules of the role that a binding in
	// namespace ("" for cluster role bindings) refers to.
	GetRoleReferenceRules(ctx context.Context, ref rbacv1.RoleRef, namespace string) ([]rbacv1.PolicyRule, error)
}

// Authorizer decides about the verbs escalate and bind.
type Authorizer interface {
	Authorize(ctx context.Context, a authorizer.Attributes) (authorizer.Decision, string, error)
}

// Deps is what the checks against privilege escalation need. Without a resolver
// there are none (tests, tools).
type Deps struct {
	Rules      RuleResolver
	Authorizer Authorizer
}

// Roles returns the resource roles.
func Roles(d Deps) *registry.Resource {
	return &registry.Resource{
		Group: Group, Plural: "roles", Singular: "role", Kind: "Role", Namespaced: true,
		Versions: []registry.Version{{Name: "v1", New: registry.New[rbacv1.Role](), NewList: registry.New[rbacv1.RoleList]()}},
		Rules: registry.Rules{
			Allocate:                 d.checkRole,
			Validate:                 registry.Validate(validateRole),
			ValidateUpdate:           registry.ValidateUpdate(validateRoleUpdate),
			ValidateName:             validateName,
			CreateOnUpdate:           true,
			AllowUnconditionalUpdate: true,
		},
	}
}

// ClusterRoles returns the resource clusterroles.
func ClusterRoles(d Deps) *registry.Resource {
	return &registry.Resource{
		Group: Group, Plural: "clusterroles", Singular: "clusterrole", Kind: "ClusterRole",
		Versions: []registry.Version{{Name: "v1", New: registry.New[rbacv1.ClusterRole](), NewList: registry.New[rbacv1.ClusterRoleList]()}},
		Rules: registry.Rules{
			Allocate:                 d.checkClusterRole,
			Validate:                 registry.Validate(validateClusterRole),
			ValidateUpdate:           registry.ValidateUpdate(validateClusterRoleUpdate),
			ValidateName:             validateName,
			CreateOnUpdate:           true,
			AllowUnconditionalUpdate: true,
		},
	}
}

// RoleBindings returns the resource rolebindings.
func RoleBindings(d Deps) *registry.Resource {
	return &registry.Resource{
		Group: Group, Plural: "rolebindings", Singular: "rolebinding", Kind: "RoleBinding", Namespaced: true,
		Versions: []registry.Version{{Name: "v1", New: registry.New[rbacv1.RoleBinding](), NewList: registry.New[rbacv1.RoleBindingList]()}},
		Rules: registry.Rules{
			Default:                  registry.Default(func(b *rbacv1.RoleBinding) { defaultBinding(&b.RoleRef, b.Subjects) }),
			Allocate:                 d.checkRoleBinding,
			Validate:                 registry.Validate(validateRoleBinding),
			ValidateUpdate:           registry.ValidateUpdate(validateRoleBindingUpdate),
			ValidateName:             validateName,
			CreateOnUpdate:           true,
			AllowUnconditionalUpdate: true,
		},
		Columns: bindingColumns("roleBinding", table.Doc(rbacv1.RoleBinding{}, "roleRef")),
		Cells: registry.Cells(func(b *rbacv1.RoleBinding) []any {
			return append([]any{b.Name, refName(&b.RoleRef), table.Since(b.CreationTimestamp)}, subjectCells(b.Subjects)...)
		}),
	}
}

// ClusterRoleBindings returns the resource clusterrolebindings.
func ClusterRoleBindings(d Deps) *registry.Resource {
	return &registry.Resource{
		Group: Group, Plural: "clusterrolebindings", Singular: "clusterrolebinding", Kind: "ClusterRoleBinding",
		Versions: []registry.Version{{Name: "v1", New: registry.New[rbacv1.ClusterRoleBinding](), NewList: registry.New[rbacv1.ClusterRoleBindingList]()}},
		Rules: registry.Rules{
			Default:                  registry.Default(func(b *rbacv1.ClusterRoleBinding) { defaultBinding(&b.RoleRef, b.Subjects) }),
			Allocate:                 d.checkClusterRoleBinding,
			Validate:                 registry.Validate(validateClusterRoleBinding),
			ValidateUpdate:           registry.ValidateUpdate(validateClusterRoleBindingUpdate),
			ValidateName:             validateName,
			CreateOnUpdate:           true,
			AllowUnconditionalUpdate: true,
		},
		Columns: bindingColumns("clusterRoleBinding", table.Doc(rbacv1.ClusterRoleBinding{}, "roleRef")),
		Cells: registry.Cells(func(b *rbacv1.ClusterRoleBinding) []any {
			return append([]any{b.Name, refName(&b.RoleRef), table.Since(b.CreationTimestamp)}, subjectCells(b.Subjects)...)
		}),
	}
}

// validateName allows what a path segment may be: system:node and the like.
func validateName(name string, _ bool) []string { return content.IsPathSegmentName(name) }

func defaultBinding(ref *rbacv1.RoleRef, subjects []rbacv1.Subject) {
	if ref.APIGroup == "" {
		ref.APIGroup = Group
	}
	for i := range subjects {
		if s := &subjects[i]; s.APIGroup == "" && (s.Kind == rbacv1.UserKind || s.Kind == rbacv1.GroupKind) {
			s.APIGroup = Group
		}
	}
}

func bindingColumns(kind, role string) []table.Column {
	return []table.Column{
		table.Name(),
		table.String("Role", role),
		table.Age(),
		table.Wide("Users", "Users in the "+kind),
		table.Wide("Groups", "Groups in the "+kind),
		table.Wide("ServiceAccounts", "ServiceAccounts in the "+kind),
	}
}

func refName(ref *rbacv1.RoleRef) string { return ref.Kind + "/" + ref.Name }

// subjectCells are the cells of users, groups and service accounts.
func subjectCells(subjects []rbacv1.Subject) []any {
	var users, groups, accounts []string
	for _, s := range subjects {
		switch s.Kind {
		case rbacv1.UserKind:
			users = append(users, s.Name)
		case rbacv1.GroupKind:
			groups = append(groups, s.Name)
		case rbacv1.ServiceAccountKind:
			accounts = append(accounts, fmt.Sprintf("%s/%s", s.Namespace, s.Name))
		}
	}
	return []any{strings.Join(users, ", "), strings.Join(groups, ", "), strings.Join(accounts, ", ")}
}
