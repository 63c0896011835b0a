package webhook

import (
	"context"
	"log/slog"
	"net"

	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"

	"skiff/server/admission"
)

// Services connects to services.
type Services interface {
	// DialService connects to one of the endpoints of a service's port that are
	// ready, wherever it runs.
	DialService(ctx context.Context, namespace, name string, port int32) (net.Conn, error)
}

// Config is what the plugins need.
type Config struct {
	// Informers must not have started.
	Informers informers.SharedInformerFactory
	// Client reads what the informers do not know yet.
	Client     kubernetes.Interface
	Services   Services
	Authorizer authorizer.UnconditionalAuthorizer
	Logger     *slog.Logger
	// Metrics may be nil.
	Metrics *Metrics
}

// Mutating is the plugin that lets webhooks change objects.
type Mutating struct {
	hooks  *source
	caller *caller
	match  *matcher
}

// Validating is the plugin that lets webhooks refuse objects.
type Validating struct {
	hooks  *source
	caller *caller
	match  *matcher
}

// New returns both plugins. They belong behind all others that change objects.
func New(cfg Config) (*Mutating, *Validating) {
	c := &caller{log: cfg.Logger, metrics: cfg.Metrics}
	m := newMatcher(cfg)
	return &Mutating{hooks: mutatingSource(cfg), caller: c, match: m}, &Validating{hooks: validatingSource(cfg), caller: c, match: m}
}

// Name implements admission.Plugin.
func (*Mutating) Name() string { return "MutatingAdmissionWebhook" }

// Name implements admission.Plugin.
func (*Validating) Name() string { return "ValidatingAdmissionWebhook" }

// exempt tells that no webhook is asked about a write: one that stops working must
// not keep users from removing it, nor from proving who they are.
func exempt(a *admission.Attributes) bool {
	switch a.Resource.Group {
	case authenticationv1.GroupName, authorizationv1.GroupName:
		return true
	case "admissionregistration.k8s.io":
		return configurations[a.Kind.Kind]
	}
	return false
}

var configurations = map[string]bool{
	"ValidatingWebhookConfiguration": true, "MutatingWebhookConfiguration": true,
	"ValidatingAdmissionPolicy": true, "ValidatingAdmissionPolicyBinding": true,
	"MutatingAdmissionPolicy": true, "MutatingAdmissionPolicyBinding": true,
}

// invocation is a hook that is to be called, and how it wants to see the object.
type invocation struct {
	*hook
	resource schema.GroupVersionResource
	kind     schema.GroupVersionKind
}
