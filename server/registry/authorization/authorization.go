// Package authorization describes the resources of the API group
// authorization.k8s.io. They are questions: a create is answered, nothing is
// stored.
package authorization

import (
	"context"
	"strings"

	authorizationv1 "k8s.io/api/authorization/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	"k8s.io/apiserver/pkg/endpoints/request"

	"skiff/server/registry"
)

// Group is the API group's name.
const Group = authorizationv1.GroupName

// Authorizer is the part of authorizer.Authorizer that is used here.
type Authorizer interface {
	Authorize(ctx context.Context, a authorizer.Attributes) (authorizer.Decision, string, error)
}

// Deps is whom the reviews ask.
type Deps struct {
	Authorizer Authorizer
	Rules      authorizer.RuleResolver
}

// Resources returns the group's resources.
func Resources(d Deps) []*registry.Resource {
	return []*registry.Resource{
		review("subjectaccessreviews", "SubjectAccessReview", false, registry.New[authorizationv1.SubjectAccessReview](), d.subject),
		review("selfsubjectaccessreviews", "SelfSubjectAccessReview", false, registry.New[authorizationv1.SelfSubjectAccessReview](), d.self),
		review("localsubjectaccessreviews", "LocalSubjectAccessReview", true, registry.New[authorizationv1.LocalSubjectAccessReview](), d.local),
		review("selfsubjectrulesreviews", "SelfSubjectRulesReview", false, registry.New[authorizationv1.SelfSubjectRulesReview](), d.rules),
	}
}

// reviewer answers a review.
type reviewer = func(context.Context, runtime.Object, *metav1.CreateOptions) (runtime.Object, error)

func review(plural, kind string, namespaced bool, newObject func() runtime.Object, create reviewer) *registry.Resource {
	return &registry.Resource{
		Group: Group, Plural: plural, Singular: strings.ToLower(kind), Kind: kind, Namespaced: namespaced, Verbs: []string{"create"},
		Versions: []registry.Version{{Name: "v1", New: newObject}},
		Create:   create,
	}
}

func invalid(kind string, errs field.ErrorList) error {
	return apierrors.NewInvalid(schema.GroupKind{Group: Group, Kind: kind}, "", errs)
}

func (d Deps) subject(ctx context.Context, obj runtime.Object, _ *metav1.CreateOptions) (runtime.Object, error) {
	r, ok := obj.(*authorizationv1.SubjectAccessReview)
	if !ok {
		return nil, apierrors.NewBadRequest("not a SubjectAccessReview")
	}
	errs := append(validateSubjectSpec(&r.Spec), validateNoMeta(&r.ObjectMeta, "", "must be empty")...)
	if len(errs) > 0 {
		return nil, invalid("SubjectAccessReview", errs)
	}
	r.Status = d.answer(ctx, attributes(&r.Spec))
	return r, nil
}

func (d Deps) local(ctx context.Context, obj runtime.Object, _ *metav1.CreateOptions) (runtime.Object, error) {
	r, ok := obj.(*authorizationv1.LocalSubjectAccessReview)
	if !ok {
		return nil, apierrors.NewBadRequest("not a LocalSubjectAccessReview")
	}
	if errs := validateLocal(r); len(errs) > 0 {
		return nil, invalid("LocalSubjectAccessReview", errs)
	}
	if ns, ok := request.NamespaceFrom(ctx); ok && ns != "" && ns != r.Namespace {
		return nil, apierrors.NewBadRequest("spec.resourceAttributes.namespace must match namespace: " + ns)
	}
	r.Status = d.answer(ctx, attributes(&r.Spec))
	return r, nil
}

