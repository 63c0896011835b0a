// Package clusterrole fills cluster roles that have an aggregation rule with the
// rules of the cluster roles that it selects (admin, edit, view).
package clusterrole

import (
	"cmp"
	"context"
	"slices"

	rbacv1 "k8s.io/api/rbac/v1"
	apiequality "k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	rbaclisters "k8s.io/client-go/listers/rbac/v1"

	"skiff/server/controller"
)

// New returns the controller; its keys are cluster roles' names.
func New(client kubernetes.Interface, f informers.SharedInformerFactory) controller.Controller {
	roles := f.Rbac().V1().ClusterRoles()
	r := &reconciler{client: client, roles: roles.Lister()}
	return controller.Controller{
		Name: "clusterrole-aggregation", Reconciler: r,
		Sources: []controller.Source{controller.Watch(roles.Informer(), func(old, new *rbacv1.ClusterRole, enqueue func(string)) {
			// Any change may matter to each of the few roles that aggregate.
			all, err := r.roles.List(labels.Everything())
			if err != nil {
				return
			}
			for _, a := range all {
				if a.AggregationRule != nil {
					enqueue(a.Name)
				}
			}
		})},
	}
}

type reconciler struct {
	client kubernetes.Interface
	roles  rbaclisters.ClusterRoleLister
}

// Reconcile implements controller.Reconciler.
func (r *reconciler) Reconcile(ctx context.Context, key string) (controller.Result, error) {
	role, err := r.roles.Get(key)
	if apierrors.IsNotFound(err) || err == nil && role.AggregationRule == nil {
		return controller.Result{}, nil
	}
	if err != nil {
		return controller.Result{}, err
	}
	rules, err := r.aggregate(role)
	if err != nil || apiequality.Semantic.DeepEqual(rules, role.Rules) {
		return controller.Result{}, err
	}
	update := role.DeepCopy()
	update.Rules = rules
	_, err = r.client.RbacV1().ClusterRoles().Update(ctx, update, metav1.UpdateOptions{})
	return controller.Result{}, err
}

func (r *reconciler) aggregate(role *rbacv1.ClusterRole) ([]rbacv1.PolicyRule, error) {
	rules := []rbacv1.PolicyRule{}
	for i := range role.AggregationRule.ClusterRoleSelectors {
		s, err := metav1.LabelSelectorAsSelector(&role.AggregationRule.ClusterRoleSelectors[i])
		if err != nil {
			return nil, err
		}
		found, err := r.roles.List(s)
		if err != nil {
			return nil, err
		}
		slices.SortFunc(found, func(a, b *rbacv1.ClusterRole) int { return cmp.Compare(a.Name, b.Name) })
		for _, f := range found {
			if f.Name == role.Name {
				continue
			}
			for _, rule := range f.Rules {
				if !slices.ContainsFunc(rules, func(have rbacv1.PolicyRule) bool { return apiequality.Semantic.DeepEqual(have, rule) }) {
					rules = append(rules, rule)
				}
			}
		}
	}
	return rules, nil
}
