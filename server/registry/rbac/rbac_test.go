package rbac

import (
	"context"
	"strings"
	"testing"

	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	"k8s.io/apiserver/pkg/endpoints/request"
)

// held resolves to what the test's user has, and its bindings' roles to one rule.
type held []rbacv1.PolicyRule

func (h held) RulesFor(context.Context, user.Info, string) ([]rbacv1.PolicyRule, error) {
	return h, nil
}

func (h held) GetRoleReferenceRules(context.Context, rbacv1.RoleRef, string) ([]rbacv1.PolicyRule, error) {
	return []rbacv1.PolicyRule{readSecrets}, nil
}

// verbs allows special verbs.
type verbs string

func (v verbs) Authorize(_ context.Context, a authorizer.Attributes) (authorizer.Decision, string, error) {
	if a.GetVerb() == string(v) {
		return authorizer.DecisionAllow, "", nil
	}
	return authorizer.DecisionNoOpinion, "", nil
}

var (
	readPods    = rbacv1.PolicyRule{APIGroups: []string{""}, Resources: []string{"pods"}, Verbs: []string{"get", "list"}}
	readSecrets = rbacv1.PolicyRule{APIGroups: []string{""}, Resources: []string{"secrets"}, Verbs: []string{"get", "list"}}
)

func as(name string, groups ...string) context.Context {
	return request.WithUser(context.Background(), &user.DefaultInfo{Name: name, Groups: groups})
}

func TestNobodyGrantsWhatTheyDoNotHold(t *testing.T) {
	d := Deps{Rules: held{readPods}, Authorizer: verbs("")}
	role := &rbacv1.Role{ObjectMeta: metav1.ObjectMeta{Name: "r", Namespace: "default"}}

	role.Rules = []rbacv1.PolicyRule{readPods}
	if err := d.checkRole(as("jane"), nil, role, nil); err != nil {
		t.Errorf("what jane has: %v", err)
	}
	role.Rules = []rbacv1.PolicyRule{readSecrets}
	err := d.checkRole(as("jane", "dev"), nil, role, nil)
	want := `roles.rbac.authorization.k8s.io "r" is forbidden: user "jane" (groups=["dev"]) is attempting to grant RBAC permissions not currently held:` + "\n" + `{APIGroups:[""], Resources:["secrets"], Verbs:["get" "list"]}`
	if !apierrors.IsForbidden(err) || err.Error() != want {
		t.Errorf("got\n%v\nwant\n%s", err, want)
	}
	if err := d.checkRole(as("root", user.SystemPrivilegedGroup), nil, role, nil); err != nil {
		t.Errorf("an administrator: %v", err)
	}
	if err := (Deps{Rules: held{}, Authorizer: verbs("escalate")}).checkRole(as("jane"), nil, role, nil); err != nil {
		t.Errorf("one who may escalate: %v", err)
	}
	freed := role.DeepCopy()
	freed.Finalizers = []string{"a/b"}
	if err := d.checkRole(as("jane"), nil, freed, role); err != nil {
		t.Errorf("the garbage collector's update: %v", err)
	}
}

func TestBindingsNeedTheRolesRules(t *testing.T) {
	b := &rbacv1.RoleBinding{ObjectMeta: metav1.ObjectMeta{Name: "b", Namespace: "default"}, RoleRef: rbacv1.RoleRef{APIGroup: Group, Kind: "Role", Name: "r"}}
	if err := (Deps{Rules: held{readPods}, Authorizer: verbs("")}).checkRoleBinding(as("jane"), nil, b, nil); !apierrors.IsForbidden(err) {
		t.Errorf("binding what jane lacks: %v", err)
	}
	if err := (Deps{Rules: held{readSecrets}, Authorizer: verbs("")}).checkRoleBinding(as("jane"), nil, b, nil); err != nil {
		t.Errorf("binding what jane has: %v", err)
	}
	if err := (Deps{Rules: held{}, Authorizer: verbs("bind")}).checkRoleBinding(as("jane"), nil, b, nil); err != nil {
		t.Errorf("one who may bind: %v", err)
	}
}

func TestAggregationNeedsEverything(t *testing.T) {
	r := &rbacv1.ClusterRole{
		ObjectMeta:      metav1.ObjectMeta{Name: "all"},
		AggregationRule: &rbacv1.AggregationRule{ClusterRoleSelectors: []metav1.LabelSelector{{MatchLabels: map[string]string{"a": "b"}}}},
	}
	if err := (Deps{Rules: held{readPods}, Authorizer: verbs("")}).checkClusterRole(as("jane"), nil, r, nil); err == nil || !strings.Contains(err.Error(), "must have cluster-admin privileges to use the aggregationRule") {
		t.Errorf("got %v", err)
	}
	if err := (Deps{Rules: held(fullAuthority), Authorizer: verbs("")}).checkClusterRole(as("jane"), nil, r, nil); err != nil {
		t.Errorf("with full authority: %v", err)
	}
}

func TestValidate(t *testing.T) {
	rule := func(r rbacv1.PolicyRule) error {
		return validateRole(t.Context(), &rbacv1.Role{Rules: []rbacv1.PolicyRule{r}}).ToAggregate()
	}
	binding := func(s rbacv1.Subject) error {
		b := &rbacv1.RoleBinding{RoleRef: rbacv1.RoleRef{Kind: "Role", Name: "r"}, Subjects: []rbacv1.Subject{s}}
		defaultBinding(&b.RoleRef, b.Subjects)
		return validateRoleBinding(t.Context(), b).ToAggregate()
	}
	for _, c := range []struct {
		err  error
		want string
	}{
		{rule(readPods), ""},
		{rule(rbacv1.PolicyRule{APIGroups: []string{""}, Resources: []string{"pods"}}), "rules[0].verbs: Required value"},
		{rule(rbacv1.PolicyRule{Verbs: []string{"get"}}), "rules[0].apiGroups: Required value: resource rules must supply at least one api group"},
		{rule(rbacv1.PolicyRule{Verbs: []string{"get"}, NonResourceURLs: []string{"/x"}}), "namespaced rules cannot apply to non-resource URLs"},
		{binding(rbacv1.Subject{Kind: "User", Name: "jane"}), ""},
		{binding(rbacv1.Subject{Kind: "User"}), "subjects[0].name: Required value"},
		{binding(rbacv1.Subject{Kind: "Robot", Name: "r"}), `subjects[0].kind: Unsupported value: "Robot": supported values: "ServiceAccount", "User", "Group"`},
		{binding(rbacv1.Subject{Kind: "ServiceAccount", Name: "A_"}), "subjects[0].name: Invalid value"},
	} {
		if c.want == "" && c.err != nil || c.want != "" && (c.err == nil || !strings.Contains(c.err.Error(), c.want)) {
			t.Errorf("got %v, want %q", c.err, c.want)
		}
	}
}
