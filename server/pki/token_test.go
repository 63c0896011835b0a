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

func TestParseSecret(t *testing.T) {
	hash := strings.Repeat("0a", 32)
	for s, want := range map[string]Token{
		"skiff." + hash + ".abcdef.0123456789abcdef": {hash, "abcdef", "0123456789abcdef"},
		" abcdef.0123456789abcdef\n":                 {"", "abcdef", "0123456789abcdef"},
		"0123456789abcdef":                           {"", "", "0123456789abcdef"},
	} {
		if got, err := ParseSecret(s); err != nil || got != want {
			t.Errorf("%q: %v, %v", s, got, err)
		}
	}
	for _, s := range []string{"", "secret", "abcdef.0123456789abcde", "0123456789ABCDEF", "skiff.abcdef.0123456789abcdef", "abcdef.0123456789abcdef.x"} {
		if _, err := ParseSecret(s); !errors.Is(err, ErrSecretFormat) {
			t.Errorf("%q: %v", s, err)
		}
	}
}

func TestComplete(t *testing.T) {
	p, _ := openAt(t, t.TempDir(), release)
	hash := p.Server.Hash()
	for name, tc := range map[string]struct{ given, want Token }{
		"nothing":    {Token{}, Token{Hash: hash}},
		"a secret":   {Token{Secret: "0123456789abcdef"}, Token{hash, "", "0123456789abcdef"}},
		"id, secret": {Token{ID: "abcdef", Secret: "0123456789abcdef"}, Token{hash, "abcdef", "0123456789abcdef"}},
		"all":        {Token{hash, "abcdef", "0123456789abcdef"}, Token{hash, "abcdef", "0123456789abcdef"}},
	} {
		got, err := tc.given.Complete(p.Server)
		if err != nil || got.Hash != hash || tc.want.ID != "" && got.ID != tc.want.ID || tc.want.Secret != "" && got.Secret != tc.want.Secret {
			t.Errorf("%s: %v, %v", name, got, err)
		}
		if parsed, err := ParseToken(got.String()); err != nil || parsed != got {
			t.Errorf("%s: %v is no token: %v", name, got.Redacted(), err)
		}
	}
	if _, err := (Token{p.Client.Hash(), "abcdef", "0123456789abcdef"}).Complete(p.Server); err == nil || strings.Contains(err.Error(), "0123456789abcdef") {
		t.Errorf("another cluster's token: %v", err)
	}
}

func TestHashIn(t *testing.T) {
	dir := t.TempDir()
	if h, err := HashIn(dir); h != "" || err != nil {
		t.Errorf("without an authority: %q, %v", h, err)
	}
	p, _ := openAt(t, dir, release)
	if h, err := HashIn(dir); h != p.Server.Hash() || err != nil {
		t.Errorf("%q, %v, want %q", h, err, p.Server.Hash())
	}
}
