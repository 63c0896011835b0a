package authn

import (
	"encoding/base64"
	"errors"
	"net/http"
	"net/textproto"
	"slices"
	"strings"
	"unicode/utf8"

	"k8s.io/apiserver/pkg/authentication/authenticator"
)

// errInvalidToken is told instead of "nobody" when a token was shown that no one
// knows.
var errInvalidToken = errors.New("invalid bearer token")

// bearer authenticates by the Authorization header (RFC 6750), or by a WebSocket
// subprotocol, as browsers cannot set headers there.
type bearer struct{ tokens tokens }

func (b bearer) AuthenticateRequest(req *http.Request) (*authenticator.Response, bool, error) {
	text := headerToken(req.Header)
	strip := func() { req.Header.Del("Authorization") }
	if text == "" {
		var rest []string
		var err error
		if text, rest, err = protocolToken(req); text == "" || err != nil {
			return nil, false, err
		}
		strip = func() { req.Header.Set(protocolHeader, strings.Join(rest, ",")) }
	}
	resp, ok, err := b.tokens.AuthenticateToken(req.Context(), text)
	if err == nil && !ok {
		err = errInvalidToken
	}
	if err != nil {
		return nil, false, err
	}
	// Nobody behind this one has a use for the secret.
	strip()
	return resp, true, nil
}

// headerToken returns the token of "Bearer TOKEN", or "".
func headerToken(h http.Header) string {
	auth := strings.TrimSpace(h.Get("Authorization"))
	scheme, text, ok := strings.Cut(auth, " ")
	if !ok || !strings.EqualFold(scheme, "bearer") {
		return ""
	}
	text, _, _ = strings.Cut(text, " ")
	return text
}

const (
	protocolHeader = "Sec-Websocket-Protocol"
	protocolPrefix = "base64url.bearer.authorization.k8s.io."
)

// protocolToken returns the token among the WebSocket subprotocols, and the other
// subprotocols. One of those is needed: the server must not answer with the token.
func protocolToken(req *http.Request) (text string, rest []string, err error) {
	if !strings.EqualFold(req.Header.Get("Upgrade"), "websocket") || !slices.ContainsFunc(req.Header["Connection"], isUpgrade) {
		return "", nil, nil
	}
	for _, line := range req.Header[protocolHeader] {
		for p := range strings.SplitSeq(line, ",") {
			p = textproto.TrimString(p)
			encoded, found := strings.CutPrefix(p, protocolPrefix)
			if !found {
				rest = append(rest, p)
				continue
			}
			if text != "" {
				return "", nil, errors.New("multiple base64.bearer.authorization tokens specified")
			}
			if encoded == "" {
				return "", nil, errors.New("missing bearer token")
			}
			raw, err := base64.RawURLEncoding.DecodeString(encoded)
			if err != nil || !utf8.Valid(raw) {
				return "", nil, errors.New("invalid base64.bearer.authorization token encoding")
			}
			text = string(raw)
		}
	}
	if text != "" && len(rest) == 0 {
		return "", nil, errors.New("missing additional subprotocol")
	}
	return text, rest, nil
}

func isUpgrade(v string) bool {
	return strings.Contains(strings.ToLower(v), "upgrade")
}
