// Package token issues and verifies service account tokens: JWTs (RFC 7519) signed
// with ES256, bound to a Pod, Secret or Node if asked (KEP-1205, KEP-4193), and the
// older tokens that live in Secrets.
//
//	issuer, err := token.NewIssuer(token.Config{URL: "https://kubernetes.default.svc.cluster.local", Key: p.ServiceAccountKey})
//	core.Deps{Token: issuer.Create}                 // serviceaccounts/token
//	v := issuer.Verifier(token.NewGetter(...))      // an authenticator.Token
//	mux.Handle(token.ConfigPath, issuer.Discovery(...))
//
// Verification has two halves. The signature is checked once per token, and what
// it proved is remembered for as long as the token lives (bounded in number). What can
// change, time and the objects that the token is bound to, is looked up in the
// informers' caches at every use, so that deleting a pod ends its tokens at once.
package token
