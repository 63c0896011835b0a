package bootstrap

import (
	_ "embed"
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// The policy as text, one role or binding with its indented lines after another:
//
//	clusterrole NAME [LABEL=VALUE]...
//	  aggregate LABEL=VALUE
//	  VERBS GROUPS RESOURCES [names=NAMES]    (group "core" is "")
//	  VERBS url=PATHS
//	role NAMESPACE NAME
//	clusterrolebinding NAME [CLUSTERROLE]     (the same name if left out)
//	rolebinding NAMESPACE NAME KIND/ROLE
//	  user NAME | group NAME | account NAMESPACE/NAME
var (
	//go:embed clusterroles.txt
	clusterRolesText string
	//go:embed controllerroles.txt
	controllerRolesText string
	//go:embed namespaceroles.txt
	namespaceRolesText string
	//go:embed bindings.txt
	bindingsText string
	// What upstream leaves to installers: how nodes join, and what they read
	// besides the role system:node.
	//go:embed noderoles.txt
	nodeRolesText string
)

// Policy is a set of roles and bindings.
type Policy struct {
	ClusterRoles        []rbacv1.ClusterRole
	ClusterRoleBindings []rbacv1.ClusterRoleBinding
	Roles               []rbacv1.Role
	RoleBindings        []rbacv1.RoleBinding
}

// DefaultPolicy returns the roles and bindings that every cluster has.
func DefaultPolicy() Policy {
	p := parser{}
	for _, text := range []string{clusterRolesText, controllerRolesText, namespaceRolesText, bindingsText, nodeRolesText} {
		for line := range strings.Lines(text) {
			p.line(strings.TrimRight(line, "\n"))
		}
	}
	aggregate(p.ClusterRoles)
	return p.Policy
}

// ClusterRoles returns the default cluster roles.
func ClusterRoles() []rbacv1.ClusterRole { return DefaultPolicy().ClusterRoles }

// parser reads the embedded text. As that cannot be wrong at run time without
// being wrong in the tests, it panics on what it does not understand.
type parser struct {
	Policy
	rules    *[]rbacv1.PolicyRule
	subjects *[]rbacv1.Subject
}

func (p *parser) line(s string) {
	f := strings.Fields(s)
	switch {
	case len(f) == 0:
	case s[0] != ' ':
		p.head(f)
	case p.rules != nil && f[0] == "aggregate":
		p.aggregate(f[1])
	case p.rules != nil:
		*p.rules = append(*p.rules, parseRule(f))
	default:
		*p.subjects = append(*p.subjects, parseSubject(f))
	}
}

func (p *parser) head(f []string) {
	p.rules, p.subjects = nil, nil
	switch f[0] {
	case "clusterrole":
		p.ClusterRoles = append(p.ClusterRoles, rbacv1.ClusterRole{ObjectMeta: defaultMeta("", f[1], f[2:])})
		p.rules = &p.ClusterRoles[len(p.ClusterRoles)-1].Rules
	case "role":
		p.Roles = append(p.Roles, rbacv1.Role{ObjectMeta: defaultMeta(f[1], f[2], f[3:])})
		p.rules = &p.Roles[len(p.Roles)-1].Rules
	case "clusterrolebinding":
		b := rbacv1.ClusterRoleBinding{ObjectMeta: defaultMeta("", f[1], nil), RoleRef: roleRef("ClusterRole", f[len(f)-1])}
		p.ClusterRoleBindings = append(p.ClusterRoleBindings, b)
		p.subjects = &p.ClusterRoleBindings[len(p.ClusterRoleBindings)-1].Subjects
	case "rolebinding":
		kind, role, _ := strings.Cut(f[3], "/")
		p.RoleBindings = append(p.RoleBindings, rbacv1.RoleBinding{ObjectMeta: defaultMeta(f[1], f[2], nil), RoleRef: roleRef(kind, role)})
		p.subjects = &p.RoleBindings[len(p.RoleBindings)-1].Subjects
	default:
		panic(fmt.Sprintf("default policy: unknown word %q", f[0]))
	}
}

func (p *parser) aggregate(label string) {
	k, v, _ := strings.Cut(label, "=")
	r := &p.ClusterRoles[len(p.ClusterRoles)-1]
	if r.AggregationRule == nil {
		r.AggregationRule = &rbacv1.AggregationRule{}
	}
	r.AggregationRule.ClusterRoleSelectors = append(r.AggregationRule.ClusterRoleSelectors, metav1.LabelSelector{MatchLabels: map[string]string{k: v}})
}

func defaultMeta(namespace, name string, labels []string) metav1.ObjectMeta {
	m := metav1.ObjectMeta{
		Namespace:   namespace,
		Name:        name,
		Labels:      map[string]string{"kubernetes.io/bootstrapping": "rbac-defaults"},
		Annotations: map[string]string{rbacv1.AutoUpdateAnnotationKey: "true"},
	}
	for _, l := range labels {
		k, v, _ := strings.Cut(l, "=")
		m.Labels[k] = v
	}
	return m
}

func roleRef(kind, name string) rbacv1.RoleRef {
	return rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: kind, Name: name}
}

func parseRule(f []string) rbacv1.PolicyRule {
	r := rbacv1.PolicyRule{Verbs: strings.Split(f[0], ",")}
	if urls, ok := strings.CutPrefix(f[1], "url="); ok {
		r.NonResourceURLs = strings.Split(urls, ",")
		return r
	}
	r.APIGroups, r.Resources = strings.Split(f[1], ","), strings.Split(f[2], ",")
	for i, g := range r.APIGroups {
		if g == "core" {
			r.APIGroups[i] = ""
		}
	}
	if len(f) > 3 {
		r.ResourceNames = strings.Split(strings.TrimPrefix(f[3], "names="), ",")
	}
	return r
}

func parseSubject(f []string) rbacv1.Subject {
	switch f[0] {
	case "user":
		return rbacv1.Subject{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind, Name: f[1]}
	case "group":
		return rbacv1.Subject{APIGroup: rbacv1.GroupName, Kind: rbacv1.GroupKind, Name: f[1]}
	case "account":
		ns, name, _ := strings.Cut(f[1], "/")
		return rbacv1.Subject{Kind: rbacv1.ServiceAccountKind, Namespace: ns, Name: name}
	}
	panic(fmt.Sprintf("default policy: unknown subject %q", f[0]))
}

// Namespaces returns those that every cluster has.
func Namespaces() []corev1.Namespace {
	var out []corev1.Namespace
	for _, n := range []string{metav1.NamespaceDefault, metav1.NamespaceSystem, metav1.NamespacePublic, corev1.NamespaceNodeLease} {
		out = append(out, corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: n}})
	}
	return out
}
