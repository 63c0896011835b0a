package cli_test

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/client-go/kubernetes"

	"skiff/server/api"
	"skiff/server/authn"
	"skiff/server/client"
	"skiff/server/clusterinfo"
	"skiff/server/join"
	"skiff/server/pki"
	"skiff/server/registry/builtin"
	"skiff/store/storetest"
	"skiff/test/script"
)

// TestTokenScripts runs testdata/token, each script beside an API server of its
// own.
func TestTokenScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata/token",
		Setup: func(e *testscript.Env) error {
			config := filepath.Join(e.WorkDir, ".empty.yaml")
			kubeconfig := filepath.Join(e.WorkDir, "kubeconfig.yaml")
			e.Setenv("SKIFF_CONFIG", config)
			e.Setenv("SKIFF_WRITE_KUBECONFIG", kubeconfig)
			e.Setenv("HASH", serveAPI(t, e.Defer, kubeconfig))
			return os.WriteFile(config, nil, 0o600)
		},
		Cmds: script.Commands(),
	})
}

// serveAPI serves the API on loopback, with the server's own token abcdef, and
// writes the administrator's kubeconfig. It returns the authority's hash.
func serveAPI(t *testing.T, atEnd func(func()), kubeconfig string) string {
	t.Helper()
	fatal := func(err error) {
		if err != nil {
			t.Helper()
			t.Fatal(err)
		}
	}
	p, err := pki.Open(pki.Config{Dir: t.TempDir()})
	fatal(err)
	server, err := api.New(api.Config{
		Store: storetest.NewMemory(t), Resources: builtin.Resources(builtin.Deps{}),
		Authenticator: authn.New(authn.Config{ClientCA: p.Client.Pool()}),
		Paths:         map[string]http.Handler{join.AuthoritiesPath: join.Authorities(p.Server.PEM)},
	})
	fatal(err)
	ctx := t.Context()
	k := kubernetes.NewForConfigOrDie(client.InProcess(server, &user.DefaultInfo{Name: "test", Groups: []string{user.SystemPrivilegedGroup}}))
	fatal(join.KeepOwn(ctx, k, pki.Token{ID: "abcdef", Secret: "0123456789abcdef"}, "box"))
	info := clusterinfo.Info{ClusterDomain: "cluster.local", Servers: []string{"https://192.0.2.1:6443"}, ClientCA: p.Client.PEM}
	_, err = k.CoreV1().ConfigMaps(clusterinfo.Namespace).Create(ctx, info.ConfigMap(), metav1.CreateOptions{})
	fatal(err)

	cert, err := p.Certificate(pki.APIServer(pki.ServerNames{NodeIPs: []netip.Addr{netip.MustParseAddr("127.0.0.1")}, ClusterDomain: "cluster.local"}))
	fatal(err)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	fatal(err)
	serveCtx, stop := context.WithCancel(ctx)
	done := make(chan error)
	go func() {
		done <- server.Serve(serveCtx, l, &tls.Config{GetCertificate: cert.GetCertificate, ClientAuth: tls.RequestClientCert, NextProtos: []string{"h2", "http/1.1"}})
	}()
	atEnd(func() {
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	admin, err := p.Certificate(pki.Admin())
	fatal(err)
	chain, key, err := admin.PEM()
	fatal(err)
	fatal(pki.Kubeconfig{Server: "https://" + l.Addr().String(), CA: p.Server.PEM, Certificate: chain, Key: key, Cluster: "skiff", User: "admin", Context: "skiff"}.Write(kubeconfig))
	return p.Server.Hash()
}
