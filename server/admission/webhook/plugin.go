package webhook

import (
	"context"
	"log/slog"
	"net"

	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/authentication/user"
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
	// Starter is the user of the server's process whose writes its start waits for,
	// told from others of the same name by its identity. No webhook is asked about
	// them: its program may run on nodes that wait for this server. nil for none.
	Starter user.Info
	Logger  *slog.Logger
	// Metrics may be nil.
	Metrics *Metrics
}

// Mutating is the plugin that lets webhooks change objects.
type Mutating struct {
	hooks  *source
	caller *caller
	match  *matcher
	exempt exempt
}

// Validating is the plugin that lets webhooks refuse objects.
type Validating struct {
	hooks  *source
	caller *caller
	match  *matcher
	exempt exempt
}

// New returns both plugins. They belong behind all others that change objects.
func New(cfg Config) (*Mutating, *Validating) {
	c := &caller{log: cfg.Logger, metrics: cfg.Metrics}
	m, e := newMatcher(cfg), exempt{cfg.Starter}
	return &Mutating{mutatingSource(cfg), c, m, e}, &Validating{validatingSource(cfg), c, m, e}
}

// Name implements admission.Plugin.
func (*Mutating) Name() string { return "MutatingAdmissionWebhook" }

// Name implements admission.Plugin.
func (*Validating) Name() string { return "ValidatingAdmissionWebhook" }

// exempt knows the writes that no webhook is asked about: one that stops working
// must not keep users from removing it, nor from proving who they are, nor the
// server from starting.
type exempt struct{ starter user.Info }

func (e exempt) has(a *admission.Attributes) bool {
	if e.starter != nil && a.User == e.starter {
		return true
	}
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
