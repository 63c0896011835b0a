package apiextensions

import (
	"context"
	"strings"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	utilvalidation "k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"skiff/server/registry/check"
)

func validateDefinition(_ context.Context, d *definition) field.ErrorList {
	var errs field.ErrorList
	if d.Name != d.Spec.Names.Plural+"."+d.Spec.Group {
		errs = append(errs, field.Invalid(field.NewPath("metadata", "name"), d.Name, `must be spec.names.plural+"."+spec.group`))
	}
	return append(errs, validateSpecAndStatus(d)...)
}

func validateDefinitionUpdate(_ context.Context, d, old *definition) field.ErrorList {
	errs := validateSpecAndStatus(d)
	fld := field.NewPath("spec")
	if established(old) {
		errs = append(errs, apivalidation.ValidateImmutableField(d.Spec.Scope, old.Spec.Scope, fld.Child("scope"))...)
		errs = append(errs, apivalidation.ValidateImmutableField(d.Spec.Names.Kind, old.Spec.Names.Kind, fld.Child("names", "kind"))...)
	}
	errs = append(errs, apivalidation.ValidateImmutableField(d.Spec.Group, old.Spec.Group, fld.Child("group"))...)
	return append(errs, apivalidation.ValidateImmutableField(d.Spec.Names.Plural, old.Spec.Names.Plural, fld.Child("names", "plural"))...)
}

// established tells whether there can be objects of the definition.
func established(d *definition) bool {
	for _, c := range d.Status.Conditions {
		if c.Type == apiextensionsv1.Established && c.Status == apiextensionsv1.ConditionTrue {
			return true
		}
	}
	return false
}

func validateDefinitionStatus(_ context.Context, d, _ *definition) field.ErrorList {
	errs := validateNames(&d.Status.AcceptedNames, field.NewPath("status", "acceptedNames"))
	return append(errs, validateStoredVersions(d)...)
}

func validateSpecAndStatus(d *definition) field.ErrorList {
	fld := field.NewPath("spec")
	errs := validateGroup(d.Spec.Group, fld.Child("group"))
	errs = append(errs, check.OneOf(d.Spec.Scope, []apiextensionsv1.ResourceScope{apiextensionsv1.ClusterScoped, apiextensionsv1.NamespaceScoped}, fld.Child("scope"))...)
	errs = append(errs, validateVersions(&d.Spec, fld.Child("versions"))...)
	names := &d.Spec.Names
	for _, n := range []struct{ value, field string }{{names.Plural, "plural"}, {names.Singular, "singular"}, {names.Kind, "kind"}, {names.ListKind, "listKind"}} {
		if n.value == "" {
			errs = append(errs, field.Required(fld.Child("names", n.field), ""))
		}
	}
	errs = append(errs, validateNames(names, fld.Child("names"))...)
	errs = append(errs, validateConversion(d.Spec.Conversion, fld.Child("conversion"))...)
	errs = append(errs, validateNames(&d.Status.AcceptedNames, field.NewPath("status", "acceptedNames"))...)
	return append(errs, validateStoredVersions(d)...)
}

func validateGroup(group string, fld *field.Path) field.ErrorList {
	if group == "" {
		return field.ErrorList{field.Required(fld, "")}
	}
	if msgs := utilvalidation.IsDNS1123Subdomain(group); len(msgs) > 0 {
		return field.ErrorList{field.Invalid(fld, group, strings.Join(msgs, ","))}
	}
	if !strings.Contains(group, ".") {
		return field.ErrorList{field.Invalid(fld, group, "should be a domain with at least one dot")}
	}
	return nil
}

func validateVersions(spec *apiextensionsv1.CustomResourceDefinitionSpec, fld *field.Path) field.ErrorList {
	var errs field.ErrorList
	storage, unique, seen := 0, true, map[string]bool{}
	for i := range spec.Versions {
		v := &spec.Versions[i]
		if v.Schema == nil || v.Schema.OpenAPIV3Schema == nil {
			errs = append(errs, field.Required(fld.Index(i).Child("schema", "openAPIV3Schema"), ""))
		}
		if v.Storage {
			storage++
		}
		unique = unique && !seen[v.Name]
		seen[v.Name] = true
		errs = append(errs, label(v.Name, "", fld.Index(i).Child("name"))...)
		if v.DeprecationWarning != nil && !v.Deprecated {
			errs = append(errs, field.Invalid(fld.Index(i).Child("deprecationWarning"), v.DeprecationWarning, "can only be set for deprecated versions"))
		}
	}
	if !unique {
		errs = append(errs, field.Invalid(fld, field.OmitValueType{}, "must contain unique version names"))
	}
	if storage != 1 {
		errs = append(errs, field.Invalid(fld, field.OmitValueType{}, "must have exactly one version marked as storage version"))
	}
	return errs
}

