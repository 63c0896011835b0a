package core_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"skiff/server/registry/core"
)

// agent is a node whose answers are the requests it got; it has no earlier
// containers.
type agent struct{ server *httptest.Server }

func newAgent(t *testing.T) *agent {
	s := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Has("previous") {
			http.Error(w, "previous terminated container not found", http.StatusBadRequest)
			return
		}
		_, _ = io.WriteString(w, r.Method+" "+r.URL.String())
	}))
	t.Cleanup(s.Close)
	return &agent{server: s}
}

func (a *agent) Node(context.Context, string) (*core.NodeAddress, error) {
	transport := a.server.Client().Transport
	return &core.NodeAddress{Scheme: "https", Host: a.server.Listener.Addr().String(), Transport: transport, Insecure: transport}, nil
}

func (a *agent) Network(string) http.RoundTripper { return a.server.Client().Transport }

// connect asks a connecting subresource.
func (w *world) connect(plural, sub, name, below, query string) (code int, body string) {
	w.t.Helper()
	s := w.store(plural)
	list := s.Resource().Subresources
	i := slices.IndexFunc(list, func(s registrySubresource) bool { return s.Name == sub })
	h, err := list[i].Connect(s, "default", name, below)
	if err != nil {
		w.t.Fatal(err)
	}
	r := httptest.NewRequestWithContext(w.t.Context(), http.MethodGet, "/x?"+query, nil)
	answer := httptest.NewRecorder()
	h.ServeHTTP(answer, r)
	return answer.Code, answer.Body.String()
}

func TestConnect(t *testing.T) {
	w := newWorld(t, "10.96.0.0/12", core.Deps{Nodes: newAgent(t)})
	for _, p := range []struct {
		name       string
		containers []string
	}{{"one", []string{"c"}}, {"two", []string{"a", "b"}}} {
		w.mustCreate("pods", pod(p.name, p.containers...))
		if _, err := w.post("binding", p.name, binding(p.name, "n1")); err != nil {
			t.Fatal(err)
		}
	}
	w.mustCreate("pods", pod("waiting", "c"))
	tests := []struct {
		plural, sub, name, below, query string
		code                            int
		want                            string
	}{
		{"pods", "log", "one", "", "", 200, "GET /containerLogs/default/one/c"},
		{"pods", "log", "one", "", "tailLines=5&timestamps=true&previous=0", 200, "GET /containerLogs/default/one/c?tailLines=5&timestamps=true"},
		{"pods", "log", "one", "", "previous=true", 400, `"message":"previous terminated container not found"`},
		{"pods", "log", "two", "", "container=b", 200, "GET /containerLogs/default/two/b"},
		{"pods", "log", "two", "", "", 400, "a container name must be specified for pod two, choose one of: [a b]"},
		{"pods", "log", "two", "", "container=x", 400, "container x is not valid for pod two"},
		{"pods", "log", "one", "", "tailLines=-1", 422, "PodLogOptions \\\"one\\\" is invalid: tailLines: Invalid value: -1: must be greater than or equal to 0"},
		{"pods", "log", "waiting", "", "", 204, ""},
		{"pods", "log", "none", "", "", 404, `pods \"none\" not found`},
		{"pods", "exec", "two", "", "command=ls", 400, "a container name must be specified for pod two, choose one of: [a b]"},
		{"pods", "exec", "waiting", "", "command=ls", 400, "pod waiting does not have a host assigned"},
		{"pods", "exec", "one", "", "command=ls&stdout=true", 400, "Upgrade request required"},
		{"nodes", "proxy", "n1", "/healthz", "a=b", 200, "GET /healthz?a=b"},
	}
	for _, tt := range tests {
		code, body := w.connect(tt.plural, tt.sub, tt.name, tt.below, tt.query)
		if code != tt.code || !strings.Contains(body, tt.want) {
			t.Errorf("%s/%s of %s?%s: got %d %s, want %d %s", tt.plural, tt.sub, tt.name, tt.query, code, body, tt.code, tt.want)
		}
	}
}
