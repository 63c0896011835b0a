package authn

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"k8s.io/apiserver/pkg/authentication/authenticator"
	"k8s.io/apiserver/pkg/authentication/user"
	testclock "k8s.io/utils/clock/testing"

	"skiff/server/pki"
)

var start = time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)

// good knows the token "good", and fails on "broken".
var good = authenticator.TokenFunc(func(_ context.Context, text string) (*authenticator.Response, bool, error) {
	switch text {
	case "good":
		return &authenticator.Response{User: &user.DefaultInfo{Name: "bob", Groups: []string{"users"}}}, true, nil
	case "broken":
		return nil, false, errors.New("token is broken")
	}
	return nil, false, nil
})

type rig struct {
	*Authenticator
	pki *pki.PKI
	clk *testclock.FakeClock
}

func newRig(t *testing.T, anonymous bool) rig {
	t.Helper()
	clk := testclock.NewFakeClock(start)
	p, err := pki.Open(pki.Config{Dir: t.TempDir(), Clock: clk})
	if err != nil {
		t.Fatal(err)
	}
	return rig{New(Config{
		ClientCA: p.Client.Pool(), FrontProxyCA: p.FrontProxy.Pool(), FrontProxyNames: []string{"front-proxy-client"},
		Tokens: []authenticator.Token{good}, Audiences: authenticator.Audiences{"api"}, Anonymous: anonymous, Now: clk.Now,
	}), p, clk}
}

func (r rig) leaf(t *testing.T, id pki.Identity) *x509.Certificate {
	t.Helper()
	c, err := r.pki.Certificate(id)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := c.Get()
	if err != nil {
		t.Fatal(err)
	}
	return cert.Leaf
}

func request(certs ...*x509.Certificate) *http.Request {
	req := httptest.NewRequest("GET", "https://box/api", nil)
	req.TLS = &tls.ConnectionState{PeerCertificates: certs}
	return req
}

func describe(resp *authenticator.Response, ok bool, err error) string {
	switch {
	case err != nil:
		return "error: " + err.Error()
	case !ok:
		return "nobody"
	}
	return resp.User.GetName() + " " + strings.Join(resp.User.GetGroups(), ",")
}

func TestAuthenticateRequest(t *testing.T) {
	r := newRig(t, true)
	bearerOf := func(v string) func(*http.Request) {
		return func(req *http.Request) { req.Header.Set("Authorization", v) }
	}
	subprotocol := func(v string) func(*http.Request) {
		return func(req *http.Request) {
			req.Header.Set("Upgrade", "websocket")
			req.Header.Set("Connection", "keep-alive, Upgrade")
			req.Header.Set("Sec-WebSocket-Protocol", v)
		}
	}
	b64 := func(s string) string { return protocolPrefix + base64.RawURLEncoding.EncodeToString([]byte(s)) }
	admin := r.leaf(t, pki.Admin())
	for name, tc := range map[string]struct {
		cert  *x509.Certificate
		setup func(*http.Request)
		want  string
	}{
		"nothing":              {nil, nil, "system:anonymous system:unauthenticated"},
		"admin's certificate":  {admin, nil, "system:admin system:masters,system:authenticated"},
		"node's certificate":   {r.leaf(t, pki.KubeletClient("box")), nil, "system:node:box system:nodes,system:authenticated"},
		"serving certificate":  {r.leaf(t, pki.KubeletServing("box", nil)), nil, "error: verifying certificate"},
		"front proxy for none": {r.leaf(t, pki.FrontProxyClient()), nil, "error: verifying certificate"},
		"token":                {nil, bearerOf("Bearer good"), "bob users,system:authenticated"},
		"token, other case":    {nil, bearerOf("bearer good"), "bob users,system:authenticated"},
		"unknown token":        {nil, bearerOf("Bearer bad"), "error: invalid bearer token"},
		"broken token":         {nil, bearerOf("Bearer broken"), "error: token is broken"},
		"basic":                {nil, bearerOf("Basic Zm9v"), "system:anonymous system:unauthenticated"},
		"certificate wins":     {admin, bearerOf("Bearer bad"), "system:admin system:masters,system:authenticated"},
		"websocket":            {nil, subprotocol("v5.channel.k8s.io, " + b64("good")), "bob users,system:authenticated"},
		"websocket alone":      {nil, subprotocol(b64("good")), "error: missing additional subprotocol"},
		"websocket twice":      {nil, subprotocol("a," + b64("good") + "," + b64("good")), "error: multiple base64.bearer.authorization tokens specified"},
		"headers of a stranger": {nil, func(req *http.Request) { req.Header.Set("X-Remote-User", "eve") },
			"system:anonymous system:unauthenticated"},
		"headers with a user's certificate": {admin, func(req *http.Request) { req.Header.Set("X-Remote-User", "eve") },
			"system:admin system:masters,system:authenticated"},
	} {
		t.Run(name, func(t *testing.T) {
			req := request()
			if tc.cert != nil {
				req = request(tc.cert)
			}
			if tc.setup != nil {
				tc.setup(req)
			}
			if got := describe(r.AuthenticateRequest(req)); !strings.HasPrefix(got, tc.want) {
				t.Errorf("got %s, want %s", got, tc.want)
			}
			if h := req.Header.Get("Authorization"); h == "Bearer good" && tc.cert == nil {
				t.Error("the token is still in the request")
			}
			if h := req.Header.Get("Sec-WebSocket-Protocol"); strings.HasPrefix(tc.want, "bob") && strings.Contains(h, protocolPrefix) {
				t.Error("the token is still among the subprotocols")
			}
		})
	}
}

