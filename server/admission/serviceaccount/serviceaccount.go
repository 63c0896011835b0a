// Package serviceaccount is the admission plugin ServiceAccount: a pod gets a service
// account, its image pull secrets, and a projected volume with a token by which it reaches
// the API server.
package serviceaccount

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	corelisters "k8s.io/client-go/listers/core/v1"

	"skiff/server/admission"
	"skiff/server/admission/podrefs"
)

// DefaultName is the service account of pods that name none.
const DefaultName = "default"

// enforceAnnotation on a service account limits its pods to the secrets that it
// lists.
const enforceAnnotation = "kubernetes.io/enforce-mountable-secrets"

// Getter reads a service account from the store, not from a cache.
type Getter func(ctx context.Context, namespace, name string) (*corev1.ServiceAccount, error)

// Plugin is the plugin.
type Plugin struct {
	lister corelisters.ServiceAccountLister
	live   Getter
}

// New returns the plugin.
func New(lister corelisters.ServiceAccountLister, live Getter) *Plugin {
	return &Plugin{lister, live}
}

// Name implements admission.Plugin.
func (*Plugin) Name() string { return "ServiceAccount" }

// Admit implements admission.Mutator.
func (p *Plugin) Admit(ctx context.Context, a *admission.Attributes) error {
	pod, ok := a.Object.(*corev1.Pod)
	if !ok || !a.Is("", "pods", "") || a.Operation != admission.Create {
		return nil
	}
	// A mirror pod must stay what the agent sent: it compares.
	if isMirror(pod) {
		return p.Validate(ctx, a)
	}
	if pod.Spec.ServiceAccountName == "" {
		pod.Spec.ServiceAccountName = DefaultName
		pod.Spec.DeprecatedServiceAccount = DefaultName
	}
	sa, err := p.account(ctx, a, pod)
	if err != nil {
		return err
	}
	if automount(sa, pod) {
		mountToken(pod)
	}
	if len(pod.Spec.ImagePullSecrets) == 0 {
		pod.Spec.ImagePullSecrets = append(pod.Spec.ImagePullSecrets, sa.ImagePullSecrets...)
	}
	return p.Validate(ctx, a)
}

// Validate implements admission.Validator: it looks again at what other plugins made
// of the pod.
func (p *Plugin) Validate(ctx context.Context, a *admission.Attributes) error {
	pod, ok := a.Object.(*corev1.Pod)
	if !ok {
		return nil
	}
	ephemeral := a.Operation == admission.Update && a.Is("", "pods", "ephemeralcontainers")
	if !ephemeral && (a.Operation != admission.Create || !a.Is("", "pods", "")) {
		return nil
	}
	if !ephemeral && isMirror(pod) {
		return validateMirror(a, pod)
	}
	if pod.Spec.ServiceAccountName == "" {
		return a.Forbidden(fmt.Errorf("no service account specified for pod %s/%s", a.Namespace, pod.Name))
	}
	sa, err := p.account(ctx, a, pod)
	if err != nil {
		return err
	}
	if enforce, _ := strconv.ParseBool(sa.Annotations[enforceAnnotation]); !enforce {
		return nil
	}
	if err := limitSecrets(sa, &pod.Spec, ephemeral); err != nil {
		return a.Forbidden(err)
	}
	return nil
}

func isMirror(pod *corev1.Pod) bool {
	_, ok := pod.Annotations[corev1.MirrorPodAnnotationKey]
	return ok
}

func validateMirror(a *admission.Attributes, pod *corev1.Pod) error {
	if pod.Spec.ServiceAccountName != "" {
		return a.Forbidden(errors.New("a mirror pod may not reference service accounts"))
	}
	if podrefs.HasSecret(&pod.Spec) {
		return a.Forbidden(errors.New("a mirror pod may not reference secrets"))
	}
	for _, v := range pod.Spec.Volumes {
		if v.Projected == nil {
			continue
		}
		for _, s := range v.Projected.Sources {
			if s.ServiceAccountToken != nil {
				return a.Forbidden(errors.New("a mirror pod may not use ServiceAccountToken volume projections"))
			}
		}
	}
	return nil
}

// automount asks the pod first, then the service account.
func automount(sa *corev1.ServiceAccount, pod *corev1.Pod) bool {
	if m := pod.Spec.AutomountServiceAccountToken; m != nil {
		return *m
	}
	if m := sa.AutomountServiceAccountToken; m != nil {
		return *m
	}
	return true
}

// The pauses between looks for the account "default" of a new namespace, which a
// controller is about to make: 1.6 s in all.
var pauses = []time.Duration{5, 10, 20, 40, 80, 160, 320, 480, 480}

func (p *Plugin) account(ctx context.Context, a *admission.Attributes, pod *corev1.Pod) (*corev1.ServiceAccount, error) {
	name := pod.Spec.ServiceAccountName
	sa, err := p.find(ctx, a.Namespace, name)
	if err != nil {
		return nil, a.Forbidden(fmt.Errorf("error looking up service account %s/%s: %w", a.Namespace, name, err))
	}
	return sa, nil
}

func (p *Plugin) find(ctx context.Context, namespace, name string) (*corev1.ServiceAccount, error) {
	if sa, err := p.lister.ServiceAccounts(namespace).Get(name); err == nil || !apierrors.IsNotFound(err) {
		return sa, err
	}
	for i := 0; ; i++ {
		sa, err := p.live(ctx, namespace, name)
		if err == nil || !apierrors.IsNotFound(err) {
			return sa, err
		}
		if name != DefaultName || i == len(pauses) {
			return nil, apierrors.NewNotFound(schema.GroupResource{Resource: "serviceaccount"}, name)
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(pauses[i] * time.Millisecond):
		}
	}
}
