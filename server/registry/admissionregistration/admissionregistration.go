// Package admissionregistration describes the resources of the API group
// admissionregistration.k8s.io: webhook configurations, admission policies and
// their bindings.
package admissionregistration

import (
	"context"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"skiff/server/registry"
	"skiff/server/registry/table"
)

// Group is the API group's name.
const Group = admissionv1.GroupName

func webhookColumns() []table.Column {
	return []table.Column{
		table.Name(),
		table.Integer("Webhooks", "Webhooks indicates the number of webhooks registered in this configuration"),
		table.Age(),
	}
}

// ValidatingWebhookConfigurations returns the resource
// validatingwebhookconfigurations.
func ValidatingWebhookConfigurations() *registry.Resource {
	type config = admissionv1.ValidatingWebhookConfiguration
	return &registry.Resource{
		Group: Group, Plural: "validatingwebhookconfigurations", Singular: "validatingwebhookconfiguration", Kind: "ValidatingWebhookConfiguration",
		Categories: []string{"api-extensions"},
		Versions:   []registry.Version{{Name: "v1", New: registry.New[config](), NewList: registry.New[admissionv1.ValidatingWebhookConfigurationList]()}},
		Rules: registry.Rules{
			FreeFinalizers: true,
			Default: registry.Default(func(c *config) {
				for i := range c.Webhooks {
					defaultValidatingWebhook(&c.Webhooks[i])
				}
			}),
			Generation:     true,
			Validate:       registry.Validate(validateValidatingConfig),
			ValidateUpdate: registry.ValidateUpdate(validateValidatingConfigUpdate),
		},
		Columns: webhookColumns(),
		Cells: registry.Cells(func(c *config) []any {
			return []any{c.Name, int64(len(c.Webhooks)), table.Since(c.CreationTimestamp)}
		}),
	}
}

// MutatingWebhookConfigurations returns the resource
// mutatingwebhookconfigurations.
func MutatingWebhookConfigurations() *registry.Resource {
	type config = admissionv1.MutatingWebhookConfiguration
	return &registry.Resource{
		Group: Group, Plural: "mutatingwebhookconfigurations", Singular: "mutatingwebhookconfiguration", Kind: "MutatingWebhookConfiguration",
		Categories: []string{"api-extensions"},
		Versions:   []registry.Version{{Name: "v1", New: registry.New[config](), NewList: registry.New[admissionv1.MutatingWebhookConfigurationList]()}},
		Rules: registry.Rules{
			FreeFinalizers: true,
			Default: registry.Default(func(c *config) {
				for i := range c.Webhooks {
					defaultMutatingWebhook(&c.Webhooks[i])
				}
			}),
			Generation:     true,
			Validate:       registry.Validate(validateMutatingConfig),
			ValidateUpdate: registry.ValidateUpdate(validateMutatingConfigUpdate),
		},
		Columns: webhookColumns(),
		Cells: registry.Cells(func(c *config) []any {
			return []any{c.Name, int64(len(c.Webhooks)), table.Since(c.CreationTimestamp)}
		}),
	}
}

func policyColumns(what, description string) []table.Column {
	return []table.Column{
		table.Name(),
		table.Integer(what, description),
		table.String("ParamKind", "ParamKind specifies the kind of resources used to parameterize this policy"),
		table.Age(),
	}
}

// ValidatingAdmissionPolicies returns the resource validatingadmissionpolicies.
func ValidatingAdmissionPolicies() *registry.Resource {
	type policy = admissionv1.ValidatingAdmissionPolicy
	return &registry.Resource{
		Group: Group, Plural: "validatingadmissionpolicies", Singular: "validatingadmissionpolicy", Kind: "ValidatingAdmissionPolicy",
		Categories: []string{"api-extensions"},
		Versions:   []registry.Version{{Name: "v1", New: registry.New[policy](), NewList: registry.New[admissionv1.ValidatingAdmissionPolicyList]()}},
		Rules: registry.Rules{
			FreeFinalizers: true,
			Default: registry.Default(func(p *policy) {
				setDefault(&p.Spec.FailurePolicy, admissionv1.Fail)
				defaultMatchResources(p.Spec.MatchConstraints)
			}),
			PrepareCreate: registry.Prepare(func(_ context.Context, p *policy) {
				p.Status = admissionv1.ValidatingAdmissionPolicyStatus{}
			}),
			PrepareUpdate:  registry.PrepareUpdate(func(_ context.Context, p, old *policy) { p.Status = old.Status }),
			Generation:     true,
			Validate:       registry.Validate(validateValidatingPolicy),
			ValidateUpdate: registry.ValidateUpdate(validateValidatingPolicyUpdate),
		},
		Columns: policyColumns("Validations", "Validations indicates the number of validation rules defined in this configuration"),
		Cells: registry.Cells(func(p *policy) []any {
			return []any{p.Name, int64(len(p.Spec.Validations)), paramKind(p.Spec.ParamKind), table.Since(p.CreationTimestamp)}
		}),
		Subresources: []registry.Subresource{{Name: "status", Update: &registry.Rules{
			PrepareUpdate: registry.PrepareUpdate(func(_ context.Context, p, old *policy) {
				p.Spec = old.Spec
				metav1.ResetObjectMetaForStatus(&p.ObjectMeta, &old.ObjectMeta)
			}),
			ValidateUpdate: registry.ValidateUpdate(validatePolicyStatus),
		}}},
	}
}

