package token

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	jose "github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
	"k8s.io/apiserver/pkg/authentication/authenticator"
	"k8s.io/apiserver/pkg/authentication/serviceaccount"
	tokenjwt "k8s.io/apiserver/pkg/authentication/token/jwt"
	"k8s.io/apiserver/pkg/authentication/user"
)

// Verifier authenticates tokens that an Issuer signed; it is an
// authenticator.Token.
type Verifier struct {
	issuer *Issuer
	getter Getter
	seen   *cache
}

// algorithms are those that a key of Config.OldKeys may have used.
var algorithms = []jose.SignatureAlgorithm{jose.ES256, jose.ES384, jose.ES512, jose.RS256}

// Verifier returns a Verifier of this issuer's tokens.
func (i *Issuer) Verifier(g Getter) *Verifier {
	return &Verifier{issuer: i, getter: g, seen: newCache(cacheSize)}
}

// verified is a token whose signature was checked.
type verified struct {
	claims claims
	user   user.Info
}

// AuthenticateToken implements authenticator.Token. It is false, without an error,
// for what is not a token of this issuer.
func (v *Verifier) AuthenticateToken(ctx context.Context, text string) (*authenticator.Response, bool, error) {
	t, ok := v.seen.get(text)
	if !ok {
		if !v.mayBeOurs(text) {
			return nil, false, nil
		}
		var err error
		if t, err = v.parse(text); err != nil {
			return nil, false, err
		}
		v.seen.put(text, t)
	}
	auds, err := v.audiences(ctx, &t.claims)
	if err != nil {
		return nil, false, err
	}
	if err := v.check(ctx, text, &t.claims); err != nil {
		return nil, false, err
	}
	return &authenticator.Response{User: t.user, Audiences: auds}, true, nil
}

// mayBeOurs looks at the issuer without trusting it, so that other
// authenticators get their turn.
func (v *Verifier) mayBeOurs(text string) bool {
	parts := strings.Split(text, ".")
	if len(parts) != 3 {
		return false
	}
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		return false
	}
	var c struct {
		Issuer string `json:"iss"`
	}
	if err := json.Unmarshal(payload, &c); err != nil {
		return false
	}
	return c.Issuer == v.issuer.url || c.Issuer == LegacyIssuer
}

func (v *Verifier) parse(text string) (*verified, error) {
	tok, err := jwt.ParseSigned(text, algorithms)
	if err != nil {
		return nil, fmt.Errorf("parse service account token: %w", err)
	}
	if len(tok.Headers) == 0 {
		return nil, errors.New("invalid signature, no keys found")
	}
	key, ok := v.issuer.keys[tok.Headers[0].KeyID]
	if !ok {
		return nil, errors.New("invalid signature, no keys found")
	}
	t := &verified{}
	if err := tok.Claims(key, &t.claims); err != nil {
		return nil, fmt.Errorf("verify service account token: %w", err)
	}
	if t.claims.Kubernetes == nil && t.claims.Issuer != LegacyIssuer {
		return nil, errors.New("service account token has no kubernetes.io claim")
	}
	if t.claims.Issuer == LegacyIssuer {
		if err := checkLegacyClaims(&t.claims); err != nil {
			return nil, err
		}
	}
	t.user = userOf(&t.claims)
	return t, nil
}

// audiences returns those of the token that the context asks for, or the API
// server's if it names none.
func (v *Verifier) audiences(ctx context.Context, c *claims) (authenticator.Audiences, error) {
	have := authenticator.Audiences(c.Audience)
	if len(have) == 0 {
		have = v.issuer.audiences // tokens in Secrets are for the API server
	}
	want, ok := authenticator.AudiencesFrom(ctx)
	if !ok {
		want = v.issuer.audiences
	}
	both := have.Intersect(want)
	if len(both) == 0 {
		return nil, fmt.Errorf("token audiences %q is invalid for the target audiences %q", have, want)
	}
	return both, nil
}

func userOf(c *claims) user.Info {
	if c.Issuer == LegacyIssuer {
		return serviceaccount.UserInfo(c.LegacyNamespace, c.LegacyName, c.LegacyUID)
	}
	k := c.Kubernetes
	info := serviceaccount.ServiceAccountInfo{
		Namespace:    k.Namespace,
		Name:         k.ServiceAccount.Name,
		UID:          k.ServiceAccount.UID,
		CredentialID: tokenjwt.CredentialIDForJTI(c.ID),
	}
	if k.Pod != nil {
		info.PodName, info.PodUID = k.Pod.Name, k.Pod.UID
	}
	if k.Node != nil {
		info.NodeName, info.NodeUID = k.Node.Name, k.Node.UID
	}
	return info.UserInfo()
}
