package rbac

import (
	"slices"
	"strings"

	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apiserver/pkg/authorization/authorizer"
)

// Allows tells whether the rule covers the request.
func Allows(r *rbacv1.PolicyRule, a authorizer.Attributes) bool {
	if !hasOrAll(r.Verbs, a.GetVerb()) {
		return false
	}
	if !a.IsResourceRequest() {
		return slices.ContainsFunc(r.NonResourceURLs, func(u string) bool { return pathMatches(u, a.GetPath()) })
	}
	return hasOrAll(r.APIGroups, a.GetAPIGroup()) &&
		resourceMatches(r.Resources, a.GetResource(), a.GetSubresource()) &&
		(len(r.ResourceNames) == 0 || slices.Contains(r.ResourceNames, a.GetName()))
}

// AnyAllows tells whether one of the rules covers the request.
func AnyAllows(rules []rbacv1.PolicyRule, a authorizer.Attributes) bool {
	for i := range rules {
		if Allows(&rules[i], a) {
			return true
		}
	}
	return false
}

func hasOrAll(set []string, s string) bool {
	for _, x := range set {
		if x == "*" || x == s {
			return true
		}
	}
	return false
}

// resourceMatches compares without making "resource/subresource" first: this is
// on the way of every request.
func resourceMatches(rules []string, resource, subresource string) bool {
	for _, r := range rules {
		if r == "*" {
			return true
		}
		main, sub, _ := strings.Cut(r, "/")
		if sub == subresource && (main == resource || main == "*" && subresource != "") {
			return true
		}
	}
	return false
}

func pathMatches(rule, path string) bool {
	if rule == "*" || rule == path {
		return true
	}
	return strings.HasSuffix(rule, "*") && strings.HasPrefix(path, strings.TrimRight(rule, "*"))
}
