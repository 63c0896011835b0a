package token

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"time"

	jose "github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
	"github.com/google/uuid"
	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apiserver/pkg/authentication/serviceaccount"
	"k8s.io/utils/clock"
)

// LegacyIssuer is the issuer of tokens that live in Secrets.
const LegacyIssuer = "kubernetes/serviceaccount"

// Config describes an Issuer.
type Config struct {
	// URL is the "iss" claim, e.g. https://kubernetes.default.svc.cluster.local.
	URL string
	// Audiences are those of the API server; URL alone if empty.
	Audiences []string
	// Key signs; a P-256 key.
	Key *ecdsa.PrivateKey
	// OldKeys are accepted too, but never used to sign.
	OldKeys []crypto.PublicKey
	// MaxExpiration caps what a request may ask for; 0 means no cap.
	MaxExpiration time.Duration
	// Clock is the wall clock; nil means the real one.
	Clock clock.PassiveClock
}

// Issuer signs tokens.
type Issuer struct {
	url       string
	audiences []string
	max       time.Duration
	clock     clock.PassiveClock
	signer    jose.Signer
	keys      map[string]crypto.PublicKey // by key ID
}

// NewIssuer returns an Issuer for cfg.
func NewIssuer(cfg Config) (*Issuer, error) {
	if cfg.URL == "" || cfg.Key == nil {
		return nil, errors.New("make token issuer: URL and Key are required")
	}
	i := &Issuer{url: cfg.URL, audiences: cfg.Audiences, max: cfg.MaxExpiration, clock: cfg.Clock, keys: map[string]crypto.PublicKey{}}
	if len(i.audiences) == 0 {
		i.audiences = []string{cfg.URL}
	}
	if i.clock == nil {
		i.clock = clock.RealClock{}
	}
	id, err := keyID(&cfg.Key.PublicKey)
	if err != nil {
		return nil, err
	}
	i.keys[id] = &cfg.Key.PublicKey
	for _, k := range cfg.OldKeys {
		id, err := keyID(k)
		if err != nil {
			return nil, err
		}
		i.keys[id] = k
	}
	jwk := jose.JSONWebKey{Key: cfg.Key, KeyID: id, Algorithm: string(jose.ES256), Use: "sig"}
	i.signer, err = jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: jwk}, nil)
	if err != nil {
		return nil, fmt.Errorf("make token issuer: %w", err)
	}
	return i, nil
}

// keyID is the "kid" of a key: the SHA-256 of its DER form, as upstream's.
func keyID(k crypto.PublicKey) (string, error) {
	der, err := x509.MarshalPKIXPublicKey(k)
	if err != nil {
		return "", fmt.Errorf("make token issuer: %w", err)
	}
	sum := sha256.Sum256(der)
	return base64.RawURLEncoding.EncodeToString(sum[:]), nil
}

// Audiences are those of the API server.
func (i *Issuer) Audiences() []string { return i.audiences }

// BoundObject is what a token lives and dies with. A Pod may come with its Node,
// which is then named in the token as well; otherwise at most one is set.
type BoundObject struct {
	Pod    *corev1.Pod
	Secret *corev1.Secret
	Node   *corev1.Node
}

// Issue signs a token for sa as req asks: req.Spec.ExpirationSeconds (3600 if nil) and
// Audiences (the API server's if empty) are taken as they are, checked before by the caller.
// expires is never later than what the token says.
func (i *Issuer) Issue(_ context.Context, req *authenticationv1.TokenRequest, sa *corev1.ServiceAccount, bound BoundObject) (token string, expires time.Time, err error) {
	if bound.Secret != nil && (bound.Pod != nil || bound.Node != nil) {
		return "", time.Time{}, errors.New("internal error, token can only be bound to one object type")
	}
	life := int64(defaultExpiration / time.Second)
	if s := req.Spec.ExpirationSeconds; s != nil {
		life = *s
	}
	audiences := req.Spec.Audiences
	if len(audiences) == 0 {
		audiences = i.audiences
	}
	now := i.clock.Now()
	expires = now.Add(time.Duration(life) * time.Second)
	c := claims{
		Claims: jwt.Claims{
			Issuer:    i.url,
			Subject:   serviceaccount.MakeUsername(sa.Namespace, sa.Name),
			Audience:  audiences,
			IssuedAt:  jwt.NewNumericDate(now),
			NotBefore: jwt.NewNumericDate(now),
			Expiry:    jwt.NewNumericDate(expires),
			ID:        uuid.NewString(),
		},
		Kubernetes: &kubernetesClaims{
			Namespace:      sa.Namespace,
			ServiceAccount: ref{Name: sa.Name, UID: string(sa.UID)},
		},
	}
	if bound.Pod != nil {
		c.Kubernetes.Pod = refTo(bound.Pod)
	}
	if bound.Secret != nil {
		c.Kubernetes.Secret = refTo(bound.Secret)
	}
	if bound.Node != nil {
		c.Kubernetes.Node = refTo(bound.Node)
	}
	token, err = i.sign(c)
	return token, expires.Truncate(time.Second), err
}

// IssueLegacy signs the token that is kept in a Secret of type
// kubernetes.io/service-account-token: it never expires, and ends with the Secret.
func (i *Issuer) IssueLegacy(sa *corev1.ServiceAccount, secret *corev1.Secret) (string, error) {
	return i.sign(claims{
		Claims:          jwt.Claims{Issuer: LegacyIssuer, Subject: serviceaccount.MakeUsername(sa.Namespace, sa.Name)},
		LegacyNamespace: sa.Namespace,
		LegacySecret:    secret.Name,
		LegacyName:      sa.Name,
		LegacyUID:       string(sa.UID),
	})
}

func (i *Issuer) sign(c claims) (string, error) {
	s, err := jwt.Signed(i.signer).Claims(c).Serialize()
	if err != nil {
		return "", fmt.Errorf("sign token of %s: %w", c.Subject, err)
	}
	return s, nil
}

func refTo(o metav1.Object) *ref {
	return &ref{Name: o.GetName(), UID: string(o.GetUID())}
}
