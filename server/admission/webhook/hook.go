package webhook

import (
	"fmt"
	"sync"
	"time"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apiserver/pkg/admission/plugin/webhook/matchconditions"

	"skiff/server/matchcondition"
)

// The types of hooks, as metrics call them.
const (
	typeMutating   = "admit"
	typeValidating = "validating"
)

// hook is one webhook of either kind, and what was made of its configuration.
type hook struct {
	// id tells it from all others.
	id string
	// mutates tells the two kinds apart.
	mutates       bool
	name          string
	client        admissionv1.WebhookClientConfig
	rules         []admissionv1.RuleWithOperations
	namespaces    *metav1.LabelSelector
	objects       *metav1.LabelSelector
	conditions    []admissionv1.MatchCondition
	equivalent    bool
	ignoreFailure bool
	// quiet tells that a dry run of a request may call it.
	quiet     bool
	timeout   time.Duration
	versions  []string
	reinvoked bool

	selectors func() (namespaces, objects labels.Selector, err error)
	condition func() matchconditions.Matcher
	connect   func() (*connection, error)
}

// GetParsedNamespaceSelector implements namespace.NamespaceSelectorProvider.
func (h *hook) GetParsedNamespaceSelector() (labels.Selector, error) {
	namespaces, _, err := h.selectors()
	return namespaces, err
}

// GetParsedObjectSelector implements object.ObjectSelectorProvider.
func (h *hook) GetParsedObjectSelector() (labels.Selector, error) {
	_, objects, err := h.selectors()
	return objects, err
}

// metricType is what metrics call the hook's kind.
func (h *hook) metricType() string {
	if h.mutates {
		return typeMutating
	}
	return typeValidating
}

func (h *hook) failurePolicy() admissionv1.FailurePolicyType {
	if h.ignoreFailure {
		return admissionv1.Ignore
	}
	return admissionv1.Fail
}

// newHook takes what both kinds have in common from a webhook. What costs something
// to make is made when it is needed first.
func newHook(cfg *Config, configuration string, index int, w *admissionv1.ValidatingWebhook) *hook {
	h := &hook{
		id: fmt.Sprintf("%s/%s/%d", configuration, w.Name, index), name: w.Name,
		client: w.ClientConfig, rules: w.Rules, namespaces: w.NamespaceSelector, objects: w.ObjectSelector, conditions: w.MatchConditions,
		equivalent:    w.MatchPolicy != nil && *w.MatchPolicy == admissionv1.Equivalent,
		ignoreFailure: w.FailurePolicy != nil && *w.FailurePolicy == admissionv1.Ignore,
		quiet:         w.SideEffects != nil && (*w.SideEffects == admissionv1.SideEffectClassNone || *w.SideEffects == admissionv1.SideEffectClassNoneOnDryRun),
		versions:      w.AdmissionReviewVersions,
	}
	if w.TimeoutSeconds != nil {
		h.timeout = time.Duration(*w.TimeoutSeconds) * time.Second
	}
	var parsed struct{ namespaces, objects labels.Selector }
	parse := sync.OnceValue(func() error {
		var err error
		if parsed.namespaces, err = metav1.LabelSelectorAsSelector(h.namespaces); err != nil {
			return err
		}
		parsed.objects, err = metav1.LabelSelectorAsSelector(h.objects)
		return err
	})
	h.selectors = func() (labels.Selector, labels.Selector, error) {
		err := parse()
		return parsed.namespaces, parsed.objects, err
	}
	h.condition = sync.OnceValue(func() matchconditions.Matcher {
		return matchcondition.Compile(h.name, h.metricType(), h.conditions, h.failurePolicy())
	})
	h.connect = sync.OnceValues(func() (*connection, error) { return newConnection(&h.client, cfg.Services) })
	return h
}

func newMutatingHook(cfg *Config, configuration string, index int, w *admissionv1.MutatingWebhook) *hook {
	h := newHook(cfg, configuration, index, &admissionv1.ValidatingWebhook{
		Name: w.Name, ClientConfig: w.ClientConfig, Rules: w.Rules, FailurePolicy: w.FailurePolicy, MatchPolicy: w.MatchPolicy,
		NamespaceSelector: w.NamespaceSelector, ObjectSelector: w.ObjectSelector, SideEffects: w.SideEffects, TimeoutSeconds: w.TimeoutSeconds,
		AdmissionReviewVersions: w.AdmissionReviewVersions, MatchConditions: w.MatchConditions,
	})
	h.mutates = true
	h.reinvoked = w.ReinvocationPolicy != nil && *w.ReinvocationPolicy == admissionv1.IfNeededReinvocationPolicy
	return h
}

// close lets go of the hook's idle connections.
func (h *hook) close() {
	if c, err := h.connect(); err == nil {
		c.client.CloseIdleConnections()
	}
}
