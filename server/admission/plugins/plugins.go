// Package plugins is the ordered list of admission plugins, each of which is a
// package of its own beside this one.
package plugins

import (
	"context"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	nodev1 "k8s.io/api/node/v1"
	schedulingv1 "k8s.io/api/scheduling/v1"
	storagev1 "k8s.io/api/storage/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/validation/path"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/utils/clock"

	"skiff/server/admission"
	"skiff/server/admission/certificates"
	"skiff/server/admission/claimresize"
	"skiff/server/admission/ingressclass"
	"skiff/server/admission/lifecycle"
	"skiff/server/admission/limitranger"
	"skiff/server/admission/noderestriction"
	"skiff/server/admission/nodetaint"
	"skiff/server/admission/podsecurity"
	"skiff/server/admission/priority"
	"skiff/server/admission/runtimeclass"
	"skiff/server/admission/serviceaccount"
	"skiff/server/admission/storageclass"
	"skiff/server/admission/storageprotection"
	"skiff/server/admission/tolerationseconds"
	"skiff/server/authz/node"
)

// Deps is what the plugins look at.
type Deps struct {
	// Informers must not have started: listers are taken from them.
	Informers informers.SharedInformerFactory
	// Client reads what is not kept in caches, or may be younger than they are. Its
	// user must be one of system:masters.
	Client     kubernetes.Interface
	Authorizer authorizer.UnconditionalAuthorizer
	// StorageProtection turns on StorageObjectInUseProtection. Its finalizers are
	// removed by the controllers for the protection of claims and volumes: where these do
	// not run, a claim could never be deleted.
	StorageProtection bool
	// Tolerations is how long pods stay on nodes that are lost; its zero value is
	// upstream's default.
	Tolerations tolerationseconds.Plugin
	// Clock is the wall clock; nil means the real one.
	Clock clock.PassiveClock
}

// Default returns the plugins that are on by default, in upstream's order. Those that
// come with other parts (webhooks, policies, quota) are appended by whoever has
// them.
func Default(d Deps) admission.Chain {
	if d.Clock == nil {
		d.Clock = clock.RealClock{}
	}
	core := d.Informers.Core().V1()
	r := reader{d.Client}
	chain := admission.Chain{
		lifecycle.New(core.Namespaces().Lister(), r.namespace, d.Clock),
		limitranger.New(core.LimitRanges().Lister()),
		serviceaccount.New(core.ServiceAccounts().Lister(), r.serviceAccount),
		noderestriction.New(noderestriction.Deps{
			Pods: core.Pods().Lister(), Nodes: core.Nodes().Lister(), ServiceAccounts: core.ServiceAccounts().Lister(),
			Client: d.Client, Authorizer: d.Authorizer, Identity: node.Identity,
		}),
		nodetaint.Plugin{},
		podSecurity(d, r),
		priority.New(d.Informers.Scheduling().V1().PriorityClasses().Lister(), r.priorityClass),
		d.Tolerations,
		storageclass.New(r.storageClasses),
		claimresize.New(r.storageClass),
		runtimeclass.New(r.runtimeClass),
		certificates.Approval{Authorizer: d.Authorizer},
		certificates.Signing{Authorizer: d.Authorizer},
		certificates.SubjectRestriction{},
		ingressclass.New(r.ingressClasses),
	}
	if d.StorageProtection {
		chain = append(chain, storageprotection.Plugin{})
	}
	return chain
}

func podSecurity(d Deps, r reader) *podsecurity.Plugin {
	namespaces, pods := d.Informers.Core().V1().Namespaces().Lister(), d.Informers.Core().V1().Pods().Lister()
	return podsecurity.New(
		func(ctx context.Context, name string) (*corev1.Namespace, error) {
			ns, err := namespaces.Get(name)
			if apierrors.IsNotFound(err) {
				return r.namespace(ctx, name)
			}
			return ns, err
		},
		func(namespace string) ([]*corev1.Pod, error) { return pods.Pods(namespace).List(labels.Everything()) },
	)
}

// reader reads from the API server what the plugins need rarely.
type reader struct{ kubernetes.Interface }

// named gets an object by its name. What no object can be called, a client would
// refuse to ask for; then there is none.
func named[T any](ctx context.Context, name, resource string, get func(context.Context, string, metav1.GetOptions) (T, error)) (T, error) {
	if name == "" || len(path.IsValidPathSegmentName(name)) > 0 {
		var none T
		return none, apierrors.NewNotFound(schema.GroupResource{Resource: resource}, name)
	}
	return get(ctx, name, metav1.GetOptions{})
}

func (r reader) namespace(ctx context.Context, name string) (*corev1.Namespace, error) {
	return named(ctx, name, "namespaces", r.CoreV1().Namespaces().Get)
}

func (r reader) serviceAccount(ctx context.Context, namespace, name string) (*corev1.ServiceAccount, error) {
	return named(ctx, name, "serviceaccounts", r.CoreV1().ServiceAccounts(namespace).Get)
}

func (r reader) priorityClass(ctx context.Context, name string) (*schedulingv1.PriorityClass, error) {
	return named(ctx, name, "priorityclasses", r.SchedulingV1().PriorityClasses().Get)
}

func (r reader) runtimeClass(ctx context.Context, name string) (*nodev1.RuntimeClass, error) {
	return named(ctx, name, "runtimeclasses", r.NodeV1().RuntimeClasses().Get)
}

func (r reader) storageClass(ctx context.Context, name string) (*storagev1.StorageClass, error) {
	return named(ctx, name, "storageclasses", r.StorageV1().StorageClasses().Get)
}

func (r reader) storageClasses(ctx context.Context) ([]storagev1.StorageClass, error) {
	l, err := r.StorageV1().StorageClasses().List(ctx, metav1.ListOptions{ResourceVersion: "0"})
	if err != nil {
		return nil, err
	}
	return l.Items, nil
}

func (r reader) ingressClasses(ctx context.Context) ([]networkingv1.IngressClass, error) {
	l, err := r.NetworkingV1().IngressClasses().List(ctx, metav1.ListOptions{ResourceVersion: "0"})
	if err != nil {
		return nil, err
	}
	return l.Items, nil
}
