// Package escalation is the admission step that keeps users from granting more than
// they hold: who writes a role or binding must hold all its permissions, or be allowed
// the verb "escalate" on the role or "bind" on the role that is bound. Upstream does this in the
// storage of these kinds, and cannot turn it off; nor can this be.
package escalation

import (
	"context"
	"errors"

	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"skiff/server/admission"
	"skiff/server/authz/rbac"
)

// Plugin is the plugin.
type Plugin struct{ check rbac.Escalation }

// New returns the plugin.
func New(check rbac.Escalation) *Plugin { return &Plugin{check} }

// Name implements admission.Plugin.
func (*Plugin) Name() string { return "RBACEscalation" }

// Validate implements admission.Validator.
func (p *Plugin) Validate(ctx context.Context, a *admission.Attributes) error {
	if a.Resource.Group != rbacv1.GroupName || a.Subresource != "" || a.Operation != admission.Create && a.Operation != admission.Update {
		return nil
	}
	if rbac.Unbounded(a.User) || onlyForCollector(a.Object, a.OldObject) {
		return nil
	}
	switch o := a.Object.(type) {
	case *rbacv1.Role:
		return p.role(ctx, a, o.Rules, false)
	case *rbacv1.ClusterRole:
		old, _ := a.OldObject.(*rbacv1.ClusterRole)
		return p.role(ctx, a, o.Rules, aggregates(o) || aggregates(old))
	case *rbacv1.RoleBinding:
		return p.binding(ctx, a, o.RoleRef)
	case *rbacv1.ClusterRoleBinding:
		return p.binding(ctx, a, o.RoleRef)
	}
	return nil
}

func (p *Plugin) role(ctx context.Context, a *admission.Attributes, rules []rbacv1.PolicyRule, aggregated bool) error {
	if p.check.MayEscalate(ctx, a.User, a.Resource.Resource, a.Namespace, a.Name) {
		return nil
	}
	if err := p.check.Confirm(a.User, a.Namespace, rules); err != nil {
		return forbidden(a, err)
	}
	if aggregated && p.check.Confirm(a.User, a.Namespace, rbac.FullAuthority) != nil {
		return forbidden(a, errors.New("must have cluster-admin privileges to use the aggregationRule"))
	}
	return nil
}

func (p *Plugin) binding(ctx context.Context, a *admission.Attributes, r rbacv1.RoleRef) error {
	if p.check.MayBind(ctx, a.User, r, a.Namespace) {
		return nil
	}
	rules, err := p.check.Held.RoleRules(r, a.Namespace)
	if err != nil {
		return err // not found: nobody knows what it would grant
	}
	if err := p.check.Confirm(a.User, a.Namespace, rules); err != nil {
		return forbidden(a, err)
	}
	return nil
}

func forbidden(a *admission.Attributes, err error) error {
	return apierrors.NewForbidden(a.Resource.GroupResource(), a.ObjectName(), err)
}

func aggregates(r *rbacv1.ClusterRole) bool {
	return r != nil && r.AggregationRule != nil && len(r.AggregationRule.ClusterRoleSelectors) > 0
}

// onlyForCollector tells whether an update changes nothing but what garbage
// collection needs to: owner references and finalizers.
func onlyForCollector(obj, old runtime.Object) bool {
	if old == nil || obj == nil {
		return false
	}
	copied := obj.DeepCopyObject()
	n, ok := copied.(metav1.Object)
	o, ok2 := old.(metav1.Object)
	if !ok || !ok2 {
		return false
	}
	n.SetOwnerReferences(o.GetOwnerReferences())
	n.SetFinalizers(o.GetFinalizers())
	n.SetManagedFields(o.GetManagedFields())
	return equality.Semantic.DeepEqual(copied, old)
}
