package authn

import (
	"crypto/x509"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"k8s.io/apiserver/pkg/authentication/authenticator"
	"k8s.io/apiserver/pkg/authentication/user"
)

// The headers in which a front proxy says for whom it speaks.
const (
	userHeader  = "X-Remote-User"
	uidHeader   = "X-Remote-Uid"
	groupHeader = "X-Remote-Group"
	extraPrefix = "X-Remote-Extra-"
)

// frontProxy believes the X-Remote-* headers of a client whose certificate comes
// from the front proxies' authority.
type frontProxy struct {
	verify *verifier
	names  []string
}

func newFrontProxy(ca *x509.CertPool, names []string, now func() time.Time) frontProxy {
	return frontProxy{newVerifier(ca, now), names}
}

func (f frontProxy) AuthenticateRequest(req *http.Request) (*authenticator.Response, bool, error) {
	name := req.Header.Get(userHeader)
	if name == "" || req.TLS == nil || len(req.TLS.PeerCertificates) == 0 {
		return nil, false, nil
	}
	if _, err := f.verify.user(req.TLS.PeerCertificates); err != nil {
		return nil, false, err
	}
	if cn := req.TLS.PeerCertificates[0].Subject.CommonName; len(f.names) > 0 && !slices.Contains(f.names, cn) {
		return nil, false, fmt.Errorf("x509: subject with cn=%s is not in the allowed list", cn)
	}
	u := &user.DefaultInfo{Name: name, UID: req.Header.Get(uidHeader), Groups: req.Header.Values(groupHeader), Extra: extraOf(req.Header)}
	for h := range req.Header {
		if h == userHeader || h == uidHeader || h == groupHeader || strings.HasPrefix(h, extraPrefix) {
			req.Header.Del(h)
		}
	}
	return &authenticator.Response{User: u}, true, nil
}

func extraOf(h http.Header) map[string][]string {
	extra := map[string][]string{}
	for name, values := range h {
		if key, ok := strings.CutPrefix(name, extraPrefix); ok {
			key = strings.ToLower(key)
			if plain, err := url.PathUnescape(key); err == nil {
				key = plain
			}
			extra[key] = append(extra[key], values...)
		}
	}
	return extra
}
