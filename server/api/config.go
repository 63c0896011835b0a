package api

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"time"

	"k8s.io/apiserver/pkg/authentication/authenticator"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	"k8s.io/apiserver/pkg/endpoints/request"

	"skiff/server/admission"
	"skiff/server/registry"
	"skiff/store"
)

// Config says what an API server serves, and to whom.
type Config struct {
	Store     store.Store
	Resources []*registry.Resource
	// Authenticator tells who a request comes from; nil takes everybody for an
	// administrator. Requests that carry a user in their context are not asked.
	Authenticator authenticator.Request
	// Authorizer tells what a user may do; nil allows everything.
	Authorizer authorizer.UnconditionalAuthorizer
	Admission  admission.Chain
	// OpenAPI gives the published documents; nil serves none.
	OpenAPI OpenAPI
	// Checks are the named parts of /healthz, /livez and /readyz.
	Checks []Check
	// Paths are handlers of further paths outside the API ("/openid/v1/jwks"); a
	// path that ends in a slash covers all below it. They are behind
	// authorization.
	Paths map[string]http.Handler
	// Auditor hears of every request that passed authentication; nil for none.
	Auditor Auditor

	// MaxReads and MaxWrites bound the requests in flight (400, 200), without
	// watches and other long ones.
	MaxReads, MaxWrites int
	// RequestTimeout bounds requests that are not long-running (60 s).
	RequestTimeout time.Duration
	// Now is the clock; nil for the real one.
	Now    func() time.Time
	Logger *slog.Logger
}

// Auditor is the place of the audit log in the chain. Request is called before
// authorization; what it returns, unless nil, is called with the response's code.
type Auditor interface {
	Request(ctx context.Context, u user.Info, info *request.RequestInfo, r *http.Request) (done func(code int))
}

func (c *Config) complete() error {
	if c.Store == nil {
		return errors.New("api server without a store")
	}
	if c.MaxReads == 0 {
		c.MaxReads = 400
	}
	if c.MaxWrites == 0 {
		c.MaxWrites = 200
	}
	if c.RequestTimeout == 0 {
		c.RequestTimeout = time.Minute
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	return nil
}
