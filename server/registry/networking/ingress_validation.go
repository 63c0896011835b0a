package networking

import (
	"context"
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/api/validate/content"
	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	utilvalidation "k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
	netutils "k8s.io/utils/net"

	"skiff/server/registry/check"
)

// What a path cannot have in it, whatever its type.
var (
	invalidPathSequences = []string{"//", "/./", "/../", "%2f", "%2F"}
	invalidPathSuffixes  = []string{"/..", "/."}
)

const maxControllerName = 250

// ingressOptions loosen the rules for what is stored already.
type ingressOptions struct {
	invalidSecretName   bool
	invalidWildcardRule bool
}

func validateIngress(_ context.Context, i *networkingv1.Ingress) field.ErrorList {
	errs := validateIngressSpec(&i.Spec, ingressOptions{}, field.NewPath("spec"))
	class, ok := i.Annotations[ingressClassAnnotation]
	if ok && i.Spec.IngressClassName != nil && class != *i.Spec.IngressClassName {
		errs = append(errs, field.Invalid(field.NewPath("annotations").Child(ingressClassAnnotation), class, "must match `ingressClassName` when both are specified"))
	}
	return errs
}

func validateIngressUpdate(_ context.Context, i, old *networkingv1.Ingress) field.ErrorList {
	var opts ingressOptions
	for k := range old.Spec.TLS {
		if len(secretNameMessages(old.Spec.TLS[k].SecretName)) > 0 {
			opts.invalidSecretName = true
		}
	}
	for k := range old.Spec.Rules {
		r := &old.Spec.Rules[k]
		if strings.Contains(r.Host, "*") && len(validateRuleValue(&r.IngressRuleValue, nil)) > 0 {
			opts.invalidWildcardRule = true
		}
	}
	return validateIngressSpec(&i.Spec, opts, field.NewPath("spec"))
}

func secretNameMessages(name string) []string {
	if name == "" {
		return nil
	}
	return apivalidation.NameIsDNSSubdomain(name, false)
}

func validateIngressSpec(spec *networkingv1.IngressSpec, opts ingressOptions, fld *field.Path) field.ErrorList {
	var errs field.ErrorList
	if len(spec.Rules) == 0 && spec.DefaultBackend == nil {
		errs = append(errs, field.Invalid(fld, spec.Rules, "either `defaultBackend` or `rules` must be specified"))
	}
	if spec.DefaultBackend != nil {
		errs = append(errs, validateBackend(spec.DefaultBackend, fld.Child("defaultBackend"))...)
	}
	for i := range spec.Rules {
		errs = append(errs, validateIngressRule(&spec.Rules[i], opts, fld.Child("rules").Index(i))...)
	}
	for i := range spec.TLS {
		errs = append(errs, validateTLS(&spec.TLS[i], opts, fld.Child("tls").Index(i))...)
	}
	if c := spec.IngressClassName; c != nil {
		errs = append(errs, check.Messages(*c, apivalidation.NameIsDNSSubdomain(*c, false), fld.Child("ingressClassName"))...)
	}
	return errs
}

func hostMessages(host string) []string {
	if strings.Contains(host, "*") {
		return utilvalidation.IsWildcardDNS1123Subdomain(host)
	}
	return utilvalidation.IsDNS1123Subdomain(host)
}

func validateTLS(t *networkingv1.IngressTLS, opts ingressOptions, fld *field.Path) field.ErrorList {
	var errs field.ErrorList
	for i, host := range t.Hosts {
		errs = append(errs, check.Messages(host, hostMessages(host), fld.Child("hosts").Index(i))...)
	}
	if !opts.invalidSecretName {
		errs = append(errs, check.Messages(t.SecretName, secretNameMessages(t.SecretName), fld.Child("secretName"))...)
	}
	return errs
}

func validateIngressRule(r *networkingv1.IngressRule, opts ingressOptions, fld *field.Path) field.ErrorList {
	var errs field.ErrorList
	if r.Host != "" {
		if netutils.ParseIPSloppy(r.Host) != nil {
			errs = append(errs, field.Invalid(fld.Child("host"), r.Host, "must be a DNS name, not an IP address"))
		}
		errs = append(errs, check.Messages(r.Host, hostMessages(r.Host), fld.Child("host"))...)
	}
	if opts.invalidWildcardRule && strings.Contains(r.Host, "*") {
		return errs
	}
	return append(errs, validateRuleValue(&r.IngressRuleValue, fld)...)
}

