package certificates_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	certificatesv1 "k8s.io/api/certificates/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"skiff/server/controller"
	"skiff/server/controller/controllertest"
	"skiff/server/controllers/certificates"
)

// signer remembers what it signed.
type signer struct {
	subjects []string
	life     time.Duration
}

func (s *signer) Sign(tmpl *x509.Certificate, _ crypto.PublicKey, _ time.Time, life time.Duration) ([]byte, error) {
	s.subjects = append(s.subjects, tmpl.Subject.CommonName)
	s.life = life
	return []byte("DER"), nil
}

func request(t *testing.T, tmpl x509.CertificateRequest) []byte {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.CreateCertificateRequest(rand.Reader, &tmpl, key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der})
}

func TestSigns(t *testing.T) {
	node := pkix.Name{CommonName: "system:node:n", Organization: []string{"system:nodes"}}
	client := []certificatesv1.KeyUsage{"digital signature", "client auth"}
	serving := []certificatesv1.KeyUsage{"digital signature", "key encipherment", "server auth"}
	for name, c := range map[string]struct {
		signer   string
		req      x509.CertificateRequest
		usages   []certificatesv1.KeyUsage
		approved bool
		client   bool   // signed by the client authority
		serving  bool   // signed by the serving authority
		failed   string // condition's message
	}{
		"kubelet client":     {certificatesv1.KubeAPIServerClientKubeletSignerName, x509.CertificateRequest{Subject: node}, client, true, true, false, ""},
		"not approved":       {certificatesv1.KubeAPIServerClientSignerName, x509.CertificateRequest{Subject: node}, client, false, false, false, ""},
		"kubelet serving":    {certificatesv1.KubeletServingSignerName, x509.CertificateRequest{Subject: node, DNSNames: []string{"n"}}, serving, true, false, true, ""},
		"serving for nobody": {certificatesv1.KubeletServingSignerName, x509.CertificateRequest{Subject: node}, serving, true, false, false, "DNS or IP subjectAltName is required"},
		"client as server":   {certificatesv1.KubeAPIServerClientSignerName, x509.CertificateRequest{Subject: node}, serving, true, false, false, "invalid usage for client certificate: server auth"},
		"kubelet of a user": {certificatesv1.KubeAPIServerClientKubeletSignerName,
			x509.CertificateRequest{Subject: pkix.Name{CommonName: "eve", Organization: []string{"system:nodes"}}}, client, true, false, false,
			"subject common name does not begin with system:node:"},
		"another's signer": {"example.com/signer", x509.CertificateRequest{Subject: node}, client, true, false, false, ""},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				cl, sv := &signer{}, &signer{}
				e, stop := start(t, cl, sv)
				defer stop()
				csrs := e.Client.CertificatesV1().CertificateSigningRequests()
				csr := &certificatesv1.CertificateSigningRequest{
					ObjectMeta: metav1.ObjectMeta{Name: "r"},
					Spec:       certificatesv1.CertificateSigningRequestSpec{SignerName: c.signer, Usages: c.usages, Request: request(t, c.req)},
				}
				if c.approved {
					csr.Status.Conditions = []certificatesv1.CertificateSigningRequestCondition{{Type: certificatesv1.CertificateApproved, Status: corev1.ConditionTrue}}
				}
				if _, err := csrs.Create(t.Context(), csr, metav1.CreateOptions{}); err != nil {
					t.Fatal(err)
				}
				synctest.Wait()
				got, err := csrs.Get(t.Context(), "r", metav1.GetOptions{})
				if err != nil {
					t.Fatal(err)
				}
				if (len(cl.subjects) > 0) != c.client || (len(sv.subjects) > 0) != c.serving || (len(got.Status.Certificate) > 0) != (c.client || c.serving) {
					t.Errorf("signed by client %v, by serving %v, status %v", cl.subjects, sv.subjects, got.Status)
				}
				i := slices.IndexFunc(got.Status.Conditions, func(c certificatesv1.CertificateSigningRequestCondition) bool {
					return c.Type == certificatesv1.CertificateFailed
				})
				msg := ""
				if i >= 0 {
					msg = got.Status.Conditions[i].Message
				}
				if msg != c.failed {
					t.Errorf("failed with %q, want %q", msg, c.failed)
				}
				// Old requests are removed, whatever became of them.
				time.Sleep(25 * time.Hour)
				synctest.Wait()
				if _, err := csrs.Get(t.Context(), "r", metav1.GetOptions{}); !apierrors.IsNotFound(err) {
					t.Errorf("after a day: %v", err)
				}
			})
		})
	}
}

func start(t *testing.T, cl, sv *signer) (controllertest.Env, func()) {
	e := controllertest.NewEnv(t)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	list := []controller.Controller{certificates.New(e.Client, e.Informers, e.Clock, certificates.Config{Client: cl, Serving: sv})}
	go func() {
		done <- controller.Run(ctx, controller.Config{StartInformers: func(ctx context.Context) { e.Informers.Start(ctx.Done()) }}, list)
	}()
	return e, func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		e.Informers.Shutdown()
	}
}
