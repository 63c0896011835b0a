package podtemplate

import (
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	metavalidation "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"skiff/server/registry/untagged"
)

// projection checks the sources of a projected volume, which share one directory.
type projection struct {
	fld   *field.Path
	paths sets.Set[string]
	opts  Options
}

func validateProjected(p *corev1.ProjectedVolumeSource, fld *field.Path, opts Options) field.ErrorList {
	errs := fileMode(p.DefaultMode, fld.Child("defaultMode"))
	errs = append(errs, fileUser(p.DefaultUser, fld.Child("defaultUser"))...)
	all := &projection{fld: fld, paths: sets.New[string](), opts: opts}
	for i := range p.Sources {
		errs = append(errs, all.source(&p.Sources[i], fld.Child("sources").Index(i))...)
	}
	return errs
}

func (p *projection) source(s *corev1.VolumeProjection, fld *field.Path) field.ErrorList {
	var errs field.ErrorList
	n := 0
	if s.Secret != nil {
		n++
		errs = append(errs, p.keys(s.Secret.Name, s.Secret.Items, fld.Child("secret"))...)
	}
	if s.ConfigMap != nil {
		n++
		errs = append(errs, p.keys(s.ConfigMap.Name, s.ConfigMap.Items, fld.Child("configMap"))...)
	}
	if s.DownwardAPI != nil {
		n++
		for i := range s.DownwardAPI.Items {
			file := &s.DownwardAPI.Items[i]
			errs = append(errs, downwardFile(file, fld.Child("downwardAPI"))...)
			if file.Path != "" {
				errs = append(errs, p.claim(file.Path, file.Path)...)
			}
		}
	}
	if s.ServiceAccountToken != nil {
		n++
		errs = append(errs, p.token(s.ServiceAccountToken, fld.Child("serviceAccountToken"))...)
	}
	if s.ClusterTrustBundle != nil {
		n++
		errs = append(errs, p.trustBundle(s.ClusterTrustBundle, fld.Child("clusterTrustBundle"))...)
	}
	if s.PodCertificate != nil {
		n++
		errs = append(errs, p.certificate(s.PodCertificate, fld.Child("podCertificate"))...)
	}
	if n > 1 {
		errs = append(errs, field.Forbidden(fld, "may not specify more than 1 volume type per source"))
	}
	return errs
}

// claim takes a path for a source; shown is the value in the message if it is
// taken.
func (p *projection) claim(path, shown string) field.ErrorList {
	if p.paths.Has(path) {
		return field.ErrorList{field.Invalid(p.fld, shown, "conflicting duplicate paths")}
	}
	p.paths.Insert(path)
	return nil
}

func (p *projection) keys(name string, items []corev1.KeyToPath, fld *field.Path) field.ErrorList {
	errs := required(fld.Child("name"), name)
	for i := range items {
		errs = append(errs, keyToPath(&items[i], fld.Child("items").Index(i))...)
		if items[i].Path != "" {
			errs = append(errs, p.claim(items[i].Path, name)...)
		}
	}
	return errs
}

func (p *projection) token(t *corev1.ServiceAccountTokenProjection, fld *field.Path) field.ErrorList {
	var errs field.ErrorList
	seconds := fld.Child("expirationSeconds")
	switch exp := t.ExpirationSeconds; {
	case exp == nil:
		errs = append(errs, field.Required(seconds, ""))
	case *exp < 10*60:
		errs = append(errs, field.Invalid(seconds, *exp, "may not specify a duration less than 10 minutes"))
	case *exp > 1<<32:
		errs = append(errs, field.Invalid(seconds, *exp, "may not specify a duration larger than 2^32 seconds"))
	}
	// The path is reported at the volume, not at the source.
	if t.Path == "" {
		errs = append(errs, field.Required(p.fld.Child("path"), ""))
	} else if !p.opts.AllowNonLocalTokenPath {
		errs = append(errs, projectedPath(t.Path, p.fld.Child("path"))...)
	}
	return append(errs, fileUser(t.User, fld.Child("user"))...)
}

