// Package apiregistration describes the resources of the API group
// apiregistration.k8s.io: API services.
package apiregistration

import (
	"context"
	"fmt"
	"strings"

	"k8s.io/apimachinery/pkg/api/validate/content"
	utilvalidation "k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
	apiregistrationv1 "k8s.io/kube-aggregator/pkg/apis/apiregistration/v1"

	"skiff/server/registry"
	"skiff/server/registry/check"
	"skiff/server/registry/table"
)

// Group is the API group's name.
const Group = "apiregistration.k8s.io"

// APIServices returns the resource apiservices.
func APIServices() *registry.Resource {
	type service = apiregistrationv1.APIService
	return &registry.Resource{
		Group: Group, Plural: "apiservices", Singular: "apiservice", Kind: "APIService",
		Categories: []string{"api-extensions"},
		Versions:   []registry.Version{{Name: "v1", New: registry.New[service](), NewList: registry.New[apiregistrationv1.APIServiceList]()}},
		Rules: registry.Rules{
			Default: registry.Default(func(s *service) {
				if ref := s.Spec.Service; ref != nil && ref.Port == nil {
					port := int32(443)
					ref.Port = &port
				}
			}),
			PrepareCreate: registry.Prepare(func(_ context.Context, s *service) { prepare(s) }),
			PrepareUpdate: registry.PrepareUpdate(func(_ context.Context, s, old *service) { s.Status = old.Status }),
			Validate:      registry.Validate(func(_ context.Context, s *service) field.ErrorList { return validate(s) }),
			ValidateUpdate: registry.ValidateUpdate(func(_ context.Context, s, _ *service) field.ErrorList {
				return validate(s)
			}),
			ValidateName:   func(name string, _ bool) []string { return content.IsPathSegmentName(name) },
			FreeFinalizers: true,
		},
		Columns: []table.Column{
			table.Name(),
			table.String("Service", "The reference to the service that hosts this API endpoint."),
			table.String("Available", "Whether this service is available."),
			table.Age(),
		},
		Cells: registry.Cells(func(s *service) []any {
			host := "Local"
			if ref := s.Spec.Service; ref != nil {
				host = ref.Namespace + "/" + ref.Name
			}
			return []any{s.Name, host, availability(s), table.Since(s.CreationTimestamp)}
		}),
		Subresources: []registry.Subresource{{Name: "status", Update: &registry.Rules{
			PrepareUpdate: registry.PrepareUpdate(func(_ context.Context, s, old *service) {
				s.Spec, s.Labels, s.Annotations = old.Spec, old.Labels, old.Annotations
				s.Finalizers, s.OwnerReferences = old.Finalizers, old.OwnerReferences
			}),
			ValidateUpdate: registry.ValidateUpdate(validateStatus),
		}}},
	}
}

// prepare marks a service that this server answers for itself as available.
func prepare(s *apiregistrationv1.APIService) {
	s.Status = apiregistrationv1.APIServiceStatus{}
	if s.Spec.Service == nil {
		s.Status.Conditions = []apiregistrationv1.APIServiceCondition{{
			Type: apiregistrationv1.Available, Status: apiregistrationv1.ConditionTrue,
			LastTransitionTime: s.CreationTimestamp, Reason: "Local", Message: "Local APIServices are always available",
		}}
	}
}

func availability(s *apiregistrationv1.APIService) string {
	for _, c := range s.Status.Conditions {
		if c.Type != apiregistrationv1.Available {
			continue
		}
		if c.Status != apiregistrationv1.ConditionTrue && c.Reason != "" {
			return fmt.Sprintf("%s (%s)", c.Status, c.Reason)
		}
		return string(c.Status)
	}
	return string(apiregistrationv1.ConditionUnknown)
}

func validate(s *apiregistrationv1.APIService) field.ErrorList {
	spec, fld := &s.Spec, field.NewPath("spec")
	var errs field.ErrorList
	if want := spec.Version + "." + spec.Group; s.Name != want {
		errs = append(errs, field.Invalid(field.NewPath("metadata", "name"), s.Name, fmt.Sprintf("must be `spec.version+\".\"+spec.group`: %q", want)))
	}
	if spec.Group == "" && spec.Version != "v1" {
		errs = append(errs, field.Required(fld.Child("group"), "only v1 may have an empty group and it better be legacy kube"))
	}
	if spec.Group != "" {
		errs = append(errs, check.Messages(spec.Group, utilvalidation.IsDNS1123Subdomain(spec.Group), fld.Child("group"))...)
	}
	errs = append(errs, check.Messages(spec.Version, utilvalidation.IsDNS1035Label(spec.Version), fld.Child("version"))...)
	if n := spec.GroupPriorityMinimum; n <= 0 || n > 20000 {
		errs = append(errs, field.Invalid(fld.Child("groupPriorityMinimum"), n, "must be positive and less than 20000"))
	}
	if n := spec.VersionPriority; n <= 0 || n > 1000 {
		errs = append(errs, field.Invalid(fld.Child("versionPriority"), n, "must be positive and less than 1000"))
	}
	if spec.Service == nil {
		return append(errs, validateLocal(spec, fld)...)
	}
	return append(errs, validateService(spec, fld)...)
}

func validateLocal(spec *apiregistrationv1.APIServiceSpec, fld *field.Path) field.ErrorList {
	var errs field.ErrorList
	if n := len(spec.CABundle); n != 0 {
		errs = append(errs, field.Invalid(fld.Child("caBundle"), fmt.Sprintf("%d bytes", n), "local APIServices may not have a caBundle"))
	}
	if spec.InsecureSkipTLSVerify {
		errs = append(errs, field.Invalid(fld.Child("insecureSkipTLSVerify"), true, "local APIServices may not have insecureSkipTLSVerify"))
	}
	return errs
}

func validateService(spec *apiregistrationv1.APIServiceSpec, fld *field.Path) field.ErrorList {
	var errs field.ErrorList
	ref := fld.Child("service")
	if spec.Service.Namespace == "" {
		errs = append(errs, field.Required(ref.Child("namespace"), ""))
	}
	if spec.Service.Name == "" {
		errs = append(errs, field.Required(ref.Child("name"), ""))
	}
	port := table.Or(spec.Service.Port, 0)
	if messages := utilvalidation.IsValidPortNum(int(port)); messages != nil {
		errs = append(errs, field.Invalid(ref.Child("port"), port, "port is not valid: "+strings.Join(messages, ", ")))
	}
	if spec.InsecureSkipTLSVerify && len(spec.CABundle) > 0 {
		errs = append(errs, field.Invalid(fld.Child("insecureSkipTLSVerify"), true, "may not be true if caBundle is present"))
	}
	return errs
}

func validateStatus(_ context.Context, s, _ *apiregistrationv1.APIService) field.ErrorList {
	var errs field.ErrorList
	for i, c := range s.Status.Conditions {
		errs = append(errs, check.Supported(c.Status, []apiregistrationv1.ConditionStatus{
			apiregistrationv1.ConditionTrue, apiregistrationv1.ConditionFalse, apiregistrationv1.ConditionUnknown,
		}, field.NewPath("status", "conditions").Index(i).Child("status"))...)
	}
	return errs
}
