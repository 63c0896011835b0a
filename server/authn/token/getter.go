package token

import (
	"context"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	corelisters "k8s.io/client-go/listers/core/v1"
)

// Getter finds the objects that a token names.
type Getter interface {
	ServiceAccount(ctx context.Context, namespace, name string) (*corev1.ServiceAccount, error)
	Pod(ctx context.Context, namespace, name string) (*corev1.Pod, error)
	Secret(ctx context.Context, namespace, name string) (*corev1.Secret, error)
	Node(ctx context.Context, name string) (*corev1.Node, error)
}

// CachedGetter looks into informers' caches, and asks the API server for what is
// not there: an object may be newer than the cache. Secrets are not kept in
// memory and are always asked for.
type CachedGetter struct {
	ServiceAccounts corelisters.ServiceAccountLister
	Pods            corelisters.PodLister
	Nodes           corelisters.NodeLister
	// Client must not authenticate with a service account token.
	Client kubernetes.Interface
}

// ServiceAccount implements Getter.
func (g CachedGetter) ServiceAccount(ctx context.Context, namespace, name string) (*corev1.ServiceAccount, error) {
	if o, err := g.ServiceAccounts.ServiceAccounts(namespace).Get(name); err == nil {
		return o, nil
	}
	return g.Client.CoreV1().ServiceAccounts(namespace).Get(ctx, name, metav1.GetOptions{})
}

// Pod implements Getter.
func (g CachedGetter) Pod(ctx context.Context, namespace, name string) (*corev1.Pod, error) {
	if o, err := g.Pods.Pods(namespace).Get(name); err == nil {
		return o, nil
	}
	return g.Client.CoreV1().Pods(namespace).Get(ctx, name, metav1.GetOptions{})
}

// Secret implements Getter.
func (g CachedGetter) Secret(ctx context.Context, namespace, name string) (*corev1.Secret, error) {
	return g.Client.CoreV1().Secrets(namespace).Get(ctx, name, metav1.GetOptions{})
}

// Node implements Getter.
func (g CachedGetter) Node(ctx context.Context, name string) (*corev1.Node, error) {
	if o, err := g.Nodes.Get(name); err == nil {
		return o, nil
	}
	return g.Client.CoreV1().Nodes().Get(ctx, name, metav1.GetOptions{})
}
