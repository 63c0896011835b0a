package certificates

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"

	certificatesv1 "k8s.io/api/certificates/v1"
	corev1 "k8s.io/api/core/v1"
	apiequality "k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/util/diff"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"skiff/server/registry/check"
	"skiff/server/registry/podtemplate"
)

const (
	legacySigner         = "kubernetes.io/legacy-unknown"
	minExpirationSeconds = 600
)

// keyUsages are all that a request can ask for, sorted.
var keyUsages = sorted(
	certificatesv1.UsageSigning, certificatesv1.UsageDigitalSignature, certificatesv1.UsageContentCommitment,
	certificatesv1.UsageKeyEncipherment, certificatesv1.UsageKeyAgreement, certificatesv1.UsageDataEncipherment,
	certificatesv1.UsageCertSign, certificatesv1.UsageCRLSign, certificatesv1.UsageEncipherOnly,
	certificatesv1.UsageDecipherOnly, certificatesv1.UsageAny, certificatesv1.UsageServerAuth,
	certificatesv1.UsageClientAuth, certificatesv1.UsageCodeSigning, certificatesv1.UsageEmailProtection,
	certificatesv1.UsageSMIME, certificatesv1.UsageIPsecEndSystem, certificatesv1.UsageIPsecTunnel,
	certificatesv1.UsageIPsecUser, certificatesv1.UsageTimestamping, certificatesv1.UsageOCSPSigning,
	certificatesv1.UsageMicrosoftSGC, certificatesv1.UsageNetscapeSGC,
)

func sorted(usages ...certificatesv1.KeyUsage) []certificatesv1.KeyUsage {
	slices.Sort(usages)
	return usages
}

// tolerated are faults that a stored request has, and may keep.
type tolerated struct {
	bothDecisions, legacySigner, duplicateConditions, emptyCondition bool
	certificate, duplicateUsages, unknownUsages                      bool
}

func toleratedIn(c, old *certificatesv1.CertificateSigningRequest) tolerated {
	var t tolerated
	seen := map[certificatesv1.RequestConditionType]bool{}
	for _, cond := range old.Status.Conditions {
		t.duplicateConditions = t.duplicateConditions || seen[cond.Type]
		t.emptyCondition = t.emptyCondition || cond.Type == ""
		seen[cond.Type] = true
	}
	t.bothDecisions = seen[certificatesv1.CertificateApproved] && seen[certificatesv1.CertificateDenied]
	t.legacySigner = old.Spec.SignerName == legacySigner
	usages := map[certificatesv1.KeyUsage]bool{}
	for _, u := range old.Spec.Usages {
		t.duplicateUsages = t.duplicateUsages || usages[u]
		t.unknownUsages = t.unknownUsages || !slices.Contains(keyUsages, u)
		usages[u] = true
	}
	t.certificate = bytes.Equal(c.Status.Certificate, old.Status.Certificate) || checkCertificate(old.Status.Certificate) != nil
	return t
}

func validateCSR(_ context.Context, c *certificatesv1.CertificateSigningRequest) field.ErrorList {
	return validateRequest(c, tolerated{})
}

func validateRequest(c *certificatesv1.CertificateSigningRequest, t tolerated) field.ErrorList {
	fld := field.NewPath("spec")
	var errs field.ErrorList
	if err := checkRequest(c.Spec.Request); err != nil {
		errs = append(errs, field.Invalid(fld.Child("request"), c.Spec.Request, err.Error()))
	}
	errs = append(errs, validateUsages(c.Spec.Usages, t, fld.Child("usages"))...)
	if !t.legacySigner && c.Spec.SignerName == legacySigner {
		errs = append(errs, field.Invalid(fld.Child("signerName"), c.Spec.SignerName, "the legacy signerName is not allowed via this API version"))
	} else {
		errs = append(errs, podtemplate.SignerName(fld.Child("signerName"), c.Spec.SignerName)...)
	}
	if s := c.Spec.ExpirationSeconds; s != nil && *s < minExpirationSeconds {
		errs = append(errs, field.Invalid(fld.Child("expirationSeconds"), *s, "may not specify a duration less than 600 seconds (10 minutes)"))
	}
	errs = append(errs, validateConditions(c.Status.Conditions, t, field.NewPath("status", "conditions"))...)
	if !t.certificate {
		if err := checkCertificate(c.Status.Certificate); err != nil {
			errs = append(errs, field.Invalid(field.NewPath("status", "certificate"), "<certificate data>", err.Error()))
		}
	}
	return errs
}

// checkRequest checks a PKCS #10 request in PEM (RFC 2986), and its signature.
func checkRequest(data []byte) error {
	block, _ := pem.Decode(data)
	if block == nil || block.Type != "CERTIFICATE REQUEST" {
		return errors.New("PEM block type must be CERTIFICATE REQUEST")
	}
	request, err := x509.ParseCertificateRequest(block.Bytes)
	if err != nil {
		return err
	}
	return request.CheckSignature()
}

