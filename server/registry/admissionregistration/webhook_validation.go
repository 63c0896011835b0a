package admissionregistration

import (
	"context"
	"fmt"
	"net/url"
	"slices"
	"strings"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	metav1validation "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	utilvalidation "k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/apiserver/pkg/cel"

	"skiff/server/matchcondition"
	"skiff/server/registry/check"
)

// reviewVersions are the AdmissionReview versions that the server can send.
var reviewVersions = []string{"v1", "v1beta1"}

// webhookOptions loosen the rules for what is stored already.
type webhookOptions struct {
	sideEffects, versions, duplicateNames, labels bool
	// expressions are the match conditions that are stored.
	expressions map[string]bool
}

// webhook is what both kinds of webhooks have.
type webhook struct {
	name                string
	client              *admissionv1.WebhookClientConfig
	rules               []admissionv1.RuleWithOperations
	failure             *admissionv1.FailurePolicyType
	match               *admissionv1.MatchPolicyType
	namespaces, objects *metav1.LabelSelector
	sideEffects         *admissionv1.SideEffectClass
	timeout             *int32
	versions            []string
	conditions          []admissionv1.MatchCondition
	reinvocation        *admissionv1.ReinvocationPolicyType
}

func validatingWebhooks(c *admissionv1.ValidatingWebhookConfiguration) []webhook {
	list := make([]webhook, len(c.Webhooks))
	for i := range c.Webhooks {
		w := &c.Webhooks[i]
		list[i] = webhook{
			w.Name, &w.ClientConfig, w.Rules, w.FailurePolicy, w.MatchPolicy, w.NamespaceSelector, w.ObjectSelector,
			w.SideEffects, w.TimeoutSeconds, w.AdmissionReviewVersions, w.MatchConditions, nil,
		}
	}
	return list
}

func mutatingWebhooks(c *admissionv1.MutatingWebhookConfiguration) []webhook {
	list := make([]webhook, len(c.Webhooks))
	for i := range c.Webhooks {
		w := &c.Webhooks[i]
		list[i] = webhook{
			w.Name, &w.ClientConfig, w.Rules, w.FailurePolicy, w.MatchPolicy, w.NamespaceSelector, w.ObjectSelector,
			w.SideEffects, w.TimeoutSeconds, w.AdmissionReviewVersions, w.MatchConditions, w.ReinvocationPolicy,
		}
	}
	return list
}

func validateValidatingConfig(_ context.Context, c *admissionv1.ValidatingWebhookConfiguration) field.ErrorList {
	return validateWebhooks(validatingWebhooks(c), webhookOptions{})
}

func validateValidatingConfigUpdate(_ context.Context, c, old *admissionv1.ValidatingWebhookConfiguration) field.ErrorList {
	return validateWebhooks(validatingWebhooks(c), optionsFor(validatingWebhooks(old)))
}

func validateMutatingConfig(_ context.Context, c *admissionv1.MutatingWebhookConfiguration) field.ErrorList {
	return validateWebhooks(mutatingWebhooks(c), webhookOptions{})
}

func validateMutatingConfigUpdate(_ context.Context, c, old *admissionv1.MutatingWebhookConfiguration) field.ErrorList {
	return validateWebhooks(mutatingWebhooks(c), optionsFor(mutatingWebhooks(old)))
}

func optionsFor(old []webhook) webhookOptions {
	opts := webhookOptions{expressions: map[string]bool{}}
	names := map[string]bool{}
	for i := range old {
		w := &old[i]
		for _, c := range w.conditions {
			opts.expressions[c.Expression] = true
		}
		opts.duplicateNames = opts.duplicateNames || names[w.name]
		names[w.name] = true
		opts.sideEffects = opts.sideEffects || w.sideEffects == nil || !harmless(*w.sideEffects)
		opts.versions = opts.versions || len(w.versions) > 0 && !hasReviewVersion(w.versions)
		opts.labels = opts.labels || metav1validation.LabelSelectorHasInvalidLabelValue(w.namespaces) || metav1validation.LabelSelectorHasInvalidLabelValue(w.objects)
	}
	return opts
}

