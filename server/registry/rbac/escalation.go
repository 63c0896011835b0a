package rbac

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	rbacv1 "k8s.io/api/rbac/v1"
	apiequality "k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	"k8s.io/apiserver/pkg/endpoints/request"
	"k8s.io/component-helpers/auth/rbac/validation"

	"skiff/server/registry"
)

// fullAuthority is what one must have to aggregate cluster roles: an aggregation
// can gather anything.
var fullAuthority = []rbacv1.PolicyRule{
	{APIGroups: []string{"*"}, Resources: []string{"*"}, Verbs: []string{"*"}},
	{NonResourceURLs: []string{"*"}, Verbs: []string{"*"}},
}

func (d Deps) checkRole(ctx context.Context, _ registry.Reader, obj, old registry.Object) error {
	r := obj.(*rbacv1.Role)
	if d.exempt(ctx, obj, old) || d.may(ctx, "escalate", Group, "roles", r.Namespace, r.Name) {
		return nil
	}
	return d.forbidIfMissing(ctx, "roles", r.Name, r.Namespace, r.Rules)
}

func (d Deps) checkClusterRole(ctx context.Context, _ registry.Reader, obj, old registry.Object) error {
	r := obj.(*rbacv1.ClusterRole)
	if d.exempt(ctx, obj, old) || d.may(ctx, "escalate", Group, "clusterroles", "", r.Name) {
		return nil
	}
	if err := d.forbidIfMissing(ctx, "clusterroles", r.Name, "", r.Rules); err != nil {
		return err
	}
	if !aggregates(r) && (old == nil || !aggregates(old.(*rbacv1.ClusterRole))) {
		return nil
	}
	if d.missing(ctx, "", fullAuthority) != nil {
		return apierrors.NewForbidden(resource("clusterroles"), r.Name, errors.New("must have cluster-admin privileges to use the aggregationRule"))
	}
	return nil
}

func aggregates(r *rbacv1.ClusterRole) bool {
	return r.AggregationRule != nil && len(r.AggregationRule.ClusterRoleSelectors) > 0
}

func (d Deps) checkRoleBinding(ctx context.Context, _ registry.Reader, obj, old registry.Object) error {
	b := obj.(*rbacv1.RoleBinding)
	if d.exempt(ctx, obj, old) {
		return nil
	}
	return d.checkBinding(ctx, "rolebindings", b.Name, b.Namespace, b.RoleRef)
}

func (d Deps) checkClusterRoleBinding(ctx context.Context, _ registry.Reader, obj, old registry.Object) error {
	b := obj.(*rbacv1.ClusterRoleBinding)
	if d.exempt(ctx, obj, old) {
		return nil
	}
	return d.checkBinding(ctx, "clusterrolebindings", b.Name, "", b.RoleRef)
}

func (d Deps) checkBinding(ctx context.Context, plural, name, namespace string, ref rbacv1.RoleRef) error {
	switch ref.Kind {
	case "ClusterRole":
		if d.may(ctx, "bind", ref.APIGroup, "clusterroles", namespace, ref.Name) {
			return nil
		}
	case "Role":
		if d.may(ctx, "bind", ref.APIGroup, "roles", namespace, ref.Name) {
			return nil
		}
	}
	rules, err := d.Rules.GetRoleReferenceRules(ctx, ref, namespace)
	if err != nil {
		return err
	}
	return d.forbidIfMissing(ctx, plural, name, namespace, rules)
}

// exempt tells whether a write needs no check: by the server itself or an
// administrator, or one that serves the garbage collector only.
func (d Deps) exempt(ctx context.Context, obj, old registry.Object) bool {
	if d.Rules == nil || onlyGCFields(obj, old) {
		return true
	}
	u, ok := request.UserFrom(ctx)
	return ok && slices.Contains(u.GetGroups(), user.SystemPrivilegedGroup)
}

// onlyGCFields tells whether an update changes owner references and finalizers
// at most.
func onlyGCFields(obj, old registry.Object) bool {
	if old == nil {
		return false
	}
	c := obj.DeepCopyObject().(registry.Object)
	c.SetOwnerReferences(old.GetOwnerReferences())
	c.SetFinalizers(old.GetFinalizers())
	c.SetSelfLink(old.GetSelfLink())
	c.SetManagedFields(old.GetManagedFields())
	return apiequality.Semantic.DeepEqual(c, old)
}

// may tells whether the user may use a special verb on a role.
func (d Deps) may(ctx context.Context, verb, group, plural, namespace, name string) bool {
	u, ok := request.UserFrom(ctx)
	if !ok || d.Authorizer == nil {
		return false
	}
	decision, _, err := d.Authorizer.Authorize(ctx, authorizer.AttributesRecord{
		User: u, Verb: verb,
		APIGroup: group, APIVersion: "*", Resource: plural, Namespace: namespace, Name: name,
		ResourceRequest: true,
	})
	return err == nil && decision == authorizer.DecisionAllow
}

func resource(plural string) schema.GroupResource {
	return schema.GroupResource{Group: Group, Resource: plural}
}

func (d Deps) forbidIfMissing(ctx context.Context, plural, name, namespace string, rules []rbacv1.PolicyRule) error {
	if err := d.missing(ctx, namespace, rules); err != nil {
		return apierrors.NewForbidden(resource(plural), name, err)
	}
	return nil
}

// missing returns an error that lists those of rules that the user does not hold.
func (d Deps) missing(ctx context.Context, namespace string, rules []rbacv1.PolicyRule) error {
	u, ok := request.UserFrom(ctx)
	if !ok {
		return errors.New("no user on context")
	}
	held, resolveErr := d.Rules.RulesFor(ctx, u, namespace)
	covered, missing := validation.Covers(held, rules)
	if covered {
		return nil
	}
	msg := fmt.Sprintf("user %q (groups=%q) is attempting to grant RBAC permissions not currently held:\n%s", u.GetName(), u.GetGroups(), strings.Join(describe(missing), "\n"))
	if resolveErr != nil {
		msg += fmt.Sprintf("; resolution errors: %v", []error{resolveErr})
	}
	return errors.New(msg)
}

// describe lists rules in a short form, sorted; rules on one resource that differ
// in their verbs are combined.
func describe(rules []rbacv1.PolicyRule) []string {
	type target struct{ group, resource, name string }
	simple := map[target]*rbacv1.PolicyRule{}
	var combined []*rbacv1.PolicyRule
	for i := range rules {
		r := &rules[i]
		if len(r.APIGroups) != 1 || len(r.Resources) != 1 || len(r.ResourceNames) > 1 || len(r.NonResourceURLs) > 0 {
			combined = append(combined, r)
			continue
		}
		t := target{group: r.APIGroups[0], resource: r.Resources[0]}
		if len(r.ResourceNames) == 1 {
			t.name = "=" + r.ResourceNames[0]
		}
		if simple[t] == nil {
			simple[t] = r.DeepCopy()
			combined = append(combined, simple[t])
			continue
		}
		simple[t].Verbs = append(simple[t].Verbs, r.Verbs...)
	}
	lines := make([]string, len(combined))
	for i, r := range combined {
		lines[i] = describeRule(r)
	}
	slices.Sort(lines)
	return slices.Compact(lines)
}

func describeRule(r *rbacv1.PolicyRule) string {
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