func validateRuleValue(v *networkingv1.IngressRuleValue, fld *field.Path) field.ErrorList {
	if v.HTTP == nil {
		return nil
	}
	paths := fld.Child("http").Child("paths")
	if len(v.HTTP.Paths) == 0 {
		return field.ErrorList{field.Required(paths, "")}
	}
	var errs field.ErrorList
	for i := range v.HTTP.Paths {
		errs = append(errs, validateHTTPPath(&v.HTTP.Paths[i], paths.Index(i))...)
	}
	return errs
}

func validateHTTPPath(p *networkingv1.HTTPIngressPath, fld *field.Path) field.ErrorList {
	if p.PathType == nil {
		return field.ErrorList{field.Required(fld.Child("pathType"), "pathType must be specified")}
	}
	var errs field.ErrorList
	path := fld.Child("path")
	relative := !strings.HasPrefix(p.Path, "/")
	switch *p.PathType {
	case networkingv1.PathTypeExact, networkingv1.PathTypePrefix:
		if relative {
			errs = append(errs, field.Invalid(path, p.Path, "must be an absolute path"))
		}
		for _, s := range invalidPathSequences {
			if strings.Contains(p.Path, s) {
				errs = append(errs, field.Invalid(path, p.Path, fmt.Sprintf("must not contain '%s'", s)))
			}
		}
		for _, s := range invalidPathSuffixes {
			if strings.HasSuffix(p.Path, s) {
				errs = append(errs, field.Invalid(path, p.Path, fmt.Sprintf("cannot end with '%s'", s)))
			}
		}
	case networkingv1.PathTypeImplementationSpecific:
		if p.Path != "" && relative {
			errs = append(errs, field.Invalid(path, p.Path, "must be an absolute path"))
		}
	default:
		errs = append(errs, field.NotSupported(fld.Child("pathType"), *p.PathType, []networkingv1.PathType{networkingv1.PathTypeExact, networkingv1.PathTypeImplementationSpecific, networkingv1.PathTypePrefix}))
	}
	return append(errs, validateBackend(&p.Backend, fld.Child("backend"))...)
}

func validateBackend(b *networkingv1.IngressBackend, fld *field.Path) field.ErrorList {
	switch {
	case b.Resource != nil && b.Service != nil:
		return field.ErrorList{field.Invalid(fld, "", "cannot set both resource and service backends")}
	case b.Resource != nil:
		return validateTypedReference(b.Resource, fld.Child("resource"))
	case b.Service != nil:
		return validateServiceBackend(b.Service, fld)
	default:
		return field.ErrorList{field.Invalid(fld, "", "resource or service backend is required")}
	}
}

func validateServiceBackend(s *networkingv1.IngressServiceBackend, fld *field.Path) field.ErrorList {
	var errs field.ErrorList
	service := fld.Child("service")
	if s.Name == "" {
		errs = append(errs, field.Required(service.Child("name"), ""))
	} else {
		errs = append(errs, check.Messages(s.Name, apivalidation.NameIsDNSLabel(s.Name, false), service.Child("name"))...)
	}
	switch name, number := s.Port.Name, s.Port.Number; {
	case name != "" && number != 0:
		errs = append(errs, field.Invalid(fld, "", "cannot set both port name & port number"))
	case name != "":
		errs = append(errs, check.Messages(name, utilvalidation.IsValidPortName(name), service.Child("port", "name"))...)
	case number != 0:
		for _, msg := range utilvalidation.IsValidPortNum(int(number)) {
			errs = append(errs, field.Invalid(service.Child("port", "number"), number, msg))
		}
	default:
		errs = append(errs, field.Required(fld, "port name or number is required"))
	}
	return errs
}