func harmless(c admissionv1.SideEffectClass) bool {
	return c == admissionv1.SideEffectClassNone || c == admissionv1.SideEffectClassNoneOnDryRun
}

func hasReviewVersion(versions []string) bool {
	return slices.ContainsFunc(versions, func(v string) bool { return slices.Contains(reviewVersions, v) })
}

func validateWebhooks(list []webhook, opts webhookOptions) field.ErrorList {
	var errs field.ErrorList
	names := map[string]bool{}
	for i := range list {
		w, fld := &list[i], field.NewPath("webhooks").Index(i)
		errs = append(errs, validateWebhook(w, opts, fld)...)
		errs = append(errs, validateReviewVersions(w.versions, opts, fld.Child("admissionReviewVersions"))...)
		if w.name != "" && names[w.name] && !opts.duplicateNames {
			errs = append(errs, field.Duplicate(fld.Child("name"), w.name))
		}
		names[w.name] = true
	}
	return errs
}

func validateWebhook(w *webhook, opts webhookOptions, fld *field.Path) field.ErrorList {
	errs := utilvalidation.IsFullyQualifiedName(fld.Child("name"), w.name)
	for i := range w.rules {
		errs = append(errs, validateRule(&w.rules[i], fld.Child("rules").Index(i))...)
	}
	errs = append(errs, supported(w.failure, failurePolicies, fld.Child("failurePolicy"))...)
	errs = append(errs, supported(w.match, matchPolicies, fld.Child("matchPolicy"))...)
	errs = append(errs, validateSideEffects(w.sideEffects, opts, fld.Child("sideEffects"))...)
	if t := w.timeout; t != nil && (*t > 30 || *t < 1) {
		errs = append(errs, field.Invalid(fld.Child("timeoutSeconds"), *t, "the timeout value must be between 1 and 30 seconds"))
	}
	labels := metav1validation.LabelSelectorValidationOptions{AllowInvalidLabelValueInSelector: opts.labels}
	errs = append(errs, metav1validation.ValidateLabelSelector(w.namespaces, labels, fld.Child("namespaceSelector"))...)
	errs = append(errs, metav1validation.ValidateLabelSelector(w.objects, labels, fld.Child("objectSelector"))...)
	errs = append(errs, supported(w.reinvocation, reinvocationPolicies, fld.Child("reinvocationPolicy"))...)
	errs = append(errs, validateClient(w.client, fld.Child("clientConfig"))...)
	errs = append(errs, validateMatchConditions(w.conditions, fld.Child("matchConditions"))...)
	return append(errs, compileConditions(w.conditions, opts, fld.Child("matchConditions"))...)
}

// compileConditions checks the expressions of conditions.
func compileConditions(conditions []admissionv1.MatchCondition, opts webhookOptions, fld *field.Path) field.ErrorList {
	if len(conditions) > maxMatchConditions {
		return nil // which is told already
	}
	var errs field.ErrorList
	for i, c := range conditions {
		if strings.TrimSpace(c.Expression) == "" {
			continue
		}
		path := fld.Index(i).Child("expression")
		switch err := matchcondition.Check(c.Expression, opts.expressions[c.Expression]); {
		case err == nil:
		case err.Type == cel.ErrorTypeInvalid:
			errs = append(errs, field.Invalid(path, c.Expression, err.Detail))
		default:
			errs = append(errs, field.InternalError(path, err))
		}
	}
	return errs
}

// supported checks an optional value against the supported ones.
func supported[T ~string](v *T, list []T, fld *field.Path) field.ErrorList {
	if v == nil {
		return nil
	}
	return check.Supported(*v, list, fld)
}

func validateSideEffects(c *admissionv1.SideEffectClass, opts webhookOptions, fld *field.Path) field.ErrorList {
	allowed := []admissionv1.SideEffectClass{admissionv1.SideEffectClassNone, admissionv1.SideEffectClassNoneOnDryRun}
	if opts.sideEffects {
		allowed = append(allowed, admissionv1.SideEffectClassSome, admissionv1.SideEffectClassUnknown)
	}
	if c != nil {
		return check.Supported(*c, allowed, fld)
	}
	names := make([]string, len(allowed))
	for i, a := range allowed {
		names[i] = string(a)
	}
	return field.ErrorList{field.Required(fld, "must specify one of "+strings.Join(names, ", "))}
}

