package certificates

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"fmt"

	certificatesv1 "k8s.io/api/certificates/v1"
	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"skiff/server/registry/check"
	"skiff/server/registry/podtemplate"
)

const maxTrustBundleSize = 1 << 20

func validateBundle(_ context.Context, b *certificatesv1.ClusterTrustBundle) field.ErrorList {
	return append(validateBundleNames(b), validateAnchors(b.Spec.TrustBundle, field.NewPath("spec", "trustBundle"))...)
}

func validateBundleUpdate(_ context.Context, b, old *certificatesv1.ClusterTrustBundle) field.ErrorList {
	errs := validateBundleNames(b)
	if b.Spec.TrustBundle != old.Spec.TrustBundle {
		errs = append(errs, validateAnchors(b.Spec.TrustBundle, field.NewPath("spec", "trustBundle"))...)
	}
	return append(errs, apivalidation.ValidateImmutableField(b.Spec.SignerName, old.Spec.SignerName, field.NewPath("spec", "signerName"))...)
}

func validateBundleNames(b *certificatesv1.ClusterTrustBundle) field.ErrorList {
	errs := check.Messages(b.Name, podtemplate.TrustBundleName(b.Spec.SignerName, b.Name, false), field.NewPath("metadata", "name"))
	if b.Spec.SignerName != "" {
		errs = append(errs, podtemplate.SignerName(field.NewPath("spec", "signerName"), b.Spec.SignerName)...)
	}
	return errs
}

// validateAnchors checks the certificate authorities of a bundle.
func validateAnchors(data string, fld *field.Path) field.ErrorList {
	if len(data) > maxTrustBundleSize {
		return field.ErrorList{field.TooLong(fld, "", maxTrustBundleSize)}
	}
	var errs field.ErrorList
	bad := func(format string, args ...any) {
		errs = append(errs, field.Invalid(fld, "<value omitted>", fmt.Sprintf(format, args...)))
	}
	entries, order := map[string][]int{}, []string(nil)
	for i, rest := 0, []byte(data); ; i++ {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		if msg := anchorFault(block); msg != "" {
			bad("entry %d "+msg, i)
			continue
		}
		der := string(block.Bytes)
		if entries[der] == nil {
			order = append(order, der)
		}
		entries[der] = append(entries[der], i)
	}
	if len(errs) > 0 {
		return errs
	}
	if len(entries) == 0 {
		bad("at least one trust anchor must be provided")
	}
	for _, der := range order {
		if len(entries[der]) > 1 {
			bad("duplicate trust anchor (indices %v)", entries[der])
		}
	}
	return errs
}

// anchorFault says why a PEM block is no trust anchor, "" if it is one.
func anchorFault(block *pem.Block) string {
	if block.Type != "CERTIFICATE" {
		return "has bad block type: " + block.Type
	}
	if len(block.Headers) != 0 {
		return "has PEM block headers"
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	switch {
	case err != nil:
		return "does not parse as X.509"
	case !cert.IsCA:
		return "does not have the CA bit set"
	case !cert.BasicConstraintsValid:
		return "has invalid basic constraints"
	}
	return ""
}
