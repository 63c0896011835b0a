package fieldpath

import (
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func TestMetadata(t *testing.T) {
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{
		Name: "p", Namespace: "ns", UID: "u", Labels: map[string]string{"b": "2", "a": `say "x"`}, Annotations: map[string]string{"example.org/K": "v"},
	}}
	for path, want := range map[string]string{
		"metadata.name": "p", "metadata.namespace": "ns", "metadata.uid": "u",
		"metadata.labels":      "a=\"say \\\"x\\\"\"\nb=\"2\"",
		"metadata.labels['b']": "2", "metadata.labels['none']": "",
		"metadata.annotations['example.org/K']": "v",
	} {
		if got, err := Metadata(pod, path); err != nil || got != want {
			t.Errorf("%s = %q, %v, want %q", path, got, err, want)
		}
	}
	for path, want := range map[string]string{
		"spec.hostname":            "unsupported fieldPath",
		"metadata.name['x']":       "does not support subscript",
		"metadata.labels['a b']":   "invalid key subscript",
		"metadata.annotations['']": "invalid key subscript",
	} {
		if got, err := Metadata(pod, path); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s = %q, %v, want %q", path, got, err, want)
		}
	}
}

func TestResource(t *testing.T) {
	list := func(cpu, memory string) corev1.ResourceList {
		return corev1.ResourceList{corev1.ResourceCPU: resource.MustParse(cpu), corev1.ResourceMemory: resource.MustParse(memory)}
	}
	set := &corev1.Container{Resources: corev1.ResourceRequirements{Requests: list("250m", "32Mi"), Limits: list("1500m", "65M")}}
	none := &corev1.Container{}
	for _, c := range []struct {
		of            *corev1.Container
		what, divisor string
		want          string
	}{
		{set, "limits.cpu", "0", "2"},
		{set, "limits.cpu", "1m", "1500"},
		{set, "requests.cpu", "1", "1"},
		{set, "limits.memory", "1Mi", "62"},
		{set, "requests.memory", "0", "33554432"},
		{none, "limits.cpu", "0", "4"},
		{none, "limits.memory", "1Gi", "8"},
		{none, "requests.memory", "0", "0"},
	} {
		ref := &corev1.ResourceFieldSelector{Resource: c.what, Divisor: resource.MustParse(c.divisor)}
		if got, err := Resource(ref, c.of, list("4", "8Gi")); err != nil || got != c.want {
			t.Errorf("%s by %s = %q, %v, want %q", c.what, c.divisor, got, err, c.want)
		}
	}
	if got, err := Resource(&corev1.ResourceFieldSelector{Resource: "usage.cpu"}, set, nil); err == nil {
		t.Errorf("usage.cpu = %q, want an error", got)
	}
}
