package certificates

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/x509"
	"fmt"
	"strings"

	certificatesv1 "k8s.io/api/certificates/v1"
	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"skiff/server/registry/check"
	"skiff/server/registry/podtemplate"
)

// Limits of KEP-4317.
const (
	minMaxExpiration           = 60 * 60
	maxMaxExpiration           = 91 * 24 * 60 * 60
	maxKubernetesMaxExpiration = 24 * 60 * 60
	maxUIDLength               = 128
	maxStubRequestSize         = 10 * 1024
)

var stubPath = field.NewPath("spec", "stubPKCS10Request")

func validatePodRequest(_ context.Context, p *certificatesv1.PodCertificateRequest) field.ErrorList {
	s, fld := &p.Spec, field.NewPath("spec")
	errs := podtemplate.SignerName(fld.Child("signerName"), s.SignerName)
	if s.UnverifiedUserAnnotations != nil {
		errs = append(errs, apivalidation.ValidateAnnotations(s.UnverifiedUserAnnotations, fld.Child("unverifiedUserAnnotations"))...)
	}
	errs = append(errs, check.Messages(s.PodName, apivalidation.NameIsDNSSubdomain(s.PodName, false), fld.Child("podName"))...)
	errs = append(errs, validateUID(s.PodUID, fld.Child("podUID"))...)
	errs = append(errs, check.Messages(s.ServiceAccountName, apivalidation.ValidateServiceAccountName(s.ServiceAccountName, false), fld.Child("serviceAccountName"))...)
	errs = append(errs, validateUID(s.ServiceAccountUID, fld.Child("serviceAccountUID"))...)
	errs = append(errs, check.Messages(string(s.NodeName), apivalidation.NameIsDNSSubdomain(string(s.NodeName), false), fld.Child("nodeName"))...)
	errs = append(errs, validateUID(s.NodeUID, fld.Child("nodeUID"))...)
	if s.MaxExpirationSeconds == nil {
		return append(errs, field.Required(fld.Child("maxExpirationSeconds"), "must be set"))
	}
	longest := int32(maxMaxExpiration)
	if strings.HasPrefix(s.SignerName, "kubernetes.io/") || strings.HasSuffix(strings.SplitN(s.SignerName, "/", 2)[0], ".kubernetes.io") {
		longest = maxKubernetesMaxExpiration
	}
	if n := *s.MaxExpirationSeconds; n < minMaxExpiration || n > longest {
		errs = append(errs, field.Invalid(fld.Child("maxExpirationSeconds"), s.MaxExpirationSeconds, fmt.Sprintf("must be in the range [%d, %d]", minMaxExpiration, longest)))
	}
	return append(errs, validateKey(s)...)
}

func validateUID[T ~string](uid T, fld *field.Path) field.ErrorList {
	switch {
	case uid == "":
		return field.ErrorList{field.Invalid(fld, uid, "must not be empty")}
	case len(uid) > maxUIDLength:
		return field.ErrorList{field.TooLong(fld, uid, maxUIDLength)}
	}
	return nil
}

// validateKey checks that the requestor has the private key of what it wants a
// certificate for: it signs a request, the contents of which do not matter.
func validateKey(s *certificatesv1.PodCertificateRequestSpec) field.ErrorList {
	if len(s.StubPKCS10Request) == 0 {
		return field.ErrorList{field.Invalid(field.NewPath("spec"), field.OmitValueType{}, "exactly one of (stubPKCS10Request) or (pkixPublicKey, proofOfPossession) must be set")}
	}
	return validateStub(s.StubPKCS10Request)
}

func validateStub(der []byte) field.ErrorList {
	if len(der) > maxStubRequestSize {
		return field.ErrorList{field.TooLong(stubPath, der, maxStubRequestSize)}
	}
	request, err := x509.ParseCertificateRequest(der)
	if err != nil {
		return field.ErrorList{field.Invalid(stubPath, field.OmitValueType{}, "must be a valid PKCS#10 CSR")}
	}
	if errs := validateKeySize(request.PublicKey); len(errs) > 0 {
		return errs
	}
	if err := request.CheckSignature(); err != nil {
		return field.ErrorList{field.Invalid(stubPath, field.OmitValueType{}, "invalid signature")}
	}
	return nil
}

// validateKeySize checks a key's type and strength.
func validateKeySize(key crypto.PublicKey) field.ErrorList {
	switch key := key.(type) {
	case ed25519.PublicKey:
	case *ecdsa.PublicKey:
		if key.Curve != elliptic.P256() && key.Curve != elliptic.P384() && key.Curve != elliptic.P521() {
			return field.ErrorList{field.Invalid(stubPath, "curve "+key.Curve.Params().Name, "elliptic public keys must use curve P256, P384, or P521")}
		}
	case *rsa.PublicKey:
		if bits := key.Size() * 8; bits != 3072 && bits != 4096 {
			return field.ErrorList{field.Invalid(stubPath, fmt.Sprintf("%d-bit modulus", bits), "RSA keys must have modulus size 3072 or 4096")}
		}
	default:
		return field.ErrorList{field.Invalid(stubPath, field.OmitValueType{}, "unknown public key type; supported types are Ed25519, ECDSA, and RSA")}
	}
	return nil
}

func validatePodRequestUpdate(_ context.Context, p, old *certificatesv1.PodCertificateRequest) field.ErrorList {
	return check.Immutable(p.Spec, old.Spec, field.NewPath("spec"))
}
