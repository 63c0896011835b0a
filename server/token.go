package server

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"

	"skiff/atomicfile"
	"skiff/server/pki"
)

// readToken reads what the user wants agents to join with, if anything.
func (c *Config) readToken() error {
	text, err := TokenText(c.Token, c.TokenFile)
	if err != nil || text == "" {
		return err
	}
	if c.join, err = pki.ParseSecret(text); err != nil {
		return fmt.Errorf("%s: %w", tokenKey(c.TokenFile), err)
	}
	return nil
}

// tokenKey is the key that a token came by.
func tokenKey(file string) string {
	if file != "" {
		return "token-file"
	}
	return "token"
}

// TokenText is the value of the keys token and token-file, of which one may be
// given; "" if none is.
func TokenText(text, file string) (string, error) {
	switch {
	case file == "":
		return strings.TrimSpace(text), nil
	case text != "":
		return "", errors.New("token: give token or token-file, not both")
	}
	b, err := os.ReadFile(file)
	if err != nil {
		return "", fmt.Errorf("token-file: %w", err)
	}
	if text = strings.TrimSpace(string(b)); text == "" {
		return "", fmt.Errorf("token-file: %s is empty", file)
	}
	return text, nil
}

// tokenFile is where the join token is kept, for those who may read the data
// folder.
func (c *Config) tokenFile() string { return filepath.Join(c.DataDir, "token") }

// keepToken returns the token that agents join with, and keeps it: the one that
// the user named, else the one that is kept, else a new one. Of a secret without
// an id the kept id remains.
func (c *Config) keepToken(ca *pki.Authority) (pki.Token, error) {
	kept, err := c.keptToken()
	if err != nil {
		return pki.Token{}, err
	}
	want := c.join
	if want.Secret == "" || want.Secret == kept.Secret && want.ID == "" {
		want.ID, want.Secret = kept.ID, kept.Secret
	}
	token, err := want.Complete(ca)
	if err != nil {
		return pki.Token{}, fmt.Errorf("%s: %w", tokenKey(c.TokenFile), err)
	}
	if token == kept {
		return token, nil
	}
	if err := atomicfile.WriteSync(c.tokenFile(), []byte(token.String()+"\n"), 0o600); err != nil {
		return pki.Token{}, fmt.Errorf("keep the join token: %w", err)
	}
	return token, nil
}

// keptToken reads the kept token, the zero Token if there is none.
func (c *Config) keptToken() (pki.Token, error) {
	b, err := os.ReadFile(c.tokenFile())
	if errors.Is(err, fs.ErrNotExist) {
		return pki.Token{}, nil
	}
	if err != nil {
		return pki.Token{}, fmt.Errorf("read the join token: %w", err)
	}
	token, err := pki.ParseToken(string(b))
	if err != nil {
		slog.Warn("the kept join token is unreadable, a new one takes its place", "path", c.tokenFile(), "err", err)
		return pki.Token{}, nil
	}
	return token, nil
}
