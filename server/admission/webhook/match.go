package webhook

import (
	"context"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	upstream "k8s.io/apiserver/pkg/admission"
	"k8s.io/apiserver/pkg/admission/plugin/webhook/predicates/namespace"
	"k8s.io/apiserver/pkg/admission/plugin/webhook/predicates/object"
	"k8s.io/apiserver/pkg/admission/plugin/webhook/predicates/rules"
	"k8s.io/apiserver/pkg/authorization/authorizer"
)

// matcher decides which hooks a write is for.
type matcher struct {
	namespaces namespace.Matcher
	objects    object.Matcher
	authorizer authorizer.UnconditionalAuthorizer
}

func newMatcher(cfg Config) *matcher {
	return &matcher{
		namespaces: namespace.Matcher{NamespaceLister: cfg.Informers.Core().V1().Namespaces().Lister(), Client: cfg.Client},
		authorizer: cfg.Authorizer,
	}
}

// match returns how the hook is to be called about the write, nil if not at all.
// That a selector cannot be evaluated counts only for a hook whose rules match.
func (m *matcher) match(ctx context.Context, h *hook, w *write) (*invocation, error) {
	attrs := w.attributes()
	ok, nsErr := m.namespaces.MatchNamespaceSelector(h, attrs)
	if !ok && nsErr == nil {
		return nil, nil
	}
	ok, objErr := m.objects.MatchObjectSelector(h, attrs)
	if !ok && objErr == nil {
		return nil, nil
	}
	inv := byRules(h, w, attrs)
	switch {
	case inv == nil:
		return nil, nil
	case nsErr != nil:
		return nil, nsErr
	case objErr != nil:
		return nil, objErr
	case len(h.conditions) == 0:
		return inv, nil
	}
	return m.byConditions(ctx, inv, w)
}

// byRules finds the first rule that fits, to the resource as it is asked for, or as
// another version serves it.
func byRules(h *hook, w *write, attrs upstream.Attributes) *invocation {
	for _, r := range h.rules {
		if (&rules.Matcher{Rule: r, Attr: attrs}).Matches() {
			return &invocation{h, attrs.GetResource(), attrs.GetKind()}
		}
	}
	if !h.equivalent {
		return nil
	}
	equivalents := w.Versions.Equivalents()
	for _, r := range h.rules {
		for _, e := range equivalents {
			if (&rules.Matcher{Rule: r, Attr: elsewhere{attrs, e.Resource}}).Matches() {
				return &invocation{h, e.Resource, e.Kind}
			}
		}
	}
	return nil
}

// elsewhere is a write as if it were of another resource.
type elsewhere struct {
	upstream.Attributes
	resource schema.GroupVersionResource
}

// GetResource implements admission.Attributes.
func (e elsewhere) GetResource() schema.GroupVersionResource { return e.resource }

func (m *matcher) byConditions(ctx context.Context, inv *invocation, w *write) (*invocation, error) {
	v, err := w.as(inv.kind)
	if err != nil {
		return nil, err
	}
	result := inv.condition().Match(ctx, v.versioned(w), nil, m.authorizer)
	switch {
	case result.Error != nil:
		return nil, apierrors.NewForbidden(w.Resource.GroupResource(), w.Name, result.Error)
	case !result.Matches:
		return nil, nil
	}
	return inv, nil
}
