package certificates

import (
	"context"
	"crypto"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"net/mail"
	"strings"
	"time"

	certificatesv1 "k8s.io/api/certificates/v1"
	apiequality "k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	metav1validation "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	"k8s.io/apiserver/pkg/endpoints/request"
)

const (
	maxChainSize  = 100 * 1024
	clockSkew     = 5 * time.Minute
	minLifetime   = time.Hour
	refreshMargin = 10 * time.Minute
)

var (
	chainPath        = field.NewPath("status", "certificateChain")
	notBeforePath    = field.NewPath("status", "notBefore")
	notAfterPath     = field.NewPath("status", "notAfter")
	beginRefreshPath = field.NewPath("status", "beginRefreshAt")
)

func (d Deps) validatePodRequestStatus(ctx context.Context, p, old *certificatesv1.PodCertificateRequest) field.ErrorList {
	if errs := validatePodStatus(p, old, d.now()); len(errs) != 0 {
		return errs
	}
	if d.Authorizer == nil || apiequality.Semantic.DeepEqual(old.Status, p.Status) {
		return nil
	}
	signer := field.NewPath("spec", "signerName")
	u, ok := request.UserFrom(ctx)
	if !ok {
		return field.ErrorList{field.InternalError(signer, fmt.Errorf("cannot determine calling user to perform \"sign\" check"))}
	}
	if !d.maySign(ctx, u, old.Spec.SignerName) {
		return field.ErrorList{field.Forbidden(signer, fmt.Sprintf("User %q is not permitted to \"sign\" for signer %q", u.GetName(), old.Spec.SignerName))}
	}
	return nil
}

// maySign tells whether u may sign for a signer, or for all of its domain.
func (d Deps) maySign(ctx context.Context, u user.Info, signer string) bool {
	domain, _, _ := strings.Cut(signer, "/")
	for _, name := range []string{signer, domain + "/*"} {
		decision, _, err := d.Authorizer.Authorize(ctx, authorizer.AttributesRecord{
			User: u, Verb: "sign", Name: name,
			APIGroup: Group, APIVersion: "*", Resource: "signers", ResourceRequest: true,
		})
		if err == nil && decision == authorizer.DecisionAllow {
			return true
		}
	}
	return false
}

func validatePodStatus(p, old *certificatesv1.PodCertificateRequest, now time.Time) field.ErrorList {
	if errs := validatePodConditions(p.Status.Conditions); len(errs) > 0 {
		return errs
	}
	fld := field.NewPath("status")
	switch {
	case decided(old) != "":
		return sameStatus(p.Status, old.Status, fld, "immutable after PodCertificateRequest is issued, denied, or failed")
	case decided(p) == certificatesv1.PodCertificateRequestConditionTypeIssued:
		return validateIssued(p, old, now)
	case decided(p) != "":
		only := certificatesv1.PodCertificateRequestStatus{Conditions: p.Status.Conditions}
		return sameStatus(p.Status, only, fld, "non-condition status fields must be empty when denying or failing the PodCertificateRequest")
	default:
		return sameStatus(p.Status, old.Status, fld, `status is immutable unless transitioning to "Issued", "Denied", or "Failed"`)
	}
}

func sameStatus(a, b certificatesv1.PodCertificateRequestStatus, fld *field.Path, detail string) field.ErrorList {
	if apiequality.Semantic.DeepEqual(a, b) {
		return nil
	}
	return field.ErrorList{field.Invalid(fld, field.OmitValueType{}, detail)}
}

// decided returns the condition that ends a request, "" if there is none yet.
func decided(p *certificatesv1.PodCertificateRequest) string {
	for _, c := range p.Status.Conditions {
		if isDecision(c.Type) && c.Status == metav1.ConditionTrue {
			return c.Type
		}
	}
	return ""
}

func isDecision(t string) bool {
	switch t {
	case certificatesv1.PodCertificateRequestConditionTypeIssued, certificatesv1.PodCertificateRequestConditionTypeDenied, certificatesv1.PodCertificateRequestConditionTypeFailed:
		return true
	}
	return false
}

func validatePodConditions(conditions []metav1.Condition) field.ErrorList {
	var errs field.ErrorList
	known := 0
	for i, c := range conditions {
		at := fmt.Sprintf("[%d]", i)
		if !isDecision(c.Type) {
			errs = append(errs, field.NotSupported(field.NewPath("status", "conditions", at, "type"), c.Type, []string{
				certificatesv1.PodCertificateRequestConditionTypeIssued, certificatesv1.PodCertificateRequestConditionTypeDenied, certificatesv1.PodCertificateRequestConditionTypeFailed,
			}))
			continue
		}
		if known++; known > 1 {
			errs = append(errs, field.Invalid(field.NewPath("status", "conditions", at, "type"), c.Type, `There may be at most one condition with type "Issued", "Denied", or "Failed"`))
		}
		if c.Status != metav1.ConditionTrue {
			errs = append(errs, field.NotSupported(field.NewPath("status", "conditions", at, "status"), c.Status, []metav1.ConditionStatus{metav1.ConditionTrue}))
		}
	}
	return append(errs, metav1validation.ValidateConditions(conditions, field.NewPath("status", "conditions"))...)
}

