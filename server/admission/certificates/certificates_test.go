package certificates

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"testing"

	certificatesv1 "k8s.io/api/certificates/v1"
	"k8s.io/apiserver/pkg/authorization/authorizer"

	"skiff/server/admission"
	at "skiff/server/admission/admissiontest"
)

func csr(signer string, certificate string) *certificatesv1.CertificateSigningRequest {
	return &certificatesv1.CertificateSigningRequest{
		Spec:   certificatesv1.CertificateSigningRequestSpec{SignerName: signer},
		Status: certificatesv1.CertificateSigningRequestStatus{Certificate: []byte(certificate)},
	}
}

// allow lets everybody do verb for one signer name, or for a domain ("example.org/*").
func allow(verb, name string) authorizer.UnconditionalAuthorizer {
	return authorizer.AuthorizerFunc(func(_ context.Context, a authorizer.Attributes) (authorizer.Decision, string, error) {
		if a.GetResource() == "signers" && a.GetVerb() == verb && a.GetName() == name {
			return authorizer.DecisionAllow, "", nil
		}
		return authorizer.DecisionNoOpinion, "", nil
	})
}

func TestApprovalAndSigning(t *testing.T) {
	const approval, status = "certificatesigningrequests/approval.certificates.k8s.io", "certificatesigningrequests/status.certificates.k8s.io"
	for name, tc := range map[string]struct {
		plugin   admission.Validator
		resource string
		now      string // the certificate
		want     string
	}{
		"approve":               {Approval{allow("approve", "example.org/a")}, approval, "", ""},
		"approve by domain":     {Approval{allow("approve", "example.org/*")}, approval, "", ""},
		"approve another's":     {Approval{allow("approve", "example.org/b")}, approval, "", `user not permitted to approve requests with signerName "example.org/a"`},
		"approve by signing":    {Approval{allow("sign", "example.org/a")}, approval, "", `user not permitted to approve requests with signerName "example.org/a"`},
		"sign":                  {Signing{allow("sign", "example.org/a")}, status, "x", ""},
		"sign without right":    {Signing{allow("sign", "example.org/b")}, status, "x", `user not permitted to sign requests with signerName "example.org/a"`},
		"status without change": {Signing{allow("sign", "example.org/b")}, status, "", ""},
	} {
		a := at.Write(admission.Update, tc.resource, csr("example.org/a", tc.now), csr("example.org/a", ""), at.Bob())
		at.Check(t, name, tc.plugin.Validate(t.Context(), a), tc.want)
	}
}

func TestSubjectRestriction(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct{ signer, group, want string }{
		{certificatesv1.KubeAPIServerClientSignerName, "users", ""},
		{certificatesv1.KubeAPIServerClientSignerName, "system:masters", "use of kubernetes.io/kube-apiserver-client signer with system:masters group is not allowed"},
		{"example.org/a", "system:masters", ""},
	} {
		der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{Subject: pkix.Name{Organization: []string{"x", tc.group}}}, key)
		if err != nil {
			t.Fatal(err)
		}
		o := csr(tc.signer, "")
		o.Spec.Request = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der})
		a := at.Write(admission.Create, "certificatesigningrequests.certificates.k8s.io", o, nil, at.Bob())
		at.Check(t, tc.signer+" "+tc.group, SubjectRestriction{}.Validate(t.Context(), a), tc.want)
	}
}
