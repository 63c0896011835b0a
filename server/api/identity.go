package api

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"

	authenticationv1 "k8s.io/api/authentication/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/authentication/serviceaccount"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	"k8s.io/apiserver/pkg/endpoints/request"
)

// authenticate finds the user of the request: the one in the context of an
// in-process request, or the authenticator's.
func (c *call) authenticate() error {
	if u, ok := request.UserFrom(c.ctx); ok {
		c.user = u
		return nil
	}
	if c.s.cfg.Authenticator == nil {
		c.setUser(&user.DefaultInfo{Name: "system:admin", Groups: []string{user.SystemPrivilegedGroup, user.AllAuthenticated}})
		return nil
	}
	resp, ok, err := c.s.cfg.Authenticator.AuthenticateRequest(c.r)
	if err != nil || !ok {
		if err != nil {
			c.s.cfg.Logger.Debug("request not authenticated", "path", c.r.URL.Path, "err", err)
		}
		c.closeHTTP2()
		return apierrors.NewUnauthorized("Unauthorized")
	}
	c.r.Header.Del("Authorization")
	c.setUser(resp.User)
	if resp.User.GetName() == user.Anonymous {
		c.closeHTTP2()
	}
	return nil
}

// closeHTTP2 does not let unauthenticated clients keep HTTP/2 connections, which
// are costly to serve (CVE-2023-44487).
func (c *call) closeHTTP2() {
	if c.r.ProtoMajor == 2 {
		c.w.Header().Set("Connection", "close")
	}
}

func (c *call) setUser(u user.Info) {
	c.user = u
	c.ctx = request.WithUser(c.ctx, u)
}

// authorize asks whether the user may do what is asked for.
func (c *call) authorize() error {
	a := c.attributes()
	if err := selectors(a, c.info); err != nil {
		return err
	}
	return c.allow(a)
}

func (c *call) attributes() *authorizer.AttributesRecord {
	i := c.info
	return &authorizer.AttributesRecord{
		User: c.user, Verb: i.Verb, Namespace: i.Namespace, APIGroup: i.APIGroup, APIVersion: i.APIVersion,
		Resource: i.Resource, Subresource: i.Subresource, Name: i.Name, ResourceRequest: i.IsResourceRequest, Path: i.Path,
	}
}

// selectors lets authorizers see what a list is narrowed to (KEP-4601).
func selectors(a *authorizer.AttributesRecord, info *request.RequestInfo) error {
	if info.FieldSelector != "" {
		if sel, err := fields.ParseSelector(info.FieldSelector); err != nil {
			a.FieldSelectorParsingErr = err
		} else if r := sel.Requirements(); len(r) > 0 {
			a.FieldSelectorRequirements = r
		}
	}
	if info.LabelSelector != "" {
		if sel, err := labels.Parse(info.LabelSelector); err != nil {
			a.LabelSelectorParsingErr = err
		} else if r, ok := sel.Requirements(); ok && len(r) > 0 {
			a.LabelSelectorRequirements = r
		}
	}
	return nil
}

// allow returns nil, or the error that forbids.
func (c *call) allow(a *authorizer.AttributesRecord) error {
	if c.s.cfg.Authorizer == nil {
		return nil
	}
	decision, reason, err := c.s.cfg.Authorizer.Authorize(c.ctx, a)
	if decision == authorizer.DecisionAllow {
		return nil
	}
	if err != nil && reason == "" {
		return apierrors.NewInternalError(err)
	}
	return forbidden(a, reason)
}

// notHTML keeps messages from looking like markup to browsers.
var notHTML = strings.NewReplacer(`&`, "&amp;", `<`, "&lt;", `>`, "&gt;")

