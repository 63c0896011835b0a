// Package certificates holds the admission plugins CertificateApproval,
// CertificateSigning and CertificateSubjectRestriction: who approves or signs a
// certificate signing request must be allowed to for its signer, and nobody gets a
// certificate of system:masters that way.
package certificates

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
	"strings"

	certificatesv1 "k8s.io/api/certificates/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/authorization/authorizer"

	"skiff/server/admission"
)

const group, resource = "certificates.k8s.io", "certificatesigningrequests"

// Approval is the plugin CertificateApproval.
type Approval struct {
	Authorizer authorizer.UnconditionalAuthorizer
}

// Name implements admission.Plugin.
func (Approval) Name() string { return "CertificateApproval" }

// Validate implements admission.Validator. It looks at the old object, so that
// nobody changes the signer along the way.
func (p Approval) Validate(ctx context.Context, a *admission.Attributes) error {
	if !a.Is(group, resource, "approval") || a.Operation != admission.Update {
		return nil
	}
	old, err := request(a, a.OldObject)
	if err != nil {
		return err
	}
	if !mayFor(ctx, p.Authorizer, a.User, "approve", old.Spec.SignerName) {
		return a.Forbidden(fmt.Errorf("user not permitted to approve requests with signerName %q", old.Spec.SignerName))
	}
	return nil
}

// Signing is the plugin CertificateSigning.
type Signing struct {
	Authorizer authorizer.UnconditionalAuthorizer
}

// Name implements admission.Plugin.
func (Signing) Name() string { return "CertificateSigning" }

// Validate implements admission.Validator.
func (p Signing) Validate(ctx context.Context, a *admission.Attributes) error {
	if !a.Is(group, resource, "status") || a.Operation != admission.Update {
		return nil
	}
	old, err := request(a, a.OldObject)
	if err != nil {
		return err
	}
	csr, err := request(a, a.Object)
	if err != nil {
		return err
	}
	if slices.Equal(old.Status.Certificate, csr.Status.Certificate) && equality.Semantic.DeepEqual(old.Status.Conditions, csr.Status.Conditions) {
		return nil
	}
	if !mayFor(ctx, p.Authorizer, a.User, "sign", old.Spec.SignerName) {
		return a.Forbidden(fmt.Errorf("user not permitted to sign requests with signerName %q", old.Spec.SignerName))
	}
	return nil
}

// SubjectRestriction is the plugin CertificateSubjectRestriction.
type SubjectRestriction struct{}

// Name implements admission.Plugin.
func (SubjectRestriction) Name() string { return "CertificateSubjectRestriction" }

// Validate implements admission.Validator.
func (SubjectRestriction) Validate(_ context.Context, a *admission.Attributes) error {
	if !a.Is(group, resource, "") || a.Operation != admission.Create {
		return nil
	}
	csr, err := request(a, a.Object)
	if err != nil || csr.Spec.SignerName != certificatesv1.KubeAPIServerClientSignerName {
		return err
	}
	parsed, err := parse(csr.Spec.Request)
	if err != nil {
		return a.Forbidden(fmt.Errorf("failed to parse CSR: %w", err))
	}
	if slices.Contains(parsed.Subject.Organization, user.SystemPrivilegedGroup) {
		return a.Forbidden(fmt.Errorf("use of %s signer with system:masters group is not allowed", certificatesv1.KubeAPIServerClientSignerName))
	}
	return nil
}

func request(a *admission.Attributes, obj any) (*certificatesv1.CertificateSigningRequest, error) {
	csr, ok := obj.(*certificatesv1.CertificateSigningRequest)
	if !ok {
		return nil, a.Forbidden(fmt.Errorf("expected type CertificateSigningRequest, got: %T", obj))
	}
	return csr, nil
}

func parse(data []byte) (*x509.CertificateRequest, error) {
	b, _ := pem.Decode(data)
	if b == nil || b.Type != "CERTIFICATE REQUEST" {
		return nil, errors.New("PEM block type must be CERTIFICATE REQUEST")
	}
	return x509.ParseCertificateRequest(b.Bytes)
}

// mayFor asks for the signer, then for all of its domain ("kubernetes.io/*").
func mayFor(ctx context.Context, az authorizer.UnconditionalAuthorizer, u user.Info, verb, signer string) bool {
	domain, _, _ := strings.Cut(signer, "/")
	for _, name := range []string{signer, domain + "/*"} {
		decision, _, err := az.Authorize(ctx, authorizer.AttributesRecord{
			User: u, Verb: verb, APIGroup: group, APIVersion: "*", Resource: "signers", Name: name, ResourceRequest: true,
		})
		if err == nil && decision == authorizer.DecisionAllow {
			return true
		}
	}
	return false
}