func (d Deps) self(ctx context.Context, obj runtime.Object, _ *metav1.CreateOptions) (runtime.Object, error) {
	r, ok := obj.(*authorizationv1.SelfSubjectAccessReview)
	if !ok {
		return nil, apierrors.NewBadRequest("not a SelfSubjectAccessReview")
	}
	errs := append(validateOneOf(r.Spec.ResourceAttributes, r.Spec.NonResourceAttributes), validateNoMeta(&r.ObjectMeta, "", "must be empty")...)
	if len(errs) > 0 {
		return nil, invalid("SelfSubjectAccessReview", errs)
	}
	u, ok := request.UserFrom(ctx)
	if !ok {
		return nil, apierrors.NewBadRequest("no user present on request")
	}
	r.Status = d.answer(ctx, attributesOf(u, r.Spec.ResourceAttributes, r.Spec.NonResourceAttributes))
	return r, nil
}

func (d Deps) answer(ctx context.Context, a authorizer.AttributesRecord) authorizationv1.SubjectAccessReviewStatus {
	if d.Authorizer == nil {
		return authorizationv1.SubjectAccessReviewStatus{EvaluationError: "no authorizer is configured"}
	}
	decision, reason, err := d.Authorizer.Authorize(ctx, a)
	return authorizationv1.SubjectAccessReviewStatus{
		Allowed:         decision == authorizer.DecisionAllow,
		Denied:          decision == authorizer.DecisionDeny,
		Reason:          reason,
		EvaluationError: evaluationError(err, &a),
	}
}

// evaluationError says what was left out of account in a decision.
func evaluationError(err error, a *authorizer.AttributesRecord) string {
	var parts []string
	if err != nil {
		parts = append(parts, err.Error())
	}
	ignored := func(selector string, parseErr error, some bool) {
		switch {
		case parseErr != nil && some:
			parts = append(parts, "spec.resourceAttributes."+selector+" partially ignored due to parse error")
		case parseErr != nil:
			parts = append(parts, "spec.resourceAttributes."+selector+" ignored due to parse error")
		}
	}
	ignored("fieldSelector", a.FieldSelectorParsingErr, len(a.FieldSelectorRequirements) > 0)
	ignored("labelSelector", a.LabelSelectorParsingErr, len(a.LabelSelectorRequirements) > 0)
	return strings.Join(parts, "; ")
}

func (d Deps) rules(ctx context.Context, obj runtime.Object, _ *metav1.CreateOptions) (runtime.Object, error) {
	r, ok := obj.(*authorizationv1.SelfSubjectRulesReview)
	if !ok {
		return nil, apierrors.NewBadRequest("not a SelfSubjectRulesReview")
	}
	u, ok := request.UserFrom(ctx)
	if !ok {
		return nil, apierrors.NewBadRequest("no user present on request")
	}
	if r.Spec.Namespace == "" {
		return nil, apierrors.NewBadRequest("no namespace on request")
	}
	answer := &authorizationv1.SelfSubjectRulesReview{}
	if d.Rules == nil {
		answer.Status.Incomplete, answer.Status.EvaluationError = true, "no rule resolver is configured"
		return answer, nil
	}
	resources, others, incomplete, err := d.Rules.RulesFor(ctx, u, r.Spec.Namespace)
	answer.Status = authorizationv1.SubjectRulesReviewStatus{
		ResourceRules:    make([]authorizationv1.ResourceRule, len(resources)),
		NonResourceRules: make([]authorizationv1.NonResourceRule, len(others)),
		Incomplete:       incomplete,
	}
	for i, rule := range resources {
		answer.Status.ResourceRules[i] = authorizationv1.ResourceRule{
			Verbs: rule.GetVerbs(), APIGroups: rule.GetAPIGroups(), Resources: rule.GetResources(), ResourceNames: rule.GetResourceNames(),
		}
	}
	for i, rule := range others {
		answer.Status.NonResourceRules[i] = authorizationv1.NonResourceRule{Verbs: rule.GetVerbs(), NonResourceURLs: rule.GetNonResourceURLs()}
	}
	if err != nil {
		answer.Status.EvaluationError = err.Error()
	}
	return answer, nil
}
