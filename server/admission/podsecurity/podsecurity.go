// Package podsecurity is the admission plugin PodSecurity: pods must keep to the Pod
// Security Standard that their namespace's labels ask for (KEP-2579). Without labels all is
// allowed. The standards themselves come from k8s.io/pod-security-admission/policy; its own
// admission package is not used, as it brings metrics and configuration machinery that
// is larger than what it does.
package podsecurity

import (
	"context"
	"fmt"
	"sync"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/pod-security-admission/api"
	"k8s.io/pod-security-admission/policy"

	"skiff/server/admission"
)

// Namespaces finds a namespace, which may be younger than the cache.
type Namespaces func(ctx context.Context, name string) (*corev1.Namespace, error)

// Pods lists the pods of a namespace.
type Pods func(namespace string) ([]*corev1.Pod, error)

// Plugin is the plugin.
type Plugin struct {
	namespaces Namespaces
	pods       Pods
	// evaluator is made when the first namespace asks for a standard: most
	// clusters never need its tables.
	evaluator func() policy.Evaluator
}

// New returns the plugin.
func New(namespaces Namespaces, pods Pods) *Plugin {
	return &Plugin{namespaces, pods, sync.OnceValue(func() policy.Evaluator {
		e, err := policy.NewEvaluator(policy.DefaultChecks(), nil)
		if err != nil {
			panic(fmt.Sprintf("pod security checks of the library do not fit together: %v", err))
		}
		return e
	})}
}

// Name implements admission.Plugin.
func (*Plugin) Name() string { return "PodSecurity" }

var defaults = func() api.Policy {
	p := api.LevelVersion{Level: api.LevelPrivileged, Version: api.LatestVersion()}
	return api.Policy{Enforce: p, Audit: p, Warn: p}
}()

// Validate implements admission.Validator.
func (p *Plugin) Validate(ctx context.Context, a *admission.Attributes) error {
	if a.Operation != admission.Create && a.Operation != admission.Update {
		return nil
	}
	switch o := a.Object.(type) {
	case *corev1.Namespace:
		return p.namespace(a, o)
	case *corev1.Pod:
		return p.pod(ctx, a, o)
	}
	if meta, spec := template(a.Object); spec != nil && a.Subresource == "" {
		p.warnTemplate(ctx, a, meta, spec)
	}
	return nil
}

func (p *Plugin) pod(ctx context.Context, a *admission.Attributes, pod *corev1.Pod) error {
	switch a.Subresource {
	case "exec", "attach", "binding", "eviction", "log", "portforward", "proxy", "status":
		return nil
	}
	if old, ok := a.OldObject.(*corev1.Pod); ok && a.Operation == admission.Update && !matters(pod, old) {
		return nil
	}
	ns, err := p.namespaces(ctx, a.Namespace)
	if err != nil {
		return apierrors.NewInternalError(fmt.Errorf("failed to lookup namespace %q", a.Namespace))
	}
	standard, errs := api.PolicyToEvaluate(ns.Labels, defaults)
	if len(errs) == 0 && standard.FullyPrivileged() {
		return nil
	}
	if r := p.evaluate(standard.Enforce, &pod.ObjectMeta, &pod.Spec); !r.Allowed {
		return a.Forbidden(fmt.Errorf("violates PodSecurity %q: %s", standard.Enforce.String(), r.ForbiddenDetail()))
	}
	p.warn(a, standard.Warn, &pod.ObjectMeta, &pod.Spec)
	return nil
}

func (p *Plugin) evaluate(lv api.LevelVersion, meta *metav1.ObjectMeta, spec *corev1.PodSpec) policy.AggregateCheckResult {
	return policy.AggregateCheckResults(p.evaluator().EvaluatePod(lv, meta, spec))
}

func (p *Plugin) warn(a *admission.Attributes, lv api.LevelVersion, meta *metav1.ObjectMeta, spec *corev1.PodSpec) {
	if r := p.evaluate(lv, meta, spec); !r.Allowed {
		a.AddWarning(fmt.Sprintf("would violate PodSecurity %q: %s", lv.String(), r.ForbiddenDetail()))
	}
}

// warnTemplate tells the author of a workload early what its pods will meet.
func (p *Plugin) warnTemplate(ctx context.Context, a *admission.Attributes, meta *metav1.ObjectMeta, spec *corev1.PodSpec) {
	ns, err := p.namespaces(ctx, a.Namespace)
	if err != nil {
		return
	}
	standard, errs := api.PolicyToEvaluate(ns.Labels, defaults)
	if len(errs) > 0 || standard.Warn.Level != api.LevelPrivileged {
		p.warn(a, standard.Warn, meta, spec)
	}
}

// namespace checks the labels, and warns of pods that a stricter standard would no
// longer admit.
func (p *Plugin) namespace(a *admission.Attributes, ns *corev1.Namespace) error {
	if a.Subresource != "" {
		return nil
	}
	now, errs := api.PolicyToEvaluate(ns.Labels, defaults)
	old, ok := a.OldObject.(*corev1.Namespace)
	if a.Operation == admission.Create || !ok {
		return invalid(ns.Name, errs)
	}
	before, oldErrs := api.PolicyToEvaluate(old.Labels, defaults)
	if len(errs) > 0 && fmt.Sprint(errs) != fmt.Sprint(oldErrs) {
		return invalid(ns.Name, errs)
	}
	if now.Enforce == before.Enforce || now.Enforce.Level == api.LevelPrivileged ||
		now.Enforce.Version == before.Enforce.Version && api.CompareLevels(now.Enforce.Level, before.Enforce.Level) < 1 {
		return nil
	}
	p.warnExisting(a, ns.Name, now.Enforce)
	return nil
}

func invalid(name string, errs field.ErrorList) error {
	if len(errs) == 0 {
		return nil
	}
	return apierrors.NewInvalid(corev1.SchemeGroupVersion.WithKind("Namespace").GroupKind(), name, errs)
}

// template returns the pod template of a workload, nil if obj has none.
func template(obj any) (*metav1.ObjectMeta, *corev1.PodSpec) {
	var t *corev1.PodTemplateSpec
	switch o := obj.(type) {
	case *corev1.PodTemplate:
		t = &o.Template
	case *corev1.ReplicationController:
		t = o.Spec.Template
	case *appsv1.ReplicaSet:
		t = &o.Spec.Template
	case *appsv1.Deployment:
		t = &o.Spec.Template
	case *appsv1.DaemonSet:
		t = &o.Spec.Template
	case *appsv1.StatefulSet:
		t = &o.Spec.Template
	case *batchv1.Job:
		t = &o.Spec.Template
	case *batchv1.CronJob:
		t = &o.Spec.JobTemplate.Spec.Template
	}
	if t == nil {
		return nil, nil
	}
	return &t.ObjectMeta, &t.Spec
}
