package podtemplate

import (
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// What is accepted, refused and filled in is tested as a whole in package core,
// with files that have been compared with upstream.

func amounts(pairs ...string) corev1.ResourceList {
	list := corev1.ResourceList{}
	for i := 0; i < len(pairs); i += 2 {
		list[corev1.ResourceName(pairs[i])] = resource.MustParse(pairs[i+1])
	}
	return list
}

func TestComputeQOS(t *testing.T) {
	full := amounts("cpu", "1", "memory", "1Gi")
	tests := []struct {
		name string
		spec corev1.PodSpec
		want corev1.PodQOSClass
	}{
		{"nothing", corev1.PodSpec{Containers: []corev1.Container{{}}}, corev1.PodQOSBestEffort},
		{"requests", corev1.PodSpec{Containers: []corev1.Container{{Resources: corev1.ResourceRequirements{Requests: full}}}}, corev1.PodQOSBurstable},
		{"limits are requests", corev1.PodSpec{Containers: []corev1.Container{{Resources: corev1.ResourceRequirements{Requests: full, Limits: full}}}}, corev1.PodQOSGuaranteed},
		{"an unlimited neighbour", corev1.PodSpec{Containers: []corev1.Container{{Resources: corev1.ResourceRequirements{Requests: full, Limits: full}}, {}}}, corev1.PodQOSBurstable},
		{"of the pod", corev1.PodSpec{Resources: &corev1.ResourceRequirements{Requests: full, Limits: full}, Containers: []corev1.Container{{}}}, corev1.PodQOSGuaranteed},
	}
	for _, tt := range tests {
		if got := ComputeQOS(&tt.spec); got != tt.want {
			t.Errorf("%s: got %s, want %s", tt.name, got, tt.want)
		}
	}
}

func TestRestarts(t *testing.T) {
	never := corev1.ContainerRestartPolicyNever
	ruled := &corev1.Container{RestartPolicy: &never, RestartPolicyRules: []corev1.ContainerRestartRule{{
		Action:    corev1.ContainerRestartRuleActionRestart,
		ExitCodes: &corev1.ContainerRestartRuleOnExitCodes{Operator: corev1.ContainerRestartRuleOnExitCodesOpIn, Values: []int32{42}},
	}}}
	tests := []struct {
		c      *corev1.Container
		policy corev1.RestartPolicy
		code   int32
		want   bool
	}{
		{&corev1.Container{}, corev1.RestartPolicyAlways, 0, true},
		{&corev1.Container{}, corev1.RestartPolicyOnFailure, 0, false},
		{&corev1.Container{}, corev1.RestartPolicyOnFailure, 1, true},
		{&corev1.Container{}, corev1.RestartPolicyNever, 1, false},
		{ruled, corev1.RestartPolicyAlways, 42, true},
		{ruled, corev1.RestartPolicyAlways, 1, false},
	}
	for i, tt := range tests {
		if got := Restarts(tt.c, tt.policy, tt.code); got != tt.want {
			t.Errorf("%d: got %v", i, got)
		}
	}
}

func TestDefaultTemplateIsIdempotent(t *testing.T) {
	tmpl := &corev1.PodTemplateSpec{Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "c", Image: "i:1", Ports: []corev1.ContainerPort{{ContainerPort: 1}}}}}}
	DefaultTemplate(tmpl)
	again := tmpl.DeepCopy()
	DefaultTemplate(again)
	if text := Diff(*tmpl, *again); strings.Contains(text, "\n-") {
		t.Error(text)
	}
	if errs := ValidateTemplate(tmpl, field.NewPath("template"), OptionsForTemplate(tmpl, nil)); len(errs) > 0 {
		t.Error(errs)
	}
}
