// Package authz decides who may do what: members of system:masters anything, nodes
// what belongs to them (package node), and everybody what roles grant (package rbac).
//
//	az, err := authz.New(authz.Config{Informers: factory, Client: client})
//	api.New(api.Config{Authorizer: az, ...})
//
// It must be made before the informers start, as it adds indexes to them. Until the
// roles are there, only system:masters gets in, and everybody to Config.OpenPaths.
package authz

import (
	"context"
	"fmt"
	"slices"
	"strings"

	rbacv1 "k8s.io/api/rbac/v1"
	utilerrors "k8s.io/apimachinery/pkg/util/errors"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"

	"skiff/server/authz/bootstrap"
	"skiff/server/authz/node"
	"skiff/server/authz/rbac"
)

// Config is what decisions are made from.
type Config struct {
	// Informers give pods, roles and bindings.
	Informers informers.SharedInformerFactory
	// Client reads what is asked for too rarely to be kept in memory (volumes,
	// attachments, resource slices). Its user must be one of system:masters.
	Client kubernetes.Interface
	// OpenPaths are those outside the API that everybody may ask for, also before
	// the roles are there: health, and what a box checks a server by (upstream's
	// --authorization-always-allow-paths).
	OpenPaths []string
}

// Authorizer is an authorizer.Authorizer and authorizer.RuleResolver.
type Authorizer struct {
	authorizer.AuthorizerFunc
	// RBAC decides by roles; its Resolver tells what users hold, for the check that nobody
	// grants more than that.
	RBAC  *rbac.Authorizer
	chain []named
	open  []string
}

type named struct {
	name string
	member
}

type member interface {
	authorizer.UnconditionalAuthorizer
	authorizer.RuleResolver
}

// New returns an Authorizer.
func New(cfg Config) (*Authorizer, error) {
	r, err := rbac.New(cfg.Informers.Rbac().V1())
	if err != nil {
		return nil, fmt.Errorf("make authorizer: %w", err)
	}
	n, err := node.New(cfg.Informers.Core().V1().Pods(), cfg.Client, nodeRules())
	if err != nil {
		return nil, fmt.Errorf("make authorizer: %w", err)
	}
	a := &Authorizer{RBAC: r, chain: []named{{"Node", n}, {"RBAC", r}}, open: cfg.OpenPaths}
	a.AuthorizerFunc = a.authorize
	return a, nil
}

// nodeRules are what every node may do alike.
func nodeRules() []rbacv1.PolicyRule {
	for _, r := range bootstrap.ClusterRoles() {
		if r.Name == "system:node" {
			return r.Rules
		}
	}
	return nil
}

// authorize asks one after the other until one allows or denies. The reasons of
// those that have no opinion go into the message that the user sees.
func (a *Authorizer) authorize(ctx context.Context, attrs authorizer.Attributes) (authorizer.Decision, string, error) {
	if u := attrs.GetUser(); u != nil && slices.Contains(u.GetGroups(), user.SystemPrivilegedGroup) {
		return authorizer.DecisionAllow, "", nil
	}
	if !attrs.IsResourceRequest() && slices.Contains(a.open, attrs.GetPath()) {
		return authorizer.DecisionAllow, "", nil
	}
	var reasons []string
	var errs []error
	for _, m := range a.chain {
		decision, reason, err := m.Authorize(ctx, attrs)
		if decision != authorizer.DecisionNoOpinion {
			return decision, reason, err
		}
		if err != nil {
			errs = append(errs, err)
		}
		if reason != "" {
			reasons = append(reasons, m.name+": "+reason)
		}
	}
	return authorizer.DecisionNoOpinion, strings.Join(reasons, "\n"), utilerrors.NewAggregate(errs)
}

// RulesFor implements authorizer.RuleResolver, for SelfSubjectRulesReviews.
func (a *Authorizer) RulesFor(ctx context.Context, u user.Info, namespace string) ([]authorizer.ResourceRuleInfo, []authorizer.NonResourceRuleInfo, bool, error) {
	var resources []authorizer.ResourceRuleInfo
	var paths []authorizer.NonResourceRuleInfo
	var incomplete bool
	var errs []error
	if slices.Contains(u.GetGroups(), user.SystemPrivilegedGroup) {
		all := []string{"*"}
		resources = append(resources, &authorizer.DefaultResourceRuleInfo{Verbs: all, APIGroups: all, Resources: all})
		paths = append(paths, &authorizer.DefaultNonResourceRuleInfo{Verbs: all, NonResourceURLs: all})
	}
	for _, m := range a.chain {
		r, p, partial, err := m.RulesFor(ctx, u, namespace)
		if err != nil {
			errs = append(errs, err)
		}
		resources, paths, incomplete = append(resources, r...), append(paths, p...), incomplete || partial
	}
	return resources, paths, incomplete, utilerrors.NewAggregate(errs)
}
