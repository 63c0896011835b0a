package csr_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"net"
	"net/url"
	"strings"
	"testing"

	certificatesv1 "k8s.io/api/certificates/v1"

	"skiff/server/controller/csr"
)

// request makes a certificate request for a new key.
func request(t *testing.T, tmpl x509.CertificateRequest) *certificatesv1.CertificateSigningRequest {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.CreateCertificateRequest(rand.Reader, &tmpl, key)
	if err != nil {
		t.Fatal(err)
	}
	r := &certificatesv1.CertificateSigningRequest{}
	r.Spec.Request = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der})
	return r
}

func TestRules(t *testing.T) {
	node := func(change func(*x509.CertificateRequest)) x509.CertificateRequest {
		r := x509.CertificateRequest{Subject: pkix.Name{CommonName: "system:node:a", Organization: []string{"system:nodes"}}}
		if change != nil {
			change(&r)
		}
		return r
	}
	dns := func(r *x509.CertificateRequest) { r.DNSNames = []string{"a"} }
	const signature, encipherment = certificatesv1.UsageDigitalSignature, certificatesv1.UsageKeyEncipherment
	client := []certificatesv1.KeyUsage{certificatesv1.UsageClientAuth, signature}
	server := []certificatesv1.KeyUsage{certificatesv1.UsageServerAuth, signature}
	for name, tc := range map[string]struct {
		req    x509.CertificateRequest
		usages []certificatesv1.KeyUsage
		// client and serving are why the two signers refuse it.
		client, serving string
	}{
		"a client's":           {node(nil), client, "", "subjectAltName is required"},
		"a client's, of RSA":   {node(nil), append(client, encipherment), "", "subjectAltName is required"},
		"a server's":           {node(dns), server, "DNS subjectAltNames are not allowed", ""},
		"by address":           {node(func(r *x509.CertificateRequest) { r.IPAddresses = []net.IP{{192, 0, 2, 1}} }), server, "IP subjectAltNames are not allowed", ""},
		"usages of both":       {node(nil), append(client, certificatesv1.UsageServerAuth), "usages did not match", "subjectAltName is required"},
		"a server's, to call":  {node(dns), client, "DNS subjectAltNames are not allowed", "usages did not match"},
		"another group":        {node(func(r *x509.CertificateRequest) { r.Subject.Organization = []string{"system:masters"} }), client, "organization is not system:nodes", "organization is not system:nodes"},
		"one more group":       {node(func(r *x509.CertificateRequest) { r.Subject.Organization = []string{"system:nodes", "x"} }), client, "organization is not system:nodes", "organization is not system:nodes"},
		"a user's name":        {node(func(r *x509.CertificateRequest) { dns(r); r.Subject.CommonName = "eve" }), server, "DNS subjectAltNames are not allowed", "does not begin with system:node:"},
		"a user's name, alone": {node(func(r *x509.CertificateRequest) { r.Subject.CommonName = "eve" }), client, "does not begin with system:node:", "subjectAltName is required"},
		"a mail address":       {node(func(r *x509.CertificateRequest) { dns(r); r.EmailAddresses = []string{"a@b.example"} }), server, "are not allowed", "Email subjectAltNames are not allowed"},
		"a URI":                {node(func(r *x509.CertificateRequest) { dns(r); r.URIs = []*url.URL{{Scheme: "spiffe", Host: "a"}} }), server, "are not allowed", "URI subjectAltNames are not allowed"},
	} {
		t.Run(name, func(t *testing.T) {
			req, err := csr.Parse(request(t, tc.req))
			if err != nil {
				t.Fatal(err)
			}
			refuses(t, "the client's signer", csr.CheckKubeletClient(req, tc.usages), tc.client)
			refuses(t, "the server's signer", csr.CheckKubeletServing(req, tc.usages), tc.serving)
		})
	}
}

func refuses(t *testing.T, who string, err error, want string) {
	t.Helper()
	if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
		t.Errorf("%s: %v, want %q", who, err, want)
	}
}

// TestParse: a request that its own key did not sign proves nothing.
func TestParse(t *testing.T) {
	good := request(t, x509.CertificateRequest{Subject: pkix.Name{CommonName: "a"}})
	block, _ := pem.Decode(good.Spec.Request)
	block.Bytes[len(block.Bytes)-1] ^= 1 // of the signature
	for name, text := range map[string][]byte{
		"no PEM":            []byte("x"),
		"another kind":      pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: block.Bytes}),
		"no request":        pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: []byte("x")}),
		"a wrong signature": pem.EncodeToMemory(block),
	} {
		r := good.DeepCopy()
		r.Spec.Request = text
		if _, err := csr.Parse(r); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}
