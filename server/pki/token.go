package pki

import (
	"crypto/rand"
	"crypto/subtle"
	"crypto/x509"
	"errors"
	"fmt"
	"regexp"
	"strings"
)

// Token is what a joining node is given: skiff.<hash>.<id>.<secret>. Hash is that
// of the cluster's server authority (Authority.Hash), by which the joiner checks
// the server before it sends the secret. ID and Secret have the form of
// Kubernetes bootstrap tokens (6 and 16 characters of a-z0-9), so that they can be
// kept as such.
type Token struct {
	Hash, ID, Secret string
}

const tokenPrefix = "skiff"

var tokenPattern = regexp.MustCompile(`^skiff\.([0-9a-f]{64})\.([a-z0-9]{6})\.([a-z0-9]{16})$`)

// ErrTokenFormat tells that a text is not a join token.
var ErrTokenFormat = errors.New("not a join token: want skiff.<hash>.<id>.<secret>")

// NewToken makes a random token for the cluster with the given authority.
func NewToken(server *Authority) (Token, error) { return RandomToken(server.Hash()) }

// RandomToken makes a random token for the cluster whose authority has the hash.
func RandomToken(hash string) (Token, error) {
	id, err := randomText(6)
	if err != nil {
		return Token{}, err
	}
	secret, err := randomText(16)
	if err != nil {
		return Token{}, err
	}
	return Token{Hash: hash, ID: id, Secret: secret}, nil
}

// ParseToken parses the text form; ErrTokenFormat if it is none.
func ParseToken(s string) (Token, error) {
	m := tokenPattern.FindStringSubmatch(strings.TrimSpace(s))
	if m == nil {
		return Token{}, ErrTokenFormat
	}
	return Token{Hash: m[1], ID: m[2], Secret: m[3]}, nil
}

// secretPattern is a token without its hash, or its secret alone.
var secretPattern = regexp.MustCompile(`^(?:([a-z0-9]{6})\.)?([a-z0-9]{16})$`)

// ErrSecretFormat tells that a text is neither a join token nor a secret for one.
var ErrSecretFormat = errors.New("must be a secret of 16 characters a-z and 0-9, or ID.SECRET with an id of 6, or a whole token skiff.<hash>.<id>.<secret>")

// ParseSecret reads what a server may be told to take as its token: a whole one,
// ID.SECRET, or a secret alone. Hash and ID are "" if s has none; ErrSecretFormat
// if it is none of these. Errors never show s.
func ParseSecret(s string) (Token, error) {
	if t, err := ParseToken(s); err == nil {
		return t, nil
	}
	m := secretPattern.FindStringSubmatch(strings.TrimSpace(s))
	if m == nil {
		return Token{}, ErrSecretFormat
	}
	return Token{ID: m[1], Secret: m[2]}, nil
}

// Complete returns t for the cluster with the given authority, with a random id
// or secret where t has none. A hash that is another cluster's is an error.
func (t Token) Complete(server *Authority) (Token, error) {
	if t.Hash != "" && t.Hash != server.Hash() {
		return Token{}, fmt.Errorf("this token is for another cluster: its authority is %s, this one's %s", t.Hash, server.Hash())
	}
	fresh, err := NewToken(server)
	if err != nil {
		return Token{}, err
	}
	if t.ID != "" {
		fresh.ID = t.ID
	}
	if t.Secret != "" {
		fresh.Secret = t.Secret
	}
	return fresh, nil
}

// String returns the text form, secret included.
func (t Token) String() string {
	return strings.Join([]string{tokenPrefix, t.Hash, t.ID, t.Secret}, ".")
}

// Redacted returns the text form for logs, without the secret.
func (t Token) Redacted() string {
	return strings.Join([]string{tokenPrefix, t.Hash, t.ID, "***"}, ".")
}

// Matches tells whether t and the presented token have the same id and secret;
// its time does not depend on how much of the secret is right.
func (t Token) Matches(presented Token) bool {
	return t.ID == presented.ID && subtle.ConstantTimeCompare([]byte(t.Secret), []byte(presented.Secret)) == 1
}

// VerifyAuthority tells whether ca is the authority that the token was made for.
func (t Token) VerifyAuthority(ca *x509.Certificate) error {
	if h := publicKeyHash(ca); subtle.ConstantTimeCompare([]byte(h), []byte(t.Hash)) != 1 {
		return fmt.Errorf("the server's authority has hash %s, the token says %s: this is not the cluster that the token was made for", h, t.Hash)
	}
	return nil
}

const tokenAlphabet = "abcdefghijklmnopqrstuvwxyz0123456789"

// randomText returns n characters of tokenAlphabet, evenly distributed.
func randomText(n int) (string, error) {
	out := make([]byte, 0, n)
	buf := make([]byte, 2*n)
	for len(out) < n {
		if _, err := rand.Read(buf); err != nil {
			return "", fmt.Errorf("make token: %w", err)
		}
		for _, b := range buf {
			// 252 is the largest multiple of 36 in a byte.
			if b < 252 && len(out) < n {
				out = append(out, tokenAlphabet[b%36])
			}
		}
	}
	return string(out), nil
}