func validateReviewVersions(versions []string, opts webhookOptions, fld *field.Path) field.ErrorList {
	known := strings.Join(reviewVersions, ", ")
	if len(versions) == 0 {
		return field.ErrorList{field.Required(fld, "must specify one of "+known)}
	}
	var errs field.ErrorList
	seen := map[string]bool{}
	for i, v := range versions {
		if seen[v] {
			errs = append(errs, field.Invalid(fld.Index(i), v, "duplicate version"))
			continue
		}
		seen[v] = true
		errs = append(errs, check.Messages(v, utilvalidation.IsDNS1035Label(v), fld.Index(i))...)
	}
	if !opts.versions && !hasReviewVersion(versions) {
		errs = append(errs, field.Invalid(fld, versions, "must include at least one of "+known))
	}
	return errs
}

func validateClient(c *admissionv1.WebhookClientConfig, fld *field.Path) field.ErrorList {
	switch {
	case (c.URL == nil) == (c.Service == nil):
		return field.ErrorList{field.Required(fld, "exactly one of url or service is required")}
	case c.URL != nil:
		return validateURL(*c.URL, fld.Child("url"))
	default:
		return validateService(c.Service, fld.Child("service"))
	}
}

func validateURL(s string, fld *field.Path) field.ErrorList {
	const form = "; desired format: https://host[/path]"
	u, err := url.Parse(s)
	if err != nil {
		return field.ErrorList{field.Required(fld, "url must be a valid URL: "+err.Error()+form)}
	}
	var errs field.ErrorList
	if u.Scheme != "https" {
		errs = append(errs, field.Invalid(fld, u.Scheme, "'https' is the only allowed URL scheme"+form))
	}
	if u.Host == "" {
		errs = append(errs, field.Invalid(fld, u.Host, "host must be specified"+form))
	}
	if u.User != nil {
		errs = append(errs, field.Invalid(fld, u.User.String(), "user information is not permitted in the URL"))
	}
	if u.Fragment != "" {
		errs = append(errs, field.Invalid(fld, u.Fragment, "fragments are not permitted in the URL"))
	}
	if u.RawQuery != "" {
		errs = append(errs, field.Invalid(fld, u.RawQuery, "query parameters are not permitted in the URL"))
	}
	return errs
}

func validateService(s *admissionv1.ServiceReference, fld *field.Path) field.ErrorList {
	var errs field.ErrorList
	if s.Name == "" {
		errs = append(errs, field.Required(fld.Child("name"), ""))
	}
	if s.Namespace == "" {
		errs = append(errs, field.Required(fld.Child("namespace"), ""))
	}
	if s.Port != nil {
		if msgs := utilvalidation.IsValidPortNum(int(*s.Port)); msgs != nil {
			errs = append(errs, field.Invalid(fld.Child("port"), *s.Port, "port is not valid: "+strings.Join(msgs, ", ")))
		}
	}
	if s.Path == nil || *s.Path == "" || *s.Path == "/" {
		return errs
	}
	return append(errs, validatePath(*s.Path, fld.Child("path"))...)
}

func validatePath(path string, fld *field.Path) field.ErrorList {
	if path == "//" {
		return field.ErrorList{field.Invalid(fld, path, "segment[0] may not be empty")}
	}
	var errs field.ErrorList
	if !strings.HasPrefix(path, "/") {
		errs = append(errs, field.Invalid(fld, path, "must start with a '/'"))
	}
	for i, step := range strings.Split(strings.TrimSuffix(path[1:], "/"), "/") {
		if step == "" {
			errs = append(errs, field.Invalid(fld, path, fmt.Sprintf("segment[%d] may not be empty", i)))
			continue
		}
		for _, msg := range utilvalidation.IsDNS1123Subdomain(step) {
			errs = append(errs, field.Invalid(fld, path, fmt.Sprintf("segment[%d]: %v", i, msg)))
		}
	}
	return errs
}
