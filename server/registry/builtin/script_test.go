package builtin

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"log/slog"
	"net/http"
	"net/netip"
	"testing"

	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/client-go/kubernetes"

	"skiff/server/admission/plugins"
	"skiff/server/api"
	"skiff/server/api/apitest"
	"skiff/server/authn/token"
	"skiff/server/client"
	"skiff/server/registry/core"
	"skiff/store/storetest"
)

// newServer returns an API server with all resources and admission.
func newServer(t *testing.T) http.Handler { return newServerWith(t, nil) }

// newServerWith returns one that reaches nodes.
func newServerWith(t *testing.T, nodes core.NodeConn) http.Handler {
	t.Helper()
	var srv *api.Server
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { srv.ServeHTTP(w, r) })
	admin := kubernetes.NewForConfigOrDie(client.InProcess(handler, &user.DefaultInfo{Name: "admin", Groups: []string{user.SystemPrivilegedGroup}}))
	informers := client.Informers(admin)
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	issuer, err := token.NewIssuer(token.Config{URL: "https://kubernetes.default.svc", Key: key})
	if err != nil {
		t.Fatal(err)
	}
	srv, err = api.New(api.Config{
		Store: storetest.NewMemory(t),
		Resources: Resources(Deps{Core: core.Deps{
			ServiceCIDRs: []netip.Prefix{netip.MustParsePrefix("10.43.0.0/16")}, Token: issuer.Create, Nodes: nodes,
		}}),
		Admission: plugins.Default(plugins.Deps{Informers: informers, Client: admin}),
		Logger:    slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(srv.Shutdown)
	return srv
}

// TestScripts replays the HTTP conversations in testdata/scripts. What they say is
// what Kubernetes v1.37 answers.
func TestScripts(t *testing.T) {
	apitest.Scripts(t, "testdata/scripts/*.txtar", newServer)
}
