package podtemplate

import (
	"fmt"
	"strings"

	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"skiff/server/registry/check"
)

// DNSLabel checks that value is a DNS-1123 label.
func DNSLabel(value string, fld *field.Path) field.ErrorList {
	return invalids(fld, value, validation.IsDNS1123Label(value)).WithOrigin("format=k8s-short-name")
}

// DNSSubdomain checks that value is a DNS-1123 subdomain.
func DNSSubdomain(value string, fld *field.Path) field.ErrorList {
	return invalids(fld, value, validation.IsDNS1123Subdomain(value)).WithOrigin("format=k8s-long-name")
}

// QualifiedName checks that value is a name with an optional domain before it.
func QualifiedName(value string, fld *field.Path) field.ErrorList {
	return invalids(fld, value, validation.IsQualifiedName(value)).WithOrigin("format=qualified-name")
}

// objectName checks that value can be the name of an object.
func objectName(value string, fld *field.Path) field.ErrorList {
	return invalids(fld, value, apivalidation.NameIsDNSSubdomain(value, false))
}

// NamespaceName checks that value can be the name of a namespace.
func NamespaceName(value string, fld *field.Path) field.ErrorList {
	return invalids(fld, value, apivalidation.ValidateNamespaceName(value, false))
}

// FinalizerName checks the name of a finalizer that a namespace holds: a standard
// one, or one with a domain.
func FinalizerName(value string, fld *field.Path) field.ErrorList {
	return append(apivalidation.ValidateFinalizerName(value, fld), check.StandardFinalizer(value, fld)...)
}

// maxSignerName is the length of a domain, a namespace and an object's name with
// their separators.
const maxSignerName = validation.DNS1123SubdomainMaxLength + 1 +
	validation.DNS1123LabelMaxLength + 1 + validation.DNS1123SubdomainMaxLength

// SignerName checks the name of a certificate signer: a domain of at least two
// labels and a path behind a slash.
func SignerName(fld *field.Path, name string) field.ErrorList {
	if name == "" {
		return field.ErrorList{field.Required(fld, "")}
	}
	domain, path, ok := strings.Cut(name, "/")
	if !ok || strings.Contains(path, "/") {
		return field.ErrorList{field.Invalid(fld, name, "must be a fully qualified domain and path of the form 'example.com/signer-name'")}
	}
	var errs field.ErrorList
	if len(domain) > validation.DNS1123SubdomainMaxLength {
		errs = append(errs, field.TooLong(fld, "", validation.DNS1123SubdomainMaxLength))
	}
	labels := strings.Split(domain, ".")
	errs = append(errs, signerParts(fld, domain, labels, validation.IsDNS1123Label)...)
	if len(labels) < 2 {
		errs = append(errs, field.Invalid(fld, domain, "should be a domain with at least two segments separated by dots"))
	}
	errs = append(errs, signerParts(fld, path, strings.Split(path, "."), validation.IsDNS1123Subdomain)...)
	if len(name) > maxSignerName {
		errs = append(errs, field.TooLong(fld, "", maxSignerName))
	}
	return errs
}

// signerParts reports the first part that is wrong.
func signerParts(fld *field.Path, whole string, parts []string, check func(string) []string) field.ErrorList {
	for _, part := range parts {
		msgs := check(part)
		if len(msgs) == 0 {
			continue
		}
		for i := range msgs {
			msgs[i] = fmt.Sprintf("validating label %q: %s", part, msgs[i])
		}
		return invalids(fld, whole, msgs)
	}
	return nil
}

// isKubernetesSigner tells whether a signer is one of Kubernetes' own.
func isKubernetesSigner(name string) bool {
	host, _, _ := strings.Cut(name, "/")
	return host == "kubernetes.io" || strings.HasSuffix(host, ".kubernetes.io")
}

// TrustBundleName returns what is wrong with the name of a ClusterTrustBundle
// that belongs to signer ("" for none).
func TrustBundleName(signer, name string, prefix bool) []string {
	if signer == "" {
		if strings.Contains(name, ":") {
			return []string{`ClusterTrustBundle without signer name must not have ":" in its name`}
		}
		return apivalidation.NameIsDNSSubdomain(name, prefix)
	}
	want := strings.ReplaceAll(signer, "/", ":") + ":"
	if !strings.HasPrefix(name, want) {
		return []string{fmt.Sprintf("ClusterTrustBundle for signerName %s must be named with prefix %s", signer, want)}
	}
	return apivalidation.NameIsDNSSubdomain(strings.TrimPrefix(name, want), prefix)
}

// trustBundleSigner returns the signer that the name of a ClusterTrustBundle
// tells, "" if it tells none.
func trustBundleSigner(name string) string {
	i := strings.LastIndex(name, ":")
	if i < 0 {
		return ""
	}
	return strings.ReplaceAll(name[:i], ":", "/")
}
