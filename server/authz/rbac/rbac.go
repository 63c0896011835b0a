// Package rbac authorizes by roles and bindings (rbac.authorization.k8s.io).
//
// Bindings are found through indexes by subject that live in the shared informers'
// caches, so that a decision looks at the user's own bindings and not at all of them.
package rbac

import (
	"context"
	"errors"
	"fmt"

	rbacv1 "k8s.io/api/rbac/v1"
	utilerrors "k8s.io/apimachinery/pkg/util/errors"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	rbacinformers "k8s.io/client-go/informers/rbac/v1"
	rbaclisters "k8s.io/client-go/listers/rbac/v1"
	"k8s.io/client-go/tools/cache"
)

// Authorizer decides by roles. It is an authorizer.UnconditionalAuthorizer and
// authorizer.RuleResolver.
type Authorizer struct {
	roles               rbaclisters.RoleLister
	clusterRoles        rbaclisters.ClusterRoleLister
	bindings            cache.Indexer // of RoleBindings, by namespace and subject
	clusterRoleBindings cache.Indexer // by subject
}

// New returns an Authorizer over the informers, which must not have started.
func New(in rbacinformers.Interface) (*Authorizer, error) {
	rb, crb := in.RoleBindings().Informer(), in.ClusterRoleBindings().Informer()
	if err := errors.Join(
		rb.AddIndexers(cache.Indexers{subjectIndex: roleBindingSubjects}),
		crb.AddIndexers(cache.Indexers{subjectIndex: clusterRoleBindingSubjects}),
	); err != nil {
		return nil, fmt.Errorf("index role bindings: %w", err)
	}
	return &Authorizer{
		roles: in.Roles().Lister(), clusterRoles: in.ClusterRoles().Lister(),
		bindings: rb.GetIndexer(), clusterRoleBindings: crb.GetIndexer(),
	}, nil
}

// Authorize implements authorizer.UnconditionalAuthorizer.
func (a *Authorizer) Authorize(_ context.Context, attrs authorizer.Attributes) (authorizer.Decision, string, error) {
	var errs []error
	allowedBy := ""
	a.visit(attrs.GetUser(), attrs.GetNamespace(), func(g grant, err error) bool {
		if err != nil {
			errs = append(errs, err)
			return true
		}
		for i := range g.rules {
			if Allows(&g.rules[i], attrs) {
				allowedBy = g.String()
				return false
			}
		}
		return true
	})
	if allowedBy != "" {
		return authorizer.DecisionAllow, "RBAC: allowed by " + allowedBy, nil
	}
	if len(errs) > 0 {
		return authorizer.DecisionNoOpinion, fmt.Sprintf("RBAC: %v", utilerrors.NewAggregate(errs)), nil
	}
	return authorizer.DecisionNoOpinion, "", nil
}

// Rules returns all rules that u holds in the namespace ("" for the cluster). An
// error tells that some could not be resolved; those returned are good.
func (a *Authorizer) Rules(u user.Info, namespace string) ([]rbacv1.PolicyRule, error) {
	var rules []rbacv1.PolicyRule
	var errs []error
	a.visit(u, namespace, func(g grant, err error) bool {
		if err != nil {
			errs = append(errs, err)
		}
		rules = append(rules, g.rules...)
		return true
	})
	return rules, utilerrors.NewAggregate(errs)
}

// RulesFor implements authorizer.RuleResolver.
func (a *Authorizer) RulesFor(_ context.Context, u user.Info, namespace string) ([]authorizer.ResourceRuleInfo, []authorizer.NonResourceRuleInfo, bool, error) {
	var resources []authorizer.ResourceRuleInfo
	var paths []authorizer.NonResourceRuleInfo
	rules, err := a.Rules(u, namespace)
	for _, r := range rules {
		if len(r.Resources) > 0 {
			resources = append(resources, &authorizer.DefaultResourceRuleInfo{Verbs: r.Verbs, APIGroups: r.APIGroups, Resources: r.Resources, ResourceNames: r.ResourceNames})
		}
		if len(r.NonResourceURLs) > 0 {
			paths = append(paths, &authorizer.DefaultNonResourceRuleInfo{Verbs: r.Verbs, NonResourceURLs: r.NonResourceURLs})
		}
	}
	return resources, paths, false, err
}

// RoleRules returns the rules of the role that a binding in the namespace ("" for
// a ClusterRoleBinding) refers to.
func (a *Authorizer) RoleRules(r rbacv1.RoleRef, namespace string) ([]rbacv1.PolicyRule, error) {
	switch r.Kind {
	case "Role":
		role, err := a.roles.Roles(namespace).Get(r.Name)
		if err != nil {
			return nil, err
		}
		return role.Rules, nil
	case "ClusterRole":
		role, err := a.clusterRoles.Get(r.Name)
		if err != nil {
			return nil, err
		}
		return role.Rules, nil
	}
	return nil, fmt.Errorf("unsupported role reference kind: %q", r.Kind)
}
