package rbac

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	"k8s.io/component-helpers/auth/rbac/validation"
)

// Escalation checks that nobody grants more than they hold.
type Escalation struct {
	// Authorizer is asked whether the verbs escalate and bind are allowed.
	Authorizer authorizer.UnconditionalAuthorizer
	// Held tells what a user holds, and what a role grants.
	Held *Authorizer
}

// FullAuthority is what it takes to use an aggregation rule, which can gather
// anything.
var FullAuthority = []rbacv1.PolicyRule{
	{Verbs: []string{"*"}, APIGroups: []string{"*"}, Resources: []string{"*"}},
	{Verbs: []string{"*"}, NonResourceURLs: []string{"*"}},
}

// Unbounded tells whether u may grant anything.
func Unbounded(u user.Info) bool {
	return u != nil && slices.Contains(u.GetGroups(), user.SystemPrivilegedGroup)
}

// MayEscalate tells whether u may write the role ("roles" or "clusterroles")
// whatever is in it.
func (e *Escalation) MayEscalate(ctx context.Context, u user.Info, resource, namespace, name string) bool {
	return e.allowed(ctx, "escalate", u, resource, namespace, name)
}

// MayBind tells whether u may bind the role whatever is in it. The namespace is
// the binding's.
func (e *Escalation) MayBind(ctx context.Context, u user.Info, r rbacv1.RoleRef, namespace string) bool {
	switch r.Kind {
	case "ClusterRole":
		return e.allowed(ctx, "bind", u, "clusterroles", namespace, r.Name)
	case "Role":
		return e.allowed(ctx, "bind", u, "roles", namespace, r.Name)
	}
	return false
}

func (e *Escalation) allowed(ctx context.Context, verb string, u user.Info, resource, namespace, name string) bool {
	decision, _, err := e.Authorizer.Authorize(ctx, authorizer.AttributesRecord{
		User: u, Verb: verb, APIGroup: rbacv1.GroupName, APIVersion: "*",
		Resource: resource, Namespace: namespace, Name: name, ResourceRequest: true,
	})
	return err == nil && decision == authorizer.DecisionAllow
}

// Confirm returns an error that lists what of the rules u does not hold in the
// namespace.
func (e *Escalation) Confirm(u user.Info, namespace string, rules []rbacv1.PolicyRule) error {
	held, resolveErr := e.Held.Rules(u, namespace)
	covered, missing := validation.Covers(held, rules)
	if covered {
		return nil
	}
	lines := make([]string, 0, len(missing))
	for _, r := range compact(missing) {
		lines = append(lines, describe(r))
	}
	slices.Sort(lines)
	msg := fmt.Sprintf("user %q (groups=%q) is attempting to grant RBAC permissions not currently held:\n%s",
		u.GetName(), u.GetGroups(), strings.Join(slices.Compact(lines), "\n"))
	if resolveErr != nil {
		msg += fmt.Sprintf("; resolution errors: %v", []error{resolveErr})
	}
	return errors.New(msg)
}

// compact merges rules that differ only in their verbs. They come from Covers,
// which splits rules into ones of a single verb, group and resource.
func compact(rules []rbacv1.PolicyRule) []rbacv1.PolicyRule {
	var out []rbacv1.PolicyRule
	index := map[string]int{}
	for _, r := range rules {
		if len(r.APIGroups) != 1 || len(r.Resources) != 1 || len(r.ResourceNames) > 1 || len(r.NonResourceURLs) > 0 {
			out = append(out, r)
			continue
		}
		key := fmt.Sprintf("%q %q %q", r.APIGroups, r.Resources, r.ResourceNames)
		if i, ok := index[key]; ok {
			out[i].Verbs = append(out[i].Verbs, r.Verbs...)
			continue
		}
		index[key] = len(out)
		out = append(out, *r.DeepCopy())
	}
	return out
}

func describe(r rbacv1.PolicyRule) string {
	var parts []string
	for _, p := range []struct {
		name   string
		values []string
	}{
		{"APIGroups", r.APIGroups}, {"Resources", r.Resources}, {"NonResourceURLs", r.NonResourceURLs},
		{"ResourceNames", r.ResourceNames}, {"Verbs", r.Verbs},
	} {
		if len(p.values) > 0 {
			parts = append(parts, fmt.Sprintf("%s:%q", p.name, p.values))
		}
	}
	return "{" + strings.Join(parts, ", ") + "}"
}
