package nodeapproval_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	certificatesv1 "k8s.io/api/certificates/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apiserver/pkg/authentication/authenticator"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/utils/clock"

	"skiff/server/admission/plugins"
	"skiff/server/api"
	"skiff/server/authn"
	"skiff/server/authz"
	"skiff/server/authz/bootstrap"
	"skiff/server/client"
	"skiff/server/controller"
	"skiff/server/controllers/certificates"
	"skiff/server/controllers/nodeapproval"
	"skiff/server/controllers/tokencleaner"
	"skiff/server/join"
	"skiff/server/pki"
	"skiff/server/registry/authorization"
	"skiff/server/registry/builtin"
	certificatesregistry "skiff/server/registry/certificates"
	"skiff/server/registry/core"
	"skiff/store/storetest"
)

// cluster is the real API server, with those who decide about nodes, in memory
// and in virtual time.
type cluster struct {
	t     *testing.T
	pki   *pki.PKI
	api   http.Handler
	admin kubernetes.Interface
}

// start starts the server of node "server", at 192.0.2.1.
func start(t *testing.T) *cluster {
	t.Helper()
	// Certificates of a 1970's clock would be those of the first start.
	time.Sleep(time.Until(pki.Epoch.AddDate(0, 1, 0)))
	ctx, cancel := context.WithCancel(t.Context())
	p, err := pki.Open(pki.Config{Dir: t.TempDir()})
	must(t, err)
	var server *api.Server
	c := &cluster{t: t, pki: p, api: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { server.ServeHTTP(w, r) })}
	c.admin = kubernetes.NewForConfigOrDie(client.InProcess(c.api, &user.DefaultInfo{Name: "admin", Groups: []string{user.SystemPrivilegedGroup, user.AllAuthenticated}}))
	f := client.Informers(c.admin)
	rights, err := authz.New(authz.Config{Informers: f, Client: c.admin})
	must(t, err)
	serviceRange := netip.MustParsePrefix("10.43.0.0/16")
	server, err = api.New(api.Config{
		Store: storetest.NewMemory(t),
		Resources: builtin.Resources(builtin.Deps{
			Core:          core.Deps{ServiceCIDRs: []netip.Prefix{serviceRange}, Authorizer: rights},
			Certificates:  certificatesregistry.Deps{Authorizer: rights},
			Authorization: authorization.Deps{Authorizer: rights, Rules: rights},
		}),
		Authenticator: authn.New(authn.Config{
			ClientCA: p.Client.Pool(), Anonymous: true,
			Tokens: []authenticator.Token{join.NewAuthenticator(c.admin.CoreV1().Secrets(join.Namespace), time.Now)},
		}),
		Authorizer: rights, Admission: plugins.Default(plugins.Deps{Informers: f, Client: c.admin, Authorizer: rights}),
		Paths: map[string]http.Handler{join.AuthoritiesPath: join.Authorities(p.Server.PEM)},
	})
	must(t, err)
	must(t, bootstrap.Ensure(ctx, c.admin))
	names := pki.ServerNames{NodeName: "server", ClusterDomain: "cluster.local", NodeIPs: []netip.Addr{netip.MustParseAddr("192.0.2.1")}, Extra: []string{"*.example.com"}}
	clk := clock.RealClock{}
	list := []controller.Controller{
		nodeapproval.New(c.admin, f, clk, nodeapproval.Config{
			ServerNames:  names.Names,
			ServiceCIDRs: []netip.Prefix{serviceRange}, ClusterCIDRs: []netip.Prefix{netip.MustParsePrefix("10.42.0.0/16")},
		}),
		nodeapproval.NewKeys(c.admin, f, clk), tokencleaner.New(c.admin, clk),
		certificates.New(c.admin, f, clk, certificates.Config{Client: p.Client, Serving: p.Server}),
	}
	log := slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn}))
	done := make(chan error)
	go func() {
		done <- controller.Run(ctx, controller.Config{Logger: log, StartInformers: f.StartWithContext}, list)
	}()
	t.Cleanup(func() {
		cancel()
		must(t, <-done)
		f.Shutdown()
	})
	synctest.Wait()
	return c
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// outside is a connection from another box: what its user is, the server finds
// out.
type outside struct {
	api   http.Handler
	token string
	certs []*x509.Certificate
}

