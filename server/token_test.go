package server

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"skiff/server/pki"
)

const (
	someSecret  = "0123456789abcdef"
	otherSecret = "fedcba9876543210"
)

func newPKI(t *testing.T) *pki.PKI {
	t.Helper()
	p, err := pki.Open(pki.Config{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// keep is a start with a token or without; it checks what is kept.
func keep(t *testing.T, dataDir string, p *pki.PKI, given string) pki.Token {
	t.Helper()
	c := Config{DataDir: dataDir, Token: given}
	if err := c.readToken(); err != nil {
		t.Fatal(err)
	}
	token, err := c.keepToken(p.Server)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dataDir, "token")
	b, err := os.ReadFile(path)
	if err != nil || string(b) != token.String()+"\n" {
		t.Errorf("kept %q, %v; the token is %s", b, err, token)
	}
	if st, err := os.Stat(path); err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", st.Mode(), err)
	}
	return token
}

// TestKeepToken goes through the starts of one server.
func TestKeepToken(t *testing.T) {
	dir, p := t.TempDir(), newPKI(t)
	made := keep(t, dir, p, "")
	if made.Hash != p.Server.Hash() {
		t.Errorf("the token %s is not for this authority", made)
	}
	if again := keep(t, dir, p, ""); again != made {
		t.Errorf("the next start has another token: %s, not %s", again, made)
	}
	named := keep(t, dir, p, someSecret)
	if named.Secret != someSecret {
		t.Errorf("a secret was named, the token is %s", named)
	}
	if again := keep(t, dir, p, someSecret); again != named {
		t.Errorf("the same secret has another id: %s, not %s", again, named)
	}
	if again := keep(t, dir, p, ""); again != named {
		t.Errorf("without the flag: %s, not %s", again, named)
	}
	whole := pki.Token{Hash: p.Server.Hash(), ID: "abcdef", Secret: otherSecret}
	if got := keep(t, dir, p, whole.String()); got != whole {
		t.Errorf("a whole token was named: %s", got)
	}
	if got := keep(t, dir, p, "fedcba."+someSecret); got.ID != "fedcba" || got.Secret != someSecret {
		t.Errorf("id and secret were named: %s", got)
	}
	if err := os.WriteFile(filepath.Join(dir, "token"), []byte("skiff.broken"), 0o644); err != nil {
		t.Fatal(err)
	}
	keep(t, dir, p, "") // a damaged one keeps nobody from starting
}

// TestOtherClustersToken: what is kept stays as it is.
func TestOtherClustersToken(t *testing.T) {
	dir, p := t.TempDir(), newPKI(t)
	made := keep(t, dir, p, "")
	c := Config{DataDir: dir, Token: pki.Token{Hash: p.Client.Hash(), ID: "abcdef", Secret: someSecret}.String()}
	if err := c.readToken(); err != nil {
		t.Fatal(err)
	}
	if _, err := c.keepToken(p.Server); err == nil || !strings.HasPrefix(err.Error(), "token: this token is for another cluster") || strings.Contains(err.Error(), someSecret) {
		t.Errorf("error %v", err)
	}
	if again := keep(t, dir, p, ""); again != made {
		t.Errorf("it is %s now, not %s", again, made)
	}
}