// validateIssued checks that the chain is for the requested key, and that the
// times in the status are the certificate's.
func validateIssued(p, old *certificatesv1.PodCertificateRequest, now time.Time) field.ErrorList {
	chain := p.Status.CertificateChain
	if len(chain) > maxChainSize {
		return field.ErrorList{field.TooLong(chainPath, chain, maxChainSize)}
	}
	leaf, rest, errs := parseLeaf(chain)
	if len(errs) > 0 {
		return errs
	}
	errs = validateLeafNames(leaf)
	key, more := requestedKey(&old.Spec)
	if len(more) > 0 {
		return append(errs, more...)
	}
	if k, ok := key.(interface{ Equal(crypto.PublicKey) bool }); ok && !k.Equal(leaf.PublicKey) {
		return append(errs, field.Invalid(chainPath, chain, "leaf certificate was not issued to the requested public key"))
	}
	if errs = append(errs, validateTimesSet(&p.Status)...); len(errs) > 0 {
		return errs
	}
	if errs = validateTimes(p, leaf, now); len(errs) > 0 {
		return errs
	}
	return validateIntermediates(chain, rest)
}

func parseLeaf(chain string) (*x509.Certificate, []byte, field.ErrorList) {
	block, rest := pem.Decode([]byte(chain))
	if block == nil {
		return nil, nil, field.ErrorList{field.Invalid(chainPath, chain, "issued certificate chain must contain at least one certificate")}
	}
	if block.Type != "CERTIFICATE" {
		return nil, nil, field.ErrorList{field.Invalid(chainPath, chain, "issued certificate chain must consist entirely of CERTIFICATE PEM blocks")}
	}
	leaf, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return nil, nil, field.ErrorList{field.Invalid(chainPath, chain, "leaf certificate does not parse as valid X.509")}
	}
	return leaf, rest, nil
}

func validateLeafNames(leaf *x509.Certificate) field.ErrorList {
	var errs field.ErrorList
	for _, name := range leaf.DNSNames {
		if name == "" {
			errs = append(errs, field.Invalid(chainPath, name, "leaf certificate should not contain empty DNSName"))
		}
		if strings.Contains(name, "..") {
			errs = append(errs, field.Invalid(chainPath, name, "leaf certificate's DNSName should not contain '..'"))
		}
		if strings.HasPrefix(name, ".") || strings.HasSuffix(name, ".") {
			errs = append(errs, field.Invalid(chainPath, name, "leaf certificate's DNSName should not start or end with '.'"))
		}
	}
	for _, address := range leaf.EmailAddresses {
		if _, err := mail.ParseAddress(address); err != nil {
			errs = append(errs, field.Invalid(chainPath, address, "leaf certificate should not contain invalid EmailAddress"))
		}
	}
	return errs
}

func requestedKey(s *certificatesv1.PodCertificateRequestSpec) (crypto.PublicKey, field.ErrorList) {
	r, err := x509.ParseCertificateRequest(s.StubPKCS10Request)
	if err != nil {
		return nil, field.ErrorList{field.Invalid(stubPath, field.OmitValueType{}, "must be a valid PKCS#10 CSR")}
	}
	return r.PublicKey, nil
}

func validateTimesSet(s *certificatesv1.PodCertificateRequestStatus) field.ErrorList {
	var errs field.ErrorList
	if s.NotBefore == nil {
		errs = append(errs, field.Required(notBeforePath, "must be present and consistent with the issued certificate"))
	}
	if s.NotAfter == nil {
		errs = append(errs, field.Required(notAfterPath, "must be present and consistent with the issued certificate"))
	}
	if s.BeginRefreshAt == nil {
		errs = append(errs, field.Required(beginRefreshPath, "must be present and in the range [notbefore+10min, notafter-10min]"))
	}
	return errs
}

func validateTimes(p *certificatesv1.PodCertificateRequest, leaf *x509.Certificate, now time.Time) field.ErrorList {
	before, after, refresh := p.Status.NotBefore.Time, p.Status.NotAfter.Time, p.Status.BeginRefreshAt.Time
	lifetime := leaf.NotAfter.Sub(leaf.NotBefore)
	switch longest := *p.Spec.MaxExpirationSeconds; {
	case !before.Equal(leaf.NotBefore):
		return field.ErrorList{field.Invalid(notBeforePath, before, "must be set to the NotBefore time encoded in the leaf certificate")}
	case before.Sub(now).Abs() >= clockSkew:
		return field.ErrorList{field.Invalid(notBeforePath, before, "must be set to within 5 minutes of kube-apiserver's current time")}
	case !after.Equal(leaf.NotAfter):
		return field.ErrorList{field.Invalid(notAfterPath, after, "must be set to the NotAfter time encoded in the leaf certificate")}
	case lifetime < minLifetime:
		return field.ErrorList{field.Invalid(chainPath, lifetime, "leaf certificate lifetime must be >= 1 hour")}
	case lifetime > time.Duration(longest)*time.Second:
		return field.ErrorList{field.Invalid(chainPath, lifetime, fmt.Sprintf("leaf certificate lifetime must be <= spec.maxExpirationSeconds (%v)", longest))}
	case refresh.Before(before.Add(refreshMargin)):
		return field.ErrorList{field.Invalid(beginRefreshPath, refresh, "must be at least 10 minutes after status.notBefore")}
	case refresh.After(after.Add(-refreshMargin)):
		return field.ErrorList{field.Invalid(beginRefreshPath, refresh, "must be at least 10 minutes before status.notAfter")}
	}
	return nil
}

func validateIntermediates(chain string, rest []byte) field.ErrorList {
	for {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			return nil
		}
		if block.Type != "CERTIFICATE" {
			return field.ErrorList{field.Invalid(chainPath, chain, "issued certificate chain must consist entirely of CERTFICATE PEM blocks")}
		}
		if _, err := x509.ParseCertificate(block.Bytes); err != nil {
			return field.ErrorList{field.Invalid(chainPath, chain, "intermediate certificate does not parse as valid X.509")}
		}
	}
}
