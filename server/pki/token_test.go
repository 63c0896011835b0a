package pki

import (
	"errors"
	"strings"
	"testing"
)

func TestTokenRoundTrip(t *testing.T) {
	p, _ := openAt(t, t.TempDir(), release)
	tok, err := NewToken(p.Server)
	if err != nil {
		t.Fatal(err)
	}
	got, err := ParseToken(" " + tok.String() + "\n")
	if err != nil || got != tok {
		t.Fatalf("got %v, %v", got, err)
	}
	if strings.Contains(tok.Redacted(), tok.Secret) {
		t.Error("the redacted form shows the secret")
	}
	if err := tok.VerifyAuthority(p.Server.Cert); err != nil {
		t.Error(err)
	}
	if err := tok.VerifyAuthority(p.Client.Cert); err == nil {
		t.Error("another authority passes")
	}
	other, err := NewToken(p.Server)
	if err != nil {
		t.Fatal(err)
	}
	other.ID = tok.ID
	if tok.Matches(other) || !tok.Matches(got) {
		t.Error("Matches does not compare secrets")
	}
}

func TestParseTokenRefuses(t *testing.T) {
	hash := strings.Repeat("0a", 32)
	for _, s := range []string{
		"", "skiff", "skiff." + hash + ".abcdef", "skiff." + hash + ".abcdef.short",
		"K10" + hash + "::server:abc", "skiff." + hash[:60] + ".abcdef.0123456789abcdef",
		"skiff." + hash + ".ABCDEF.0123456789abcdef", "skiff." + hash + ".abcdef.0123456789abcdef.x",
	} {
		if _, err := ParseToken(s); !errors.Is(err, ErrTokenFormat) {
			t.Errorf("%q: %v", s, err)
		}
	}
}