// MutatingAdmissionPolicies returns the resource mutatingadmissionpolicies.
func MutatingAdmissionPolicies() *registry.Resource {
	type policy = admissionv1.MutatingAdmissionPolicy
	return &registry.Resource{
		Group: Group, Plural: "mutatingadmissionpolicies", Singular: "mutatingadmissionpolicy", Kind: "MutatingAdmissionPolicy",
		Categories: []string{"api-extensions"},
		Versions:   []registry.Version{{Name: "v1", New: registry.New[policy](), NewList: registry.New[admissionv1.MutatingAdmissionPolicyList]()}},
		Rules: registry.Rules{
			FreeFinalizers: true,
			Default: registry.Default(func(p *policy) {
				setDefault(&p.Spec.FailurePolicy, admissionv1.Fail)
				defaultMatchResources(p.Spec.MatchConstraints)
			}),
			Generation:     true,
			Validate:       registry.Validate(validateMutatingPolicy),
			ValidateUpdate: registry.ValidateUpdate(validateMutatingPolicyUpdate),
		},
		Columns: policyColumns("Mutations", "Mutation indicates the number of mutations rules defined in this configuration"),
		Cells: registry.Cells(func(p *policy) []any {
			return []any{p.Name, int64(len(p.Spec.Mutations)), paramKind(p.Spec.ParamKind), table.Since(p.CreationTimestamp)}
		}),
	}
}

func bindingColumns() []table.Column {
	return []table.Column{
		table.Name(),
		table.String("PolicyName", "PolicyName indicates the policy definition which the policy binding binded to"),
		table.String("ParamRef", "ParamRef indicates the param resource which sets the configuration param"),
		table.Age(),
	}
}

// ValidatingAdmissionPolicyBindings returns the resource
// validatingadmissionpolicybindings.
func ValidatingAdmissionPolicyBindings() *registry.Resource {
	type binding = admissionv1.ValidatingAdmissionPolicyBinding
	return &registry.Resource{
		Group: Group, Plural: "validatingadmissionpolicybindings", Singular: "validatingadmissionpolicybinding", Kind: "ValidatingAdmissionPolicyBinding",
		Categories: []string{"api-extensions"},
		Versions:   []registry.Version{{Name: "v1", New: registry.New[binding](), NewList: registry.New[admissionv1.ValidatingAdmissionPolicyBindingList]()}},
		Rules: registry.Rules{
			FreeFinalizers: true,
			Default:        registry.Default(func(b *binding) { defaultMatchResources(b.Spec.MatchResources) }),
			Generation:     true,
			Validate:       registry.Validate(validateValidatingBinding),
			ValidateUpdate: registry.ValidateUpdate(validateValidatingBindingUpdate),
		},
		Columns: bindingColumns(),
		Cells: registry.Cells(func(b *binding) []any {
			return []any{b.Name, b.Spec.PolicyName, paramRef(b.Spec.ParamRef), table.Since(b.CreationTimestamp)}
		}),
	}
}

// MutatingAdmissionPolicyBindings returns the resource
// mutatingadmissionpolicybindings.
func MutatingAdmissionPolicyBindings() *registry.Resource {
	type binding = admissionv1.MutatingAdmissionPolicyBinding
	return &registry.Resource{
		Group: Group, Plural: "mutatingadmissionpolicybindings", Singular: "mutatingadmissionpolicybinding", Kind: "MutatingAdmissionPolicyBinding",
		Categories: []string{"api-extensions"},
		Versions:   []registry.Version{{Name: "v1", New: registry.New[binding](), NewList: registry.New[admissionv1.MutatingAdmissionPolicyBindingList]()}},
		Rules: registry.Rules{
			FreeFinalizers: true,
			Default:        registry.Default(func(b *binding) { defaultMatchResources(b.Spec.MatchResources) }),
			Generation:     true,
			Validate:       registry.Validate(validateMutatingBinding),
			ValidateUpdate: registry.ValidateUpdate(validateMutatingBindingUpdate),
		},
		Columns: bindingColumns(),
		Cells: registry.Cells(func(b *binding) []any {
			return []any{b.Name, b.Spec.PolicyName, paramRef(b.Spec.ParamRef), table.Since(b.CreationTimestamp)}
		}),
	}
}

func paramKind(k *admissionv1.ParamKind) string {
	if k == nil {
		return "<unset>"
	}
	return k.APIVersion + "/" + k.Kind
}

// paramRef shows a reference. Whether its kind is namespaced cannot be seen here.
func paramRef(r *admissionv1.ParamRef) string {
	switch {
	case r == nil || r.Name == "" && r.Selector == nil:
		return "<unset>"
	case r.Name == "":
		return r.Selector.String()
	case r.Namespace == "":
		return "*/" + r.Name
	default:
		return r.Namespace + "/" + r.Name
	}
}
