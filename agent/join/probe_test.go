package join

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"skiff/server/pki"
)

// TestProbe looks at servers as a box does that may join. The server is told no
// token.
func TestProbe(t *testing.T) {
	for name, tc := range map[string]struct {
		change   func(*fakeServer)
		token    func(*fakeServer) pki.Token
		server   string
		off, err string
	}{
		"its cluster's":       {token: func(f *fakeServer) pki.Token { return f.token }},
		"without a token":     {},
		"another cluster's":   {token: func(*fakeServer) pki.Token { return pki.Token{Hash: strings.Repeat("0", 64)} }, err: "check --server"},
		"away":                {change: func(f *fakeServer) { f.down = true }, err: "connection refused"},
		"a clock behind":      {change: func(f *fakeServer) { f.ahead = 3 * time.Hour }, off: "3 hours behind"},
		"no server's address": {server: "192.0.2.1", err: "is not an address like https://HOST:6443"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFake(t)
				if tc.change != nil {
					f.set(func() { tc.change(f) })
				}
				var token pki.Token
				if tc.token != nil {
					token = tc.token(f)
				}
				server := "https://192.0.2.1:6443"
				if tc.server != "" {
					server = tc.server
				}
				off, err := probe(t.Context(), f.dial, server, token)
				if off != tc.off || (err == nil) != (tc.err == "") || err != nil && !strings.Contains(err.Error(), tc.err) {
					t.Errorf("%q, %v; want %q, %q", off, err, tc.off, tc.err)
				}
			})
		})
	}
}