func TestAnonymousCanBeOff(t *testing.T) {
	r := newRig(t, false)
	if got := describe(r.AuthenticateRequest(request())); got != "nobody" {
		t.Errorf("got %s", got)
	}
}

func TestCertificateByTheClock(t *testing.T) {
	r := newRig(t, false)
	cert := r.leaf(t, pki.Admin())
	for _, tc := range []struct {
		now  time.Time
		good bool
	}{{start, true}, {start, true}, {time.Unix(1, 0), true}, {start.AddDate(1, 0, 1), false}, {start, true}} {
		r.clk.SetTime(tc.now)
		if _, ok, err := r.AuthenticateRequest(request(cert)); ok != tc.good {
			t.Errorf("at %v: %v, %v", tc.now, ok, err)
		}
	}
}

func TestFrontProxy(t *testing.T) {
	r := newRig(t, false)
	req := request(r.leaf(t, pki.FrontProxyClient()))
	req.Header.Set("X-Remote-User", "carol")
	req.Header.Add("X-Remote-Group", "a")
	req.Header.Add("X-Remote-Group", "b")
	req.Header.Set("X-Remote-Extra-Example.org%2fscope", "s")
	resp, ok, err := r.AuthenticateRequest(req)
	if got := describe(resp, ok, err); got != "carol a,b,system:authenticated" {
		t.Fatalf("got %s", got)
	}
	if e := resp.User.GetExtra()["example.org/scope"]; len(e) != 1 || e[0] != "s" {
		t.Errorf("extra %v", resp.User.GetExtra())
	}
	if req.Header.Get("X-Remote-User") != "" {
		t.Error("the headers are still in the request")
	}
	id := pki.FrontProxyClient()
	id.Name, id.CommonName = "other", "other"
	req = request(r.leaf(t, id))
	req.Header.Set("X-Remote-User", "carol")
	if got := describe(r.AuthenticateRequest(req)); !strings.Contains(got, "x509: subject with cn=other is not in the allowed list") {
		t.Errorf("got %s", got)
	}
}

func TestCredentialOfCertificate(t *testing.T) {
	r := newRig(t, false)
	resp, _, err := r.AuthenticateRequest(request(r.leaf(t, pki.Admin())))
	if err != nil {
		t.Fatal(err)
	}
	id := resp.User.GetExtra()[user.CredentialIDKey]
	if len(id) != 1 || !strings.HasPrefix(id[0], "X509SHA256=") || len(id[0]) != len("X509SHA256=")+64 {
		t.Errorf("%v", id)
	}
	if len(resp.Audiences) != 1 || resp.Audiences[0] != "api" {
		t.Errorf("audiences %v", resp.Audiences)
	}
}

func TestAudiencesOfContext(t *testing.T) {
	r := newRig(t, false)
	heard := authenticator.TokenFunc(func(ctx context.Context, _ string) (*authenticator.Response, bool, error) {
		auds, _ := authenticator.AudiencesFrom(ctx)
		return &authenticator.Response{User: &user.DefaultInfo{Name: strings.Join(auds, ",")}}, true, nil
	})
	a := New(Config{Tokens: []authenticator.Token{heard}, Audiences: authenticator.Audiences{"api"}, Now: r.clk.Now})
	for want, ctx := range map[string]context.Context{"api": t.Context(), "vault": authenticator.WithAudiences(t.Context(), authenticator.Audiences{"vault"})} {
		req := request().WithContext(ctx)
		req.Header.Set("Authorization", "Bearer x")
		resp, _, err := a.AuthenticateRequest(req)
		if err != nil || resp.User.GetName() != want {
			t.Errorf("verified for %v, want %s (%v)", resp, want, err)
		}
	}
}
