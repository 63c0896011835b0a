// Package plugins is the ordered list of admission plugins, each of which is a
// package of its own beside this one.
package plugins

import (
	"context"

	corev1 "k8s.io/api/core/v1"
	schedulingv1 "k8s.io/api/scheduling/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/utils/clock"

	"skiff/server/admission"
	"skiff/server/admission/lifecycle"
	"skiff/server/admission/noderestriction"
	"skiff/server/admission/nodetaint"
	"skiff/server/admission/priority"
	"skiff/server/admission/serviceaccount"
	"skiff/server/admission/tolerationseconds"
	"skiff/server/authz"
	"skiff/server/authz/node"
)

// Deps is what the plugins look at.
type Deps struct {
	// Informers must not have started: listers are taken from them.
	Informers informers.SharedInformerFactory
	// Client reads what is not kept in caches, or may be younger than they are. Its
	// user must be one of system:masters.
	Client     kubernetes.Interface
	Authorizer *authz.Authorizer
	// Clock is the wall clock; nil means the real one.
	Clock clock.PassiveClock
}

// Default returns the plugins that are on by default, in upstream's order.
func Default(d Deps) admission.Chain {
	if d.Clock == nil {
		d.Clock = clock.RealClock{}
	}
	core := d.Informers.Core().V1()
	get := metav1.GetOptions{}
	return admission.Chain{
		lifecycle.New(core.Namespaces().Lister(), func(ctx context.Context, name string) (*corev1.Namespace, error) {
			return d.Client.CoreV1().Namespaces().Get(ctx, name, get)
		}, d.Clock),
		serviceaccount.New(core.ServiceAccounts().Lister(), func(ctx context.Context, namespace, name string) (*corev1.ServiceAccount, error) {
			return d.Client.CoreV1().ServiceAccounts(namespace).Get(ctx, name, get)
		}),
		noderestriction.New(noderestriction.Deps{
			Pods: core.Pods().Lister(), Nodes: core.Nodes().Lister(), ServiceAccounts: core.ServiceAccounts().Lister(),
			Client: d.Client, Authorizer: d.Authorizer, Identity: node.Identity,
		}),
		nodetaint.Plugin{},
		priority.New(d.Informers.Scheduling().V1().PriorityClasses().Lister(), func(ctx context.Context, name string) (*schedulingv1.PriorityClass, error) {
			return d.Client.SchedulingV1().PriorityClasses().Get(ctx, name, get)
		}),
		tolerationseconds.Plugin{},
	}
}