func validateTypedReference(ref *corev1.TypedLocalObjectReference, fld *field.Path) field.ErrorList {
	var errs field.ErrorList
	if ref.APIGroup != nil {
		errs = append(errs, check.Messages(*ref.APIGroup, utilvalidation.IsDNS1123Subdomain(*ref.APIGroup), fld.Child("apiGroup"))...)
	}
	errs = append(errs, requiredSegment(ref.Kind, fld.Child("kind"))...)
	return append(errs, requiredSegment(ref.Name, fld.Child("name"))...)
}

// requiredSegment checks a name that can be a segment of a path.
func requiredSegment(s string, fld *field.Path) field.ErrorList {
	if s == "" {
		return field.ErrorList{field.Required(fld, "")}
	}
	return check.Messages(s, content.IsPathSegmentName(s), fld)
}

func validateIngressStatusUpdate(_ context.Context, i, old *networkingv1.Ingress) field.ErrorList {
	var stored []string
	for _, in := range old.Status.LoadBalancer.Ingress {
		if in.IP != "" {
			stored = append(stored, in.IP)
		}
	}
	var errs field.ErrorList
	for k, in := range i.Status.LoadBalancer.Ingress {
		fld := field.NewPath("status", "loadBalancer", "ingress").Index(k)
		if in.IP != "" {
			errs = append(errs, utilvalidation.IsValidIPForLegacyField(fld.Child("ip"), in.IP, true, stored)...)
		}
		if in.Hostname == "" {
			continue
		}
		errs = append(errs, check.Messages(in.Hostname, utilvalidation.IsDNS1123Subdomain(in.Hostname), fld.Child("hostname"))...)
		if netutils.ParseIPSloppy(in.Hostname) != nil {
			errs = append(errs, field.Invalid(fld.Child("hostname"), in.Hostname, "must be a DNS name, not an IP address"))
		}
	}
	return errs
}

func validateIngressClass(_ context.Context, c *networkingv1.IngressClass) field.ErrorList {
	fld := field.NewPath("spec")
	var errs field.ErrorList
	if len(c.Spec.Controller) > maxControllerName {
		errs = append(errs, field.TooLong(fld.Child("controller"), "", maxControllerName))
	}
	errs = append(errs, utilvalidation.IsDomainPrefixedPath(fld.Child("controller"), c.Spec.Controller)...)
	if c.Spec.Parameters != nil {
		errs = append(errs, validateParameters(c.Spec.Parameters, fld.Child("parameters"))...)
	}
	return errs
}

func validateIngressClassUpdate(ctx context.Context, c, old *networkingv1.IngressClass) field.ErrorList {
	errs := apivalidation.ValidateImmutableField(c.Spec.Controller, old.Spec.Controller, field.NewPath("spec", "controller"))
	return append(errs, validateIngressClass(ctx, c)...)
}

func validateParameters(p *networkingv1.IngressClassParametersReference, fld *field.Path) field.ErrorList {
	var errs field.ErrorList
	if p.APIGroup != nil {
		errs = append(errs, check.Messages(*p.APIGroup, utilvalidation.IsDNS1123Subdomain(*p.APIGroup), fld.Child("apiGroup"))...)
	}
	errs = append(errs, requiredSegment(p.Kind, fld.Child("kind"))...)
	errs = append(errs, requiredSegment(p.Name, fld.Child("name"))...)
	if p.Scope == nil {
		return append(errs, field.Required(fld.Child("scope"), ""))
	}
	namespace := fld.Child("namespace")
	switch *p.Scope {
	case networkingv1.IngressClassParametersReferenceScopeNamespace:
		if p.Namespace == nil {
			return append(errs, field.Required(namespace, "`parameters.scope` is set to 'Namespace'"))
		}
		errs = append(errs, check.Messages(*p.Namespace, apivalidation.ValidateNamespaceName(*p.Namespace, false), namespace)...)
	case networkingv1.IngressClassParametersReferenceScopeCluster:
		if p.Namespace != nil {
			errs = append(errs, field.Forbidden(namespace, "`parameters.scope` is set to 'Cluster'"))
		}
	default:
		errs = append(errs, field.NotSupported(fld.Child("scope"), *p.Scope, []string{networkingv1.IngressClassParametersReferenceScopeCluster, networkingv1.IngressClassParametersReferenceScopeNamespace}))
	}
	return errs
}
