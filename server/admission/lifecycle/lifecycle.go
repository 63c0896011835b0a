// Package lifecycle is the admission plugin NamespaceLifecycle: nothing is created
// in a namespace that does not exist or is being terminated, and the cluster's own
// namespaces are not deleted.
package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	corelisters "k8s.io/client-go/listers/core/v1"
	"k8s.io/utils/clock"

	"skiff/server/admission"
)

// immortal namespaces may not be deleted.
var immortal = []string{metav1.NamespaceDefault, metav1.NamespaceSystem, metav1.NamespacePublic}

// liveTTL is how long after the deletion of a namespace the cache is not believed
// when it says that it is active.
const liveTTL = 30 * time.Second

// Getter reads a namespace from the store, not from a cache.
type Getter func(ctx context.Context, name string) (*corev1.Namespace, error)

// Plugin is the plugin.
type Plugin struct {
	lister corelisters.NamespaceLister
	live   Getter
	clock  clock.PassiveClock

	mu      sync.Mutex
	deleted map[string]time.Time // when their deletion began
}

// New returns the plugin.
func New(lister corelisters.NamespaceLister, live Getter, c clock.PassiveClock) *Plugin {
	return &Plugin{lister: lister, live: live, clock: c, deleted: map[string]time.Time{}}
}

// Name implements admission.Plugin.
func (*Plugin) Name() string { return "NamespaceLifecycle" }

// Admit implements admission.Mutator; it runs before anything spends work on the
// object.
func (p *Plugin) Admit(ctx context.Context, a *admission.Attributes) error {
	if a.Resource.Group == "" && a.Resource.Resource == "namespaces" {
		return p.admitNamespace(a)
	}
	if a.Namespace == "" || a.Operation == admission.Delete || a.Operation == admission.Update {
		return nil
	}
	// To say more than yes or no would tell strangers which namespaces exist.
	if a.Resource.Group == "authorization.k8s.io" && a.Resource.Resource == "localsubjectaccessreviews" {
		return nil
	}
	ns, err := p.namespace(ctx, a.Namespace)
	if err != nil {
		return err
	}
	if a.Operation == admission.Create && ns.Status.Phase == corev1.NamespaceTerminating {
		return terminating(a)
	}
	return nil
}

func (p *Plugin) admitNamespace(a *admission.Attributes) error {
	if a.Operation != admission.Delete {
		return nil
	}
	if slices.Contains(immortal, a.Name) {
		return apierrors.NewForbidden(a.Resource.GroupResource(), a.Name, errors.New("this namespace may not be deleted"))
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.clock.Now()
	for name, at := range p.deleted {
		if now.Sub(at) > liveTTL || now.Before(at) {
			delete(p.deleted, name)
		}
	}
	p.deleted[a.Name] = now
	return nil
}

// namespace asks the store if the cache does not know the namespace (it may be
// younger than the cache), or may not know yet that it is being deleted.
func (p *Plugin) namespace(ctx context.Context, name string) (*corev1.Namespace, error) {
	ns, err := p.lister.Get(name)
	switch {
	case err == nil && !(ns.Status.Phase == corev1.NamespaceActive && p.deletedLately(name)):
		return ns, nil
	case err != nil && !apierrors.IsNotFound(err):
		return nil, apierrors.NewInternalError(err)
	}
	ns, err = p.live(ctx, name)
	if err != nil && !apierrors.IsNotFound(err) {
		return nil, apierrors.NewInternalError(err)
	}
	return ns, err
}

func (p *Plugin) deletedLately(name string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	at, ok := p.deleted[name]
	return ok && p.clock.Now().Sub(at) <= liveTTL
}

func terminating(a *admission.Attributes) error {
	err := a.Forbidden(fmt.Errorf("unable to create new content in namespace %s because it is being terminated", a.Namespace))
	var status *apierrors.StatusError
	if errors.As(err, &status) {
		status.ErrStatus.Details.Causes = append(status.ErrStatus.Details.Causes, metav1.StatusCause{
			Type:    corev1.NamespaceTerminatingCause,
			Message: fmt.Sprintf("namespace %s is being terminated", a.Namespace),
			Field:   "metadata.namespace",
		})
	}
	return err
}
