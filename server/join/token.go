// Package join lets boxes into the cluster as nodes: the tokens that they show,
// and the authority that they check a server by before they show one.
//
// A token is kept as Kubernetes keeps bootstrap tokens, as a Secret of type
// bootstrap.kubernetes.io/token in kube-system, so that the tools that know those
// work. What a box gets for it, a client certificate, is decided by the controller
// nodeapproval.
//
//	api.Config{
//		Authenticator: authn.New(authn.Config{Tokens: []authenticator.Token{join.NewAuthenticator(secrets, time.Now)}}),
//		Paths:         map[string]http.Handler{join.AuthoritiesPath: join.Authorities(p.Server.PEM)},
//	}
package join

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apiserver/pkg/authentication/user"
)

const (
	// Namespace holds the tokens' Secrets.
	Namespace = metav1.NamespaceSystem
	// SecretType is the type of the tokens' Secrets.
	SecretType corev1.SecretType = "bootstrap.kubernetes.io/token"
	// BootstrapGroup is the group of all who come with a token.
	BootstrapGroup = "system:bootstrappers"
	// RoleAgent lets a box in as a node.
	RoleAgent = "agent"

	secretPrefix = "bootstrap-token-"
	userPrefix   = "system:bootstrap:"
	roleGroup    = BootstrapGroup + ":skiff:"
	// serverLabel is on the token of a server's own, with the server's name.
	serverLabel = "skiff/server"
)

// The keys of a token's Secret, as upstream's.
const (
	keyID          = "token-id"
	keySecret      = "token-secret"
	keyExpiration  = "expiration"
	keyUsage       = "usage-bootstrap-authentication"
	keyGroups      = "auth-extra-groups"
	keyDescription = "description"
)

var (
	idPattern     = regexp.MustCompile(`^[a-z0-9]{6}$`)
	secretPattern = regexp.MustCompile(`^[a-z0-9]{16}$`)
	groupPattern  = regexp.MustCompile(`^system:bootstrappers:[a-z0-9:-]{0,255}[a-z0-9]$`)
)

// Token is one that boxes join with.
type Token struct {
	// ID names the token, 6 characters of a-z0-9; Secret is what proves it, 16 of
	// them.
	ID, Secret  string
	Description string
	// Groups are those that its holder has besides BootstrapGroup.
	Groups []string
	// Expires is when it ends; the zero time is never.
	Expires time.Time
	// Server is the name of the server whose own it is, "" if none's.
	Server string
	// Disabled tells that it is for other uses than to join.
	Disabled bool
}

// ForRole returns t with the group of a role.
func (t Token) ForRole(role string) Token {
	t.Groups = append(slices.Clone(t.Groups), roleGroup+role)
	return t
}

// Role is the role that the token was made for, "" if it was not made by Skiff.
func (t Token) Role() string {
	for _, g := range t.Groups {
		if role, ok := strings.CutPrefix(g, roleGroup); ok {
			return role
		}
	}
	return ""
}

// Expired tells whether the token has ended.
func (t Token) Expired(now time.Time) bool { return !t.Expires.IsZero() && !now.Before(t.Expires) }

// IsID tells whether a text has the form of a token's id.
func IsID(text string) bool { return idPattern.MatchString(text) }

// SecretName is the name of a token's Secret.
func SecretName(id string) string { return secretPrefix + id }

// ToSecret returns the Secret that keeps t.
func (t Token) ToSecret() *corev1.Secret {
	s := &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: Namespace, Name: SecretName(t.ID)},
		Type:       SecretType,
		Data:       map[string][]byte{keyID: []byte(t.ID), keySecret: []byte(t.Secret)},
	}
	optional := map[string]string{keyDescription: t.Description, keyGroups: strings.Join(t.Groups, ",")}
	if !t.Disabled {
		optional[keyUsage] = "true"
	}
	if !t.Expires.IsZero() {
		optional[keyExpiration] = t.Expires.UTC().Format(time.RFC3339)
	}
	for k, v := range optional {
		if v != "" {
			s.Data[k] = []byte(v)
		}
	}
	if t.Server != "" {
		s.Labels = map[string]string{serverLabel: t.Server}
	}
	return s
}

// FromSecret reads a token's Secret, whoever wrote it. Errors never show the
// token's secret.
func FromSecret(s *corev1.Secret) (Token, error) {
	t := Token{
		ID: string(s.Data[keyID]), Secret: string(s.Data[keySecret]), Description: string(s.Data[keyDescription]),
		Server: s.Labels[serverLabel], Disabled: string(s.Data[keyUsage]) != "true",
	}
	bad := func(err error) (Token, error) {
		return Token{}, fmt.Errorf("join token in secret %s/%s: %w", s.Namespace, s.Name, err)
	}
	switch {
	case s.Type != SecretType:
		return bad(fmt.Errorf("its type is not %s", SecretType))
	case !idPattern.MatchString(t.ID):
		return bad(errors.New("token-id is not 6 characters a-z and 0-9"))
	case s.Name != SecretName(t.ID):
		return bad(fmt.Errorf("token-id is %s, which belongs to secret %s", t.ID, SecretName(t.ID)))
	case !secretPattern.MatchString(t.Secret):
		return bad(errors.New("token-secret is not 16 characters a-z and 0-9"))
	}
	for _, g := range strings.FieldsFunc(string(s.Data[keyGroups]), func(r rune) bool { return r == ',' }) {
		if !groupPattern.MatchString(g) {
			return bad(fmt.Errorf("auth-extra-groups: group %q does not begin with %s:", g, BootstrapGroup))
		}
		t.Groups = append(t.Groups, g)
	}
	var err error
	if t.Expires, err = Expiration(s); err != nil {
		return bad(err)
	}
	return t, nil
}

// Expiration is when a token's Secret ends, the zero time for never.
func Expiration(s *corev1.Secret) (time.Time, error) {
	text := string(s.Data[keyExpiration])
	if text == "" {
		return time.Time{}, nil
	}
	at, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return time.Time{}, fmt.Errorf("expiration: %q is not a time like 2026-01-31T12:00:00Z", text)
	}
	return at, nil
}

// user is whom a token stands for.
func (t Token) user() user.Info {
	return &user.DefaultInfo{Name: userPrefix + t.ID, Groups: append([]string{BootstrapGroup}, t.Groups...)}
}