func (p *projection) trustBundle(b *corev1.ClusterTrustBundleProjection, fld *field.Path) field.ErrorList {
	var errs field.ErrorList
	switch {
	case b.Name != nil && b.SignerName != nil:
		errs = append(errs, field.Invalid(fld, untagged.Value(b), "only one of name and signerName may be used"))
	case b.Name != nil:
		errs = append(errs, trustBundleByName(b, fld)...)
	case b.SignerName != nil:
		if *b.SignerName == "" {
			errs = append(errs, field.Required(fld.Child("signerName"), "must be a valid signer name"))
		}
		errs = append(errs, SignerName(fld.Child("signerName"), *b.SignerName)...)
		errs = append(errs, metavalidation.ValidateLabelSelector(b.LabelSelector,
			metavalidation.LabelSelectorValidationOptions{}, fld.Child("labelSelector"))...)
	default:
		errs = append(errs, field.Required(fld, "either name or signerName must be specified"))
	}
	errs = append(errs, required(fld.Child("path"), b.Path)...)
	errs = append(errs, fileUser(b.User, fld.Child("user"))...)
	errs = append(errs, projectedPath(b.Path, fld.Child("path"))...)
	return append(errs, p.claim(b.Path, b.Path)...)
}

func trustBundleByName(b *corev1.ClusterTrustBundleProjection, fld *field.Path) field.ErrorList {
	var errs field.ErrorList
	name := *b.Name
	if name == "" {
		errs = append(errs, field.Required(fld.Child("name"), "must be a valid object name"))
	}
	for _, msg := range TrustBundleName(trustBundleSigner(name), name, false) {
		errs = append(errs, field.Invalid(fld.Child("name"), name, fmt.Sprintf("not a valid clustertrustbundlename: %v", msg)))
	}
	if b.LabelSelector != nil {
		errs = append(errs, field.Invalid(fld.Child("labelSelector"), b.LabelSelector, "labelSelector must be unset if name is specified"))
	}
	return errs
}

// The longest validity of a pod certificate in seconds: of other signers, and of
// those of Kubernetes (KEP-4317).
const (
	maxCertificateSeconds           = 91 * 24 * 60 * 60
	maxKubernetesCertificateSeconds = 24 * 60 * 60
)

func (p *projection) certificate(c *corev1.PodCertificateProjection, fld *field.Path) field.ErrorList {
	errs := SignerName(fld.Child("signerName"), c.SignerName)
	if c.UserAnnotations != nil {
		errs = append(errs, userAnnotations(c.UserAnnotations, fld.Child("userAnnotations"))...)
	}
	errs = append(errs, fileUser(c.User, fld.Child("user"))...)
	errs = append(errs, oneOfInOrder(fld.Child("keyType"), c.KeyType,
		"RSA3072", "RSA4096", "ECDSAP256", "ECDSAP384", "ECDSAP521", "ED25519")...)
	if s := c.MaxExpirationSeconds; s != nil {
		at, limit := fld.Child("maxExpirationSeconds"), int32(maxCertificateSeconds)
		if isKubernetesSigner(c.SignerName) {
			limit = maxKubernetesCertificateSeconds
		}
		if *s < 3600 {
			errs = append(errs, field.Invalid(at, *s, "if provided, maxExpirationSeconds must be >= 3600"))
		}
		if *s > limit {
			errs = append(errs, field.Invalid(at, *s, fmt.Sprintf("if provided, maxExpirationSeconds must be <= %d", limit)))
		}
	}
	n := 0
	for _, f := range []struct{ name, path string }{
		{"credentialBundlePath", c.CredentialBundlePath},
		{"keyPath", c.KeyPath},
		{"certificateChainPath", c.CertificateChainPath},
	} {
		if f.path == "" {
			continue
		}
		n++
		errs = append(errs, projectedPath(f.path, fld.Child(f.name))...)
		errs = append(errs, p.claim(f.path, f.path)...)
	}
	if n == 0 {
		errs = append(errs, field.Required(fld, "specify at least one of credentialBundlePath, keyPath, and certificateChainPath"))
	}
	return errs
}

func userAnnotations(annotations map[string]string, fld *field.Path) field.ErrorList {
	var errs field.ErrorList
	for key := range sorted(annotations) {
		errs = append(errs, validation.IsDomainPrefixedKey(fld, strings.ToLower(key))...)
	}
	if err := apivalidation.ValidateAnnotationsSize(annotations); err != nil {
		errs = append(errs, field.TooLong(fld, "", apivalidation.TotalAnnotationSizeLimitB))
	}
	return errs
}
