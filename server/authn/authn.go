// Package authn tells who makes a request: by a client certificate, a service
// account token, the headers of a front proxy, or nobody in particular.
//
//	auth := authn.New(authn.Config{
//		ClientCA: p.Client.Pool(), FrontProxyCA: p.FrontProxy.Pool(),
//		Tokens: []authenticator.Token{verifier}, Anonymous: true,
//	})
//	api.New(api.Config{Authenticator: auth, ...})
//
// The TLS listener must ask for a client certificate without verifying it
// (tls.RequestClientCert): a bad certificate is then answered with a Status 401, and not
// with a handshake that nobody can read.
//
// In-process components never come here: their user travels in the request's context
// (see package client).
package authn

import (
	"context"
	"crypto/x509"
	"net/http"
	"time"

	utilerrors "k8s.io/apimachinery/pkg/util/errors"
	"k8s.io/apiserver/pkg/authentication/authenticator"
	"k8s.io/apiserver/pkg/authentication/user"
)

// Config says who is believed.
type Config struct {
	// ClientCA holds the authorities of client certificates; nil accepts none.
	ClientCA *x509.CertPool
	// FrontProxyCA holds the authorities of front proxies; nil accepts none.
	FrontProxyCA *x509.CertPool
	// FrontProxyNames are the common names that a front proxy may have; any if
	// empty.
	FrontProxyNames []string
	// Tokens are asked in order for bearer tokens.
	Tokens []authenticator.Token
	// Audiences are the API server's own; put into the response of
	// authenticators that know none.
	Audiences authenticator.Audiences
	// Anonymous makes requests without credentials those of system:anonymous;
	// otherwise they are refused.
	Anonymous bool
	// Now is the wall clock; nil means time.Now.
	Now func() time.Time
}

// Authenticator authenticates requests; it is an authenticator.Request, and an
// authenticator.Token for TokenReviews.
type Authenticator struct {
	requests  []authenticator.Request
	tokens    tokens
	audiences authenticator.Audiences
	anonymous bool
}

// New returns an Authenticator. Its order is upstream's: front proxy, client
// certificate, bearer token, anonymous.
func New(cfg Config) *Authenticator {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	a := &Authenticator{tokens: cfg.Tokens, audiences: cfg.Audiences, anonymous: cfg.Anonymous}
	if cfg.FrontProxyCA != nil {
		a.requests = append(a.requests, newFrontProxy(cfg.FrontProxyCA, cfg.FrontProxyNames, cfg.Now))
	}
	if cfg.ClientCA != nil {
		a.requests = append(a.requests, newClientCertificate(cfg.ClientCA, cfg.Now))
	}
	if len(cfg.Tokens) > 0 {
		a.requests = append(a.requests, bearer{a.tokens})
	}
	return a
}

// AuthenticateRequest implements authenticator.Request. Bearer tokens are removed
// from the request once they are proven.
func (a *Authenticator) AuthenticateRequest(req *http.Request) (*authenticator.Response, bool, error) {
	// A review may ask for other audiences than the API server's own.
	if _, asked := authenticator.AudiencesFrom(req.Context()); !asked && len(a.audiences) > 0 {
		req = req.WithContext(authenticator.WithAudiences(req.Context(), a.audiences))
	}
	resp, ok, err := first(a.requests, func(r authenticator.Request) (*authenticator.Response, bool, error) {
		return r.AuthenticateRequest(req)
	})
	switch {
	case err != nil:
		return nil, false, err
	case ok:
		return a.authenticated(resp), true, nil
	case a.anonymous:
		return &authenticator.Response{User: anonymousUser, Audiences: a.audiences}, true, nil
	}
	return nil, false, nil
}

// AuthenticateToken implements authenticator.Token, for TokenReviews.
func (a *Authenticator) AuthenticateToken(ctx context.Context, text string) (*authenticator.Response, bool, error) {
	resp, ok, err := a.tokens.AuthenticateToken(ctx, text)
	if err != nil || !ok {
		return nil, false, err
	}
	return a.authenticated(resp), true, nil
}

// authenticated adds the group of all who proved who they are.
func (a *Authenticator) authenticated(r *authenticator.Response) *authenticator.Response {
	out := &authenticator.Response{User: withAuthenticatedGroup(r.User), Audiences: r.Audiences}
	// Certificates are for this server, whatever they are shown for.
	if len(out.Audiences) == 0 {
		out.Audiences = a.audiences
	}
	return out
}

var anonymousUser = &user.DefaultInfo{Name: user.Anonymous, Groups: []string{user.AllUnauthenticated}}

func withAuthenticatedGroup(u user.Info) user.Info {
	groups := u.GetGroups()
	if u.GetName() == user.Anonymous {
		return u
	}
	for _, g := range groups {
		if g == user.AllAuthenticated || g == user.AllUnauthenticated {
			return u
		}
	}
	all := make([]string, 0, len(groups)+1)
	return &user.DefaultInfo{
		Name:   u.GetName(),
		UID:    u.GetUID(),
		Groups: append(append(all, groups...), user.AllAuthenticated),
		Extra:  u.GetExtra(),
	}
}

type tokens []authenticator.Token

// AuthenticateToken implements authenticator.Token.
func (t tokens) AuthenticateToken(ctx context.Context, text string) (*authenticator.Response, bool, error) {
	return first(t, func(a authenticator.Token) (*authenticator.Response, bool, error) {
		return a.AuthenticateToken(ctx, text)
	})
}

// first returns the first success of all; if there is none, all the errors.
func first[T any](all []T, ask func(T) (*authenticator.Response, bool, error)) (*authenticator.Response, bool, error) {
	var errs []error
	for _, a := range all {
		resp, ok, err := ask(a)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		if ok {
			return resp, true, nil
		}
	}
	return nil, false, utilerrors.NewAggregate(errs)
}