// label checks a value that is a DNS-1035 label; an empty one is missed elsewhere.
func label(value, prefix string, fld *field.Path) field.ErrorList {
	if msgs := utilvalidation.IsDNS1035Label(strings.ToLower(value)); len(msgs) > 0 {
		return field.ErrorList{field.Invalid(fld, value, prefix+strings.Join(msgs, ","))}
	}
	return nil
}

func validateNames(n *apiextensionsv1.CustomResourceDefinitionNames, fld *field.Path) field.ErrorList {
	const mixed = "may have mixed case, but should otherwise match: "
	var errs field.ErrorList
	for _, f := range []struct{ value, prefix, field string }{
		{n.Plural, "", "plural"}, {n.Singular, "", "singular"}, {n.Kind, mixed, "kind"}, {n.ListKind, mixed, "listKind"},
	} {
		if f.value == "" {
			continue
		}
		if f.prefix == "" && strings.ToLower(f.value) != f.value {
			errs = append(errs, field.Invalid(fld.Child(f.field), f.value, strings.Join(utilvalidation.IsDNS1035Label(f.value), ",")))
			continue
		}
		errs = append(errs, label(f.value, f.prefix, fld.Child(f.field))...)
	}
	for i, s := range n.ShortNames {
		errs = append(errs, strictLabel(s, fld.Child("shortNames").Index(i))...)
	}
	if n.Kind != "" && n.Kind == n.ListKind {
		errs = append(errs, field.Invalid(fld.Child("listKind"), n.ListKind, "kind and listKind may not be the same"))
	}
	for i, c := range n.Categories {
		errs = append(errs, strictLabel(c, fld.Child("categories").Index(i))...)
	}
	return errs
}

func strictLabel(value string, fld *field.Path) field.ErrorList {
	if msgs := utilvalidation.IsDNS1035Label(value); len(msgs) > 0 {
		return field.ErrorList{field.Invalid(fld, value, strings.Join(msgs, ","))}
	}
	return nil
}

func validateConversion(c *apiextensionsv1.CustomResourceConversion, fld *field.Path) field.ErrorList {
	if c == nil {
		return nil
	}
	errs := check.OneOf(c.Strategy, []apiextensionsv1.ConversionStrategyType{apiextensionsv1.NoneConverter, apiextensionsv1.WebhookConverter}, fld.Child("strategy"))
	config := fld.Child("webhookClientConfig")
	if c.Strategy != apiextensionsv1.WebhookConverter {
		if c.Webhook != nil {
			errs = append(errs, field.Forbidden(config, "should not be set when strategy is not set to Webhook"))
		}
		return errs
	}
	if c.Webhook == nil || c.Webhook.ClientConfig == nil {
		return append(errs, field.Required(config, "required when strategy is set to Webhook"))
	}
	if cc := c.Webhook.ClientConfig; (cc.URL == nil) == (cc.Service == nil) {
		errs = append(errs, field.Required(config, "exactly one of url or service is required"))
	}
	if len(c.Webhook.ConversionReviewVersions) == 0 {
		errs = append(errs, field.Required(fld.Child("conversionReviewVersions"), ""))
	}
	return errs
}

func validateStoredVersions(d *definition) field.ErrorList {
	fld, stored := field.NewPath("status", "storedVersions"), d.Status.StoredVersions
	if len(stored) == 0 {
		return field.ErrorList{field.Invalid(fld, stored, "must have at least one stored version")}
	}
	var errs field.ErrorList
	versions := map[string]bool{}
	for _, v := range d.Spec.Versions {
		versions[v.Name] = true
		if v.Storage && !contains(stored, v.Name) {
			errs = append(errs, field.Invalid(fld, stored, "must have the storage version "+v.Name))
		}
	}
	for i, v := range stored {
		if !versions[v] {
			errs = append(errs, field.Invalid(fld.Index(i), v, "missing from spec.versions; "+v+" was previously a storage version, and must remain in spec.versions until a storage migration ensures no data remains persisted in "+v+" and removes "+v+" from status.storedVersions"))
		}
	}
	return errs
}

func contains(list []string, s string) bool {
	for _, e := range list {
		if e == s {
			return true
		}
	}
	return false
}
