package api_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"

	autoscalingv1 "k8s.io/api/autoscaling/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"skiff/server/admission"
	"skiff/server/api"
	"skiff/server/registry/builtin"
)

// onlooker is a plugin that keeps the latest write.
type onlooker struct {
	last *admission.Attributes
	// change, if not nil, is done to each object in the version of kind.
	change func(runtime.Object)
	kind   schema.GroupVersionKind
}

func (*onlooker) Name() string { return "Onlooker" }

// Admit implements admission.Mutator.
func (o *onlooker) Admit(_ context.Context, a *admission.Attributes) error {
	o.last = a
	if o.change == nil {
		return nil
	}
	obj, err := a.Versions.Convert(a.Object, o.kind)
	if err != nil {
		return err
	}
	o.change(obj)
	now, err := a.Versions.Adopt(obj, o.kind)
	if err != nil {
		return err
	}
	*a.Object.(*autoscalingv2.HorizontalPodAutoscaler) = *now.(*autoscalingv2.HorizontalPodAutoscaler)
	return nil
}

func equivalents(a *admission.Attributes) string {
	var list []string
	for _, e := range a.Versions.Equivalents() {
		list = append(list, fmt.Sprintf("%s %s=%s", e.Resource.GroupVersion(), e.Resource.Resource, e.Kind.Kind))
	}
	return strings.Join(list, ", ")
}

func newOnlooker(t *testing.T) (*onlooker, *fixture) {
	o := &onlooker{}
	return o, newFixture(t, func(c *api.Config) {
		c.Resources, c.Admission = builtin.Resources(builtin.Deps{}), admission.Chain{o}
	})
}

const scaler = `{"apiVersion":"autoscaling/v1","kind":"HorizontalPodAutoscaler","metadata":{"name":"s"},
	"spec":{"maxReplicas":3,"scaleTargetRef":{"apiVersion":"apps/v1","kind":"Deployment","name":"web"}}}`

// TestVersionsOfWrites: admission sees an object in each version that serves it.
func TestVersionsOfWrites(t *testing.T) {
	o, f := newOnlooker(t)
	code, body := do(t, f, http.MethodPost, "/apis/autoscaling/v1/namespaces/default/horizontalpodautoscalers", scaler, "Content-Type", "application/json")
	if code != 201 {
		t.Fatalf("%d %s", code, body)
	}
	a := o.last
	if got := equivalents(a); got != "autoscaling/v2 horizontalpodautoscalers=HorizontalPodAutoscaler" {
		t.Errorf("equivalents: %s", got)
	}
	old, err := a.Versions.Convert(a.Object, a.Kind)
	if err != nil || old.(*autoscalingv1.HorizontalPodAutoscaler).Spec.MaxReplicas != 3 || old.GetObjectKind().GroupVersionKind() != a.Kind {
		t.Errorf("as it came: %+v, %v", old, err)
	}
	now, err := a.Versions.Convert(a.Object, a.Kind.GroupKind().WithVersion("v2"))
	if err != nil || now.(*autoscalingv2.HorizontalPodAutoscaler).Kind != "HorizontalPodAutoscaler" || now == a.Object {
		t.Errorf("as v2: %+v, %v", now, err)
	}
	if kind := a.Object.GetObjectKind().GroupVersionKind(); !kind.Empty() {
		t.Errorf("the object in memory tells its kind: %v", kind)
	}
	if _, err := a.Versions.Convert(a.Object, a.Kind.GroupKind().WithVersion("v9")); err == nil {
		t.Error("v9 is served")
	}

	const event = `{"metadata":{"name":"e"},"involvedObject":{"namespace":"default"}}`
	if code, body := do(t, f, http.MethodPost, "/api/v1/namespaces/default/events", event, "Content-Type", "application/json"); code != 201 {
		t.Fatalf("%d %s", code, body)
	}
	if got := equivalents(o.last); got != "events.k8s.io/v1 events=Event" {
		t.Errorf("equivalents of an event: %s", got)
	}
}

// TestChangeInOtherVersion: what is changed in one version is stored, with defaults for
// what was taken away.
func TestChangeInOtherVersion(t *testing.T) {
	o, f := newOnlooker(t)
	o.kind = autoscalingv1.SchemeGroupVersion.WithKind("HorizontalPodAutoscaler")
	o.change = func(obj runtime.Object) {
		s := obj.(*autoscalingv1.HorizontalPodAutoscaler)
		s.Spec.MinReplicas, s.Spec.MaxReplicas = nil, 7
	}
	code, body := do(t, f, http.MethodPost, "/apis/autoscaling/v1/namespaces/default/horizontalpodautoscalers", scaler, "Content-Type", "application/json")
	if code != 201 || !strings.Contains(body, `"minReplicas":1,"maxReplicas":7`) {
		t.Errorf("%d %s", code, body)
	}
}

// TestConnectOptions: admission sees what a connection is for.
func TestConnectOptions(t *testing.T) {
	o, f := newOnlooker(t)
	// Nothing is there to connect to; admission comes first.
	do(t, f, http.MethodPost, "/api/v1/namespaces/default/pods/p/exec?command=ls&command=-l&container=c&stdin=true&tty=0", "")
	want := &corev1.PodExecOptions{Stdin: true, Stdout: true, Stderr: true, Container: "c", Command: []string{"ls", "-l"}}
	want.APIVersion, want.Kind = "v1", "PodExecOptions"
	if got, ok := o.last.Object.(*corev1.PodExecOptions); !ok || fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("exec: %+v", o.last.Object)
	}
	if o.last.Operation != admission.Connect || o.last.Subresource != "exec" || o.last.Kind.Kind != "PodExecOptions" {
		t.Errorf("exec: %+v", o.last)
	}
	do(t, f, http.MethodPost, "/api/v1/namespaces/default/pods/p/portforward?ports=80,443&ports=53", "")
	if got, ok := o.last.Object.(*corev1.PodPortForwardOptions); !ok || fmt.Sprint(got.Ports) != "[80 443 53]" {
		t.Errorf("portforward: %+v", o.last.Object)
	}
	do(t, f, http.MethodGet, "/api/v1/namespaces/default/services/s/proxy/a/b", "")
	if got, ok := o.last.Object.(*corev1.ServiceProxyOptions); !ok || got.Path != "/a/b" {
		t.Errorf("proxy: %+v", o.last.Object)
	}
	if code, body := do(t, f, http.MethodPost, "/api/v1/namespaces/default/pods/p/portforward?ports=http", ""); code != 400 || !strings.Contains(body, `ports: \"http\" is not a number`) {
		t.Errorf("bad port: %d %s", code, body)
	}
	o.last = nil
	do(t, f, http.MethodGet, "/api/v1/namespaces/default/pods/p/log", "")
	if o.last != nil {
		t.Errorf("log, which is a read: %+v", o.last)
	}
}
