package api

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"net/http"
	"strings"
	"sync"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apiserver/pkg/authentication/authenticator"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	"k8s.io/client-go/kubernetes"
)

// allowed authenticates and authorizes a request, and answers it if it is not
// allowed.
func (s *Server) allowed(w http.ResponseWriter, r *http.Request) bool {
	resp, ok, err := s.authn.AuthenticateRequest(r)
	if err != nil || !ok {
		http.Error(w, "Unauthorized", http.StatusUnauthorized)
		return false
	}
	// Credentials go no further: streams are passed on to the runtime.
	r.Header.Del("Authorization")
	attrs := s.attributes(resp.User, r)
	for _, a := range attrs {
		decision, _, err := s.authz.Authorize(r.Context(), a)
		if err != nil && decision != authorizer.DecisionAllow {
			s.cfg.Log.Warn("cannot authorize a request to the node's API", "user", resp.User.GetName(), "err", err)
			http.Error(w, "Authorization error", http.StatusInternalServerError)
			return false
		}
		if decision == authorizer.DecisionAllow {
			return true
		}
	}
	a := attrs[len(attrs)-1]
	http.Error(w, "Forbidden (user="+resp.User.GetName()+", verb="+a.GetVerb()+", resource=nodes, subresource="+a.GetSubresource()+")", http.StatusForbidden)
	return false
}

// attributes are what the request needs: any one of them is enough (KEP-2862).
func (s *Server) attributes(u user.Info, r *http.Request) []authorizer.Attributes {
	verb := map[string]string{http.MethodPost: "create", http.MethodGet: "get", http.MethodPut: "update", http.MethodPatch: "patch", http.MethodDelete: "delete"}[r.Method]
	var out []authorizer.Attributes
	for _, sub := range subresources(r.URL.Path) {
		out = append(out, authorizer.AttributesRecord{
			User: u, Verb: verb, APIVersion: "v1", Resource: "nodes", Subresource: sub, Name: s.cfg.NodeName, ResourceRequest: true, Path: r.URL.Path,
		})
	}
	return out
}

func subresources(path string) []string {
	first, _, _ := strings.Cut(strings.TrimPrefix(path, "/"), "/")
	switch first {
	case "pods", "runningpods":
		return []string{"pods", "proxy"}
	case "healthz":
		return []string{"healthz", "proxy"}
	case "stats":
		return []string{"stats"}
	case "metrics":
		return []string{"metrics"}
	}
	return []string{"proxy"}
}

// authn knows callers by certificate, then by token.
type authn struct {
	cas    func() *x509.CertPool
	client kubernetes.Interface
	cache  verdicts[*authenticator.Response]
}

func newAuthenticator(cas func() *x509.CertPool, client kubernetes.Interface) authenticator.Request {
	return &authn{cas: cas, client: client}
}

// AuthenticateRequest implements authenticator.Request.
func (a *authn) AuthenticateRequest(r *http.Request) (*authenticator.Response, bool, error) {
	if r.TLS != nil && len(r.TLS.PeerCertificates) > 0 && a.cas != nil {
		return a.certificate(r.TLS.PeerCertificates)
	}
	token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if !ok || token == "" || a.client == nil {
		return nil, false, nil
	}
	return a.token(r.Context(), token)
}

func (a *authn) certificate(chain []*x509.Certificate) (*authenticator.Response, bool, error) {
	opts := x509.VerifyOptions{Roots: a.cas(), Intermediates: x509.NewCertPool(), KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}
	if opts.Roots == nil {
		return nil, false, errors.New("no authorities for client certificates")
	}
	for _, c := range chain[1:] {
		opts.Intermediates.AddCert(c)
	}
	if _, err := chain[0].Verify(opts); err != nil {
		return nil, false, err
	}
	subject := chain[0].Subject
	if subject.CommonName == "" {
		return nil, false, nil
	}
	return &authenticator.Response{User: &user.DefaultInfo{Name: subject.CommonName, Groups: append(subject.Organization, user.AllAuthenticated)}}, true, nil
}

func (a *authn) token(ctx context.Context, token string) (*authenticator.Response, bool, error) {
	key := sha256.Sum256([]byte(token))
	if resp, ok := a.cache.get(string(key[:])); ok {
		return resp, resp != nil, nil
	}
	review, err := a.client.AuthenticationV1().TokenReviews().Create(ctx, &authenticationv1.TokenReview{Spec: authenticationv1.TokenReviewSpec{Token: token}}, metav1.CreateOptions{})
	if err != nil {
		return nil, false, err
	}
	var resp *authenticator.Response
	if review.Status.Authenticated {
		u := review.Status.User
		extra := map[string][]string{}
		for k, v := range u.Extra {
			extra[k] = v
		}
		resp = &authenticator.Response{User: &user.DefaultInfo{Name: u.Username, UID: u.UID, Groups: u.Groups, Extra: extra}}
	}
	a.cache.put(string(key[:]), resp, 2*time.Minute)
	return resp, resp != nil, nil
}

// reviewer asks the API server whether something is allowed.
type reviewer struct {
	client kubernetes.Interface
	cache  verdicts[bool]
}

func newReviewer(client kubernetes.Interface) authorizer.UnconditionalAuthorizer {
	return &reviewer{client: client}
}

// Authorize implements authorizer.UnconditionalAuthorizer.
func (v *reviewer) Authorize(ctx context.Context, a authorizer.Attributes) (authorizer.Decision, string, error) {
	u := a.GetUser()
	key := strings.Join(append([]string{u.GetName(), u.GetUID(), a.GetVerb(), a.GetSubresource()}, u.GetGroups()...), "\x00")
	allowed, ok := v.cache.get(key)
	if !ok {
		extra := map[string]authorizationv1.ExtraValue{}
		for k, val := range u.GetExtra() {
			extra[k] = val
		}
		review, err := v.client.AuthorizationV1().SubjectAccessReviews().Create(ctx, &authorizationv1.SubjectAccessReview{Spec: authorizationv1.SubjectAccessReviewSpec{
			User: u.GetName(), UID: u.GetUID(), Groups: u.GetGroups(), Extra: extra,
			ResourceAttributes: &authorizationv1.ResourceAttributes{
				Verb: a.GetVerb(), Version: "v1", Resource: a.GetResource(), Subresource: a.GetSubresource(), Name: a.GetName(),
			},
		}}, metav1.CreateOptions{})
		if err != nil {
			return authorizer.DecisionNoOpinion, "", err
		}
		allowed = review.Status.Allowed
		ttl := 30 * time.Second
		if allowed {
			ttl = 5 * time.Minute
		}
		v.cache.put(key, allowed, ttl)
	}
	if allowed {
		return authorizer.DecisionAllow, "", nil
	}
	return authorizer.DecisionNoOpinion, "", nil
}

// verdicts remember a few answers of the API server for a while.
type verdicts[T any] struct {
	mu      sync.Mutex
	entries map[string]verdict[T]
}

type verdict[T any] struct {
	value   T
	expires time.Time
}

const maxVerdicts = 256

func (v *verdicts[T]) get(key string) (T, bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	e, ok := v.entries[key]
	if !ok || time.Now().After(e.expires) {
		var zero T
		return zero, false
	}
	return e.value, true
}

func (v *verdicts[T]) put(key string, value T, ttl time.Duration) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.entries == nil || len(v.entries) >= maxVerdicts {
		v.entries = map[string]verdict[T]{}
	}
	v.entries[key] = verdict[T]{value, time.Now().Add(ttl)}
}
