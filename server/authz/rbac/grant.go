package rbac

import (
	"fmt"
	"strings"

	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apiserver/pkg/authentication/serviceaccount"
	"k8s.io/apiserver/pkg/authentication/user"
)

// subjectIndex names the index of bindings by subject. Its keys are
// "namespace|kind:name"; the namespace is empty for ClusterRoleBindings.
const subjectIndex = "rbac.subject"

const (
	userKey    = "u:"
	groupKey   = "g:"
	accountKey = "s:" // the user name of a service account follows
)

func subjectKeys(namespace string, subjects []rbacv1.Subject) []string {
	keys := make([]string, 0, len(subjects))
	for i := range subjects {
		if k := subjectKey(&subjects[i], namespace); k != "" {
			keys = append(keys, namespace+"|"+k)
		}
	}
	return keys
}

// subjectKey is "" for a subject that can match nobody.
func subjectKey(s *rbacv1.Subject, namespace string) string {
	switch s.Kind {
	case rbacv1.UserKind:
		return userKey + s.Name
	case rbacv1.GroupKind:
		return groupKey + s.Name
	case rbacv1.ServiceAccountKind:
		if s.Namespace != "" {
			namespace = s.Namespace
		}
		if namespace != "" {
			return accountKey + serviceaccount.MakeUsername(namespace, s.Name)
		}
	}
	return ""
}

func roleBindingSubjects(obj any) ([]string, error) {
	b, ok := obj.(*rbacv1.RoleBinding)
	if !ok {
		return nil, nil
	}
	return subjectKeys(b.Namespace, b.Subjects), nil
}

func clusterRoleBindingSubjects(obj any) ([]string, error) {
	b, ok := obj.(*rbacv1.ClusterRoleBinding)
	if !ok {
		return nil, nil
	}
	return subjectKeys("", b.Subjects), nil
}

// grant is what one binding gives to a user.
type grant struct {
	kind, name string // the binding's
	namespace  string // the binding's, "" if it has none
	ref        rbacv1.RoleRef
	subject    rbacv1.Subject
	rules      []rbacv1.PolicyRule
}

// String describes the grant as upstream does in reasons.
func (g grant) String() string {
	name := g.subject.Name
	if g.subject.Kind == rbacv1.ServiceAccountKind {
		ns := g.subject.Namespace
		if ns == "" {
			ns = g.namespace
		}
		name += "/" + ns
	}
	binding := g.name
	if g.namespace != "" {
		binding += "/" + g.namespace
	}
	return fmt.Sprintf("%s %q of %s %q to %s %q", g.kind, binding, g.ref.Kind, g.ref.Name, g.subject.Kind, name)
}

// visit calls f with all that u holds in the namespace, cluster-wide grants first,
// and with what could not be resolved, until f returns false.
func (a *Authorizer) visit(u user.Info, namespace string, f func(grant, error) bool) {
	if u == nil {
		return
	}
	keys := keysOf(u)
	for _, k := range keys {
		for _, obj := range a.lookup("|" + k) {
			b, ok := obj.(*rbacv1.ClusterRoleBinding)
			if !ok {
				continue
			}
			if !a.resolve(grant{kind: "ClusterRoleBinding", name: b.Name, ref: b.RoleRef, subject: find(b.Subjects, k, "")}, f) {
				return
			}
		}
	}
	if namespace == "" {
		return
	}
	for _, k := range keys {
		for _, obj := range a.lookup(namespace + "|" + k) {
			b, ok := obj.(*rbacv1.RoleBinding)
			if !ok {
				continue
			}
			if !a.resolve(grant{kind: "RoleBinding", name: b.Name, namespace: namespace, ref: b.RoleRef, subject: find(b.Subjects, k, namespace)}, f) {
				return
			}
		}
	}
}

func (a *Authorizer) resolve(g grant, f func(grant, error) bool) bool {
	rules, err := a.RoleRules(g.ref, g.namespace)
	if err != nil {
		return f(grant{}, err)
	}
	g.rules = rules
	return f(g, nil)
}

func keysOf(u user.Info) []string {
	groups := u.GetGroups()
	keys := make([]string, 0, len(groups)+2)
	keys = append(keys, userKey+u.GetName())
	if strings.HasPrefix(u.GetName(), serviceaccount.ServiceAccountUsernamePrefix) {
		keys = append(keys, accountKey+u.GetName())
	}
	for _, g := range groups {
		keys = append(keys, groupKey+g)
	}
	return keys
}

// lookup returns the bindings under an index key; those of a namespace live in
// the index of RoleBindings.
func (a *Authorizer) lookup(key string) []any {
	indexer := a.bindings
	if key[0] == '|' {
		indexer = a.clusterRoleBindings
	}
	// The only error is that of an unknown index.
	objs, _ := indexer.ByIndex(subjectIndex, key)
	return objs
}

func find(subjects []rbacv1.Subject, key, namespace string) rbacv1.Subject {
	for i := range subjects {
		if subjectKey(&subjects[i], namespace) == key {
			return subjects[i]
		}
	}
	return rbacv1.Subject{}
}
