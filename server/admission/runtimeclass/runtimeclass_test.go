package runtimeclass

import (
	"context"
	"testing"

	corev1 "k8s.io/api/core/v1"
	nodev1 "k8s.io/api/node/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/utils/ptr"

	"skiff/server/admission"
	at "skiff/server/admission/admissiontest"
)

func TestPlugin(t *testing.T) {
	overhead := corev1.ResourceList{corev1.ResourceMemory: resource.MustParse("64Mi")}
	p := New(func(_ context.Context, name string) (*nodev1.RuntimeClass, error) {
		if name != "vm" {
			return nil, apierrors.NewNotFound(schema.GroupResource{Resource: "runtimeclasses"}, name)
		}
		return &nodev1.RuntimeClass{Overhead: &nodev1.Overhead{PodFixed: overhead}, Scheduling: &nodev1.Scheduling{
			NodeSelector: map[string]string{"vm": "yes"},
			Tolerations:  []corev1.Toleration{{Key: "vm", Operator: corev1.TolerationOpExists}},
		}}, nil
	})
	run := func(name string, spec corev1.PodSpec, want string) *corev1.Pod {
		t.Helper()
		pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "p"}, Spec: spec}
		a := at.Write(admission.Create, "pods", pod, nil, at.Bob())
		err := p.Admit(t.Context(), a)
		if err == nil {
			err = p.Validate(t.Context(), a)
		}
		at.Check(t, name, err, want)
		return pod
	}
	run("no class", corev1.PodSpec{}, "")
	run("unknown", corev1.PodSpec{RuntimeClassName: ptr.To("x")}, `pod rejected: RuntimeClass "x" not found`)
	run("overhead without class", corev1.PodSpec{Overhead: overhead}, "pod rejected: Pod Overhead set without corresponding RuntimeClass defined Overhead")
	run("other overhead", corev1.PodSpec{RuntimeClassName: ptr.To("vm"), Overhead: corev1.ResourceList{}}, "")
	run("wrong overhead", corev1.PodSpec{RuntimeClassName: ptr.To("vm"), Overhead: corev1.ResourceList{corev1.ResourceMemory: resource.MustParse("1Mi")}}, "pod rejected: Pod's Overhead doesn't match RuntimeClass's defined Overhead")
	run("conflict", corev1.PodSpec{RuntimeClassName: ptr.To("vm"), NodeSelector: map[string]string{"vm": "no"}}, "conflict: runtimeClass.scheduling.nodeSelector[vm] = yes; pod.spec.nodeSelector[vm] = no")
	pod := run("class", corev1.PodSpec{RuntimeClassName: ptr.To("vm"), Tolerations: []corev1.Toleration{{Key: "vm", Operator: corev1.TolerationOpEqual, Value: "a"}}}, "")
	if pod.Spec.Overhead.Memory().String() != "64Mi" || pod.Spec.NodeSelector["vm"] != "yes" || len(pod.Spec.Tolerations) != 1 || pod.Spec.Tolerations[0].Operator != corev1.TolerationOpExists {
		t.Errorf("%+v", pod.Spec)
	}
}
