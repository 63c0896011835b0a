package podsecurity

import (
	"context"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/utils/ptr"

	"skiff/server/admission"
	at "skiff/server/admission/admissiontest"
)

func namespace(labels ...string) *corev1.Namespace {
	n := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "shop", Labels: map[string]string{}}}
	for i := 0; i < len(labels); i += 2 {
		n.Labels["pod-security.kubernetes.io/"+labels[i]] = labels[i+1]
	}
	return n
}

func privileged(image string) *corev1.Pod {
	return &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "p"}, Spec: corev1.PodSpec{Containers: []corev1.Container{
		{Name: "c", Image: image, SecurityContext: &corev1.SecurityContext{Privileged: ptr.To(true)}},
	}}}
}

// validate returns the warnings and the error.
func validate(t *testing.T, ns *corev1.Namespace, op admission.Operation, resource string, obj, old runtime.Object) (string, error) {
	t.Helper()
	p := New(
		func(context.Context, string) (*corev1.Namespace, error) { return ns, nil },
		func(string) ([]*corev1.Pod, error) {
			other := privileged("i")
			other.Name = "a"
			return []*corev1.Pod{privileged("i"), other}, nil
		},
	)
	a := at.Write(op, resource, obj, old, at.Bob())
	var warnings []string
	a.Warn = func(s string) { warnings = append(warnings, s) }
	err := p.Validate(t.Context(), a)
	return strings.Join(warnings, "\n"), err
}

const violation = `PodSecurity "baseline:latest": privileged (container "c" must not set securityContext.privileged=true)`

func TestPods(t *testing.T) {
	for name, tc := range map[string]struct {
		ns        *corev1.Namespace
		op        admission.Operation
		resource  string
		obj, old  *corev1.Pod
		err, warn string
	}{
		"no labels":       {namespace(), admission.Create, "pods", privileged("i"), nil, "", ""},
		"enforced":        {namespace("enforce", "baseline"), admission.Create, "pods", privileged("i"), nil, `pods "p" is forbidden: violates ` + violation, ""},
		"warned":          {namespace("warn", "baseline"), admission.Create, "pods", privileged("i"), nil, "", "would violate " + violation},
		"status":          {namespace("enforce", "baseline"), admission.Update, "pods/status", privileged("i"), privileged("i"), "", ""},
		"nothing matters": {namespace("enforce", "baseline"), admission.Update, "pods", privileged("i"), privileged("i"), "", ""},
		"image changed":   {namespace("enforce", "baseline"), admission.Update, "pods", privileged("j"), privileged("i"), "violates " + violation, ""},
	} {
		var old runtime.Object
		if tc.old != nil {
			old = tc.old
		}
		warn, err := validate(t, tc.ns, tc.op, tc.resource, tc.obj, old)
		at.Check(t, name, err, tc.err)
		if warn != tc.warn {
			t.Errorf("%s: warnings %q", name, warn)
		}
	}
}

func TestTemplateIsWarnedOnly(t *testing.T) {
	d := &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "d"}, Spec: appsv1.DeploymentSpec{Template: corev1.PodTemplateSpec{Spec: privileged("i").Spec}}}
	warn, err := validate(t, namespace("enforce", "baseline", "warn", "baseline"), admission.Create, "deployments.apps", d, nil)
	at.Check(t, "deployment", err, "")
	if warn != "would violate "+violation {
		t.Errorf("warnings %q", warn)
	}
}

func TestNamespaces(t *testing.T) {
	_, err := validate(t, nil, admission.Create, "namespaces", namespace("enforce", "strict"), nil)
	at.Check(t, "unknown level", err, `metadata.labels[pod-security.kubernetes.io/enforce]: Invalid value: "strict": must be one of privileged, baseline, restricted`)
	warn, err := validate(t, nil, admission.Update, "namespaces", namespace("enforce", "baseline"), namespace())
	at.Check(t, "stricter", err, "")
	if warn != "existing pods in namespace \"shop\" violate the new PodSecurity enforce level \"baseline:latest\"\na (and 1 other pod): privileged" {
		t.Errorf("warnings %q", warn)
	}
	warn, _ = validate(t, nil, admission.Update, "namespaces", namespace("enforce", "baseline"), namespace("enforce", "restricted"))
	if warn != "" {
		t.Errorf("relaxing warns: %q", warn)
	}
}