func forbidden(a *authorizer.AttributesRecord, reason string) error {
	resource := a.Resource
	if a.Subresource != "" {
		resource += "/" + a.Subresource
	}
	var msg string
	switch {
	case !a.ResourceRequest:
		msg = fmt.Sprintf("User %q cannot %s path %q", a.User.GetName(), a.Verb, a.Path)
	case a.Namespace != "":
		msg = fmt.Sprintf("User %q cannot %s resource %q in API group %q in the namespace %q", a.User.GetName(), a.Verb, resource, a.APIGroup, a.Namespace)
	default:
		msg = fmt.Sprintf("User %q cannot %s resource %q in API group %q at the cluster scope", a.User.GetName(), a.Verb, resource, a.APIGroup)
	}
	msg = notHTML.Replace(msg)
	if reason != "" {
		msg += ": " + reason
	}
	return apierrors.NewForbidden(schema.GroupResource{Group: a.APIGroup, Resource: a.Resource}, a.Name, fmt.Errorf("%s", msg))
}

// impersonate lets the user act in another one's name, as far as it is allowed
// to impersonate each part of that identity.
func (c *call) impersonate() error {
	name := c.r.Header.Get(authenticationv1.ImpersonateUserHeader)
	if name == "" {
		if part := impersonationHeader(c.r.Header); part != "" {
			return apierrors.NewBadRequest(fmt.Sprintf("requested [%s] without impersonating a user", part))
		}
		return nil
	}
	as := &user.DefaultInfo{Name: name, UID: c.r.Header.Get(authenticationv1.ImpersonateUIDHeader)}
	asks := []authorizer.AttributesRecord{{Resource: "users", Name: name}}
	if namespace, sa, err := serviceaccount.SplitUsername(name); err == nil {
		asks[0] = authorizer.AttributesRecord{Resource: "serviceaccounts", Namespace: namespace, Name: sa}
		as.Groups = serviceaccount.MakeGroupNames(namespace)
	}
	if groups := c.r.Header[authenticationv1.ImpersonateGroupHeader]; len(groups) > 0 {
		as.Groups = append([]string(nil), groups...)
		for _, g := range groups {
			asks = append(asks, authorizer.AttributesRecord{Resource: "groups", Name: g})
		}
	}
	as.Extra, asks = impersonatedExtra(c.r.Header, asks)
	if as.UID != "" {
		asks = append(asks, authorizer.AttributesRecord{APIGroup: authenticationv1.GroupName, APIVersion: "v1", Resource: "uids", Name: as.UID})
	}
	for i := range asks {
		asks[i].User, asks[i].Verb, asks[i].ResourceRequest = c.user, "impersonate", true
		if err := c.allow(&asks[i]); err != nil {
			return err
		}
	}
	as.Groups = withImplicitGroup(name, as.Groups)
	dropImpersonation(c.r.Header)
	c.setUser(as)
	return nil
}

func impersonatedExtra(h http.Header, asks []authorizer.AttributesRecord) (map[string][]string, []authorizer.AttributesRecord) {
	extra := map[string][]string{}
	for header, values := range h {
		if !strings.HasPrefix(header, authenticationv1.ImpersonateUserExtraHeaderPrefix) {
			continue
		}
		key := strings.ToLower(header[len(authenticationv1.ImpersonateUserExtraHeaderPrefix):])
		if decoded, err := url.PathUnescape(key); err == nil {
			key = decoded
		}
		for _, v := range values {
			extra[key] = append(extra[key], v)
			asks = append(asks, authorizer.AttributesRecord{
				APIGroup: authenticationv1.GroupName, APIVersion: "v1", Resource: "userextras", Subresource: key, Name: v,
			})
		}
	}
	return extra, asks
}

// withImplicitGroup adds the group that says whether a user is known.
func withImplicitGroup(name string, groups []string) []string {
	implied := user.AllAuthenticated
	if name == user.Anonymous {
		implied = user.AllUnauthenticated
	}
	for _, g := range groups {
		if g == implied || name != user.Anonymous && g == user.AllUnauthenticated {
			return groups
		}
	}
	return append(groups, implied)
}

func impersonationHeader(h http.Header) string {
	for header := range h {
		if strings.HasPrefix(header, "Impersonate-") {
			return header
		}
	}
	return ""
}

func dropImpersonation(h http.Header) {
	for header := range h {
		if strings.HasPrefix(header, "Impersonate-") {
			h.Del(header)
		}
	}
}

func (c *call) audit() {
	if c.s.cfg.Auditor != nil {
		c.audited = c.s.cfg.Auditor.Request(c.ctx, c.user, c.info, c.r)
	}
}
