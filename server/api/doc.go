// Package api is the HTTP face of the API server: it takes requests through one
// chain of filters (recovery, authentication, limits, impersonation,
// authorization) to one handler per verb, which translate between the wire and
// the generic stores of package registry.
//
//	srv, err := api.New(api.Config{Store: st, Resources: builtin.Resources(deps), Authenticator: authn, Authorizer: authz, Admission: chain})
//	err = srv.Serve(ctx, listener, tlsConfig) // or use srv as an http.Handler
//
// Objects travel in their stored form as far as they can: a client that asks for
// protobuf gets the stored bytes, with the resourceVersion appended, and nothing
// is decoded on the way.
package api