// RoundTrip implements http.RoundTripper.
func (o outside) RoundTrip(r *http.Request) (*http.Response, error) {
	req := r.Clone(r.Context())
	req.RequestURI, req.RemoteAddr, req.TLS = r.URL.RequestURI(), "192.0.2.9:1234", &tls.ConnectionState{PeerCertificates: o.certs}
	if req.Body == nil {
		req.Body = http.NoBody
	}
	if o.token != "" {
		req.Header.Set("Authorization", "Bearer "+o.token)
	}
	w := httptest.NewRecorder()
	o.api.ServeHTTP(w, req)
	return w.Result(), nil
}

func (o outside) client() kubernetes.Interface {
	return kubernetes.NewForConfigOrDie(&rest.Config{Host: "https://192.0.2.1:6443", Transport: o, QPS: -1})
}

// box is one that joins; it has one key.
type box struct {
	*cluster
	key  *ecdsa.PrivateKey
	user outside
}

func (c *cluster) box(token string) *box {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(c.t, err)
	return &box{c, key, outside{api: c.api, token: token}}
}

var (
	clientUsages  = []certificatesv1.KeyUsage{certificatesv1.UsageDigitalSignature, certificatesv1.UsageClientAuth}
	servingUsages = []certificatesv1.KeyUsage{certificatesv1.UsageDigitalSignature, certificatesv1.UsageServerAuth}
)

// ask asks for a certificate, and tells what became of that: the reason and
// message of a refusal, "" if it was issued, "pending" if nobody answered.
func (b *box) ask(signer, node string, usages []certificatesv1.KeyUsage, sans ...string) (*x509.Certificate, string, error) {
	tmpl := &x509.CertificateRequest{Subject: pkix.Name{CommonName: "system:node:" + node, Organization: []string{"system:nodes"}}}
	for _, san := range sans {
		if ip := net.ParseIP(san); ip != nil {
			tmpl.IPAddresses = append(tmpl.IPAddresses, ip)
		} else {
			tmpl.DNSNames = append(tmpl.DNSNames, san)
		}
	}
	der, err := x509.CreateCertificateRequest(rand.Reader, tmpl, b.key)
	must(b.t, err)
	csrs := b.user.client().CertificatesV1().CertificateSigningRequests()
	csr, err := csrs.Create(b.t.Context(), &certificatesv1.CertificateSigningRequest{
		ObjectMeta: metav1.ObjectMeta{GenerateName: "node-csr-"},
		Spec: certificatesv1.CertificateSigningRequestSpec{
			Request:    pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der}),
			SignerName: signer, Usages: usages,
		},
	}, metav1.CreateOptions{})
	if err != nil {
		return nil, "", err
	}
	time.Sleep(time.Second)
	csr, err = csrs.Get(b.t.Context(), csr.Name, metav1.GetOptions{})
	must(b.t, err)
	for _, cond := range csr.Status.Conditions {
		if cond.Type == certificatesv1.CertificateDenied {
			return nil, cond.Reason + ": " + cond.Message, nil
		}
	}
	block, _ := pem.Decode(csr.Status.Certificate)
	if block == nil {
		return nil, "pending", nil
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	must(b.t, err)
	return cert, "", nil
}

// join asks for a client certificate, and is that user from then on if it gets
// one.
func (b *box) join(node string) string {
	cert, refused, err := b.ask(certificatesv1.KubeAPIServerClientKubeletSignerName, node, clientUsages)
	if err != nil {
		return fmt.Sprint(err)
	}
	if cert != nil {
		b.user = outside{api: b.api, certs: []*x509.Certificate{cert}}
	}
	return refused
}