// checkCertificate checks a chain of certificates in PEM.
func checkCertificate(data []byte) error {
	if len(data) == 0 {
		return nil
	}
	blocks := 0
	for block, rest := pem.Decode(data); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != "CERTIFICATE" {
			return fmt.Errorf("only CERTIFICATE PEM blocks are allowed, found %q", block.Type)
		}
		if len(block.Headers) != 0 {
			return errors.New("no PEM block headers are permitted")
		}
		certs, err := x509.ParseCertificates(block.Bytes)
		if err != nil {
			return err
		}
		if len(certs) == 0 {
			return errors.New("found CERTIFICATE PEM block containing 0 certificates")
		}
		blocks++
	}
	if blocks == 0 {
		return errors.New("must contain at least one CERTIFICATE PEM block")
	}
	return nil
}

func validateUsages(usages []certificatesv1.KeyUsage, t tolerated, fld *field.Path) field.ErrorList {
	var errs field.ErrorList
	if len(usages) == 0 {
		errs = append(errs, field.Required(fld, ""))
	}
	if !t.unknownUsages {
		for i, u := range usages {
			errs = append(errs, check.Supported(u, keyUsages, fld.Index(i))...)
		}
	}
	if t.duplicateUsages {
		return errs
	}
	seen := map[certificatesv1.KeyUsage]bool{}
	for i, u := range usages {
		if seen[u] {
			errs = append(errs, field.Duplicate(fld.Index(i), u))
		}
		seen[u] = true
	}
	return errs
}

func validateConditions(conditions []certificatesv1.CertificateSigningRequestCondition, t tolerated, fld *field.Path) field.ErrorList {
	var errs field.ErrorList
	seen := map[certificatesv1.RequestConditionType]bool{}
	for i, c := range conditions {
		path := fld.Index(i)
		if c.Type == "" && !t.emptyCondition {
			errs = append(errs, field.Required(path.Child("type"), ""))
		}
		statuses := []corev1.ConditionStatus{corev1.ConditionFalse, corev1.ConditionTrue, corev1.ConditionUnknown}
		switch c.Type {
		case certificatesv1.CertificateApproved, certificatesv1.CertificateDenied, certificatesv1.CertificateFailed:
			statuses = statuses[1:2]
		}
		errs = append(errs, check.OneOf(c.Status, statuses, path.Child("status"))...)
		if !t.bothDecisions && (c.Type == certificatesv1.CertificateApproved && seen[certificatesv1.CertificateDenied] ||
			c.Type == certificatesv1.CertificateDenied && seen[certificatesv1.CertificateApproved]) {
			errs = append(errs, field.Invalid(fld, c.Type, "Approved and Denied conditions are mutually exclusive"))
		}
		if seen[c.Type] && !t.duplicateConditions {
			errs = append(errs, field.Duplicate(path.Child("type"), c.Type))
		}
		seen[c.Type] = true
	}
	return errs
}

// updates are what an update may change; nothing but metadata by default.
type updates struct{ approval, certificate bool }

func validateCSRUpdate(allowed updates) func(context.Context, *certificatesv1.CertificateSigningRequest, *certificatesv1.CertificateSigningRequest) field.ErrorList {
	return func(_ context.Context, c, old *certificatesv1.CertificateSigningRequest) field.ErrorList {
		errs := validateRequest(c, toleratedIn(c, old))
		fld := field.NewPath("status", "conditions")
		for _, t := range []certificatesv1.RequestConditionType{certificatesv1.CertificateApproved, certificatesv1.CertificateDenied, certificatesv1.CertificateFailed} {
			if len(conditionIndexes(c, t)) < len(conditionIndexes(old, t)) {
				errs = append(errs, field.Forbidden(fld, fmt.Sprintf("updates may not remove a condition of type %q", t)))
			}
		}
		if !allowed.approval {
			errs = append(errs, validateDecisionKept(c, old, certificatesv1.CertificateApproved, fld)...)
			errs = append(errs, validateDecisionKept(c, old, certificatesv1.CertificateDenied, fld)...)
		}
		if bytes.Equal(c.Status.Certificate, old.Status.Certificate) {
			return errs
		}
		if !allowed.certificate {
			return append(errs, field.Forbidden(field.NewPath("status", "certificate"), "updates may not set certificate content"))
		}
		if len(old.Status.Certificate) > 0 {
			errs = append(errs, field.Forbidden(field.NewPath("status", "certificate"), "updates may not modify existing certificate content"))
		}
		return errs
	}
}

func validateDecisionKept(c, old *certificatesv1.CertificateSigningRequest, t certificatesv1.RequestConditionType, fld *field.Path) field.ErrorList {
	is, was := conditionsOf(c, t), conditionsOf(old, t)
	switch {
	case len(is) > len(was):
		return field.ErrorList{field.Forbidden(fld, fmt.Sprintf("updates may not add a condition of type %q", t))}
	case len(is) == len(was) && !apiequality.Semantic.DeepEqual(was, is):
		return field.ErrorList{field.Forbidden(fld, fmt.Sprintf("updates may not modify a condition of type %q\n%v", t, diff.Diff(was, is)))}
	}
	return nil
}

func conditionsOf(c *certificatesv1.CertificateSigningRequest, t certificatesv1.RequestConditionType) []certificatesv1.CertificateSigningRequestCondition {
	var list []certificatesv1.CertificateSigningRequestCondition
	for _, i := range conditionIndexes(c, t) {
		list = append(list, c.Status.Conditions[i])
	}
	return list
}
