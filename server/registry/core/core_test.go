package core_test

import (
	"reflect"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"skiff/server/registry"
	"skiff/server/registry/core"
)

type (
	registryObject      = registry.Object
	registrySubresource = registry.Subresource
)

var (
	noHooks registry.Hooks
	noRules registry.Rules
)

func TestNamespaceLife(t *testing.T) {
	w := newWorld(t, "10.96.0.0/12", core.Deps{})
	ns := w.mustCreate("namespaces", &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "a"}}).(*corev1.Namespace)
	if ns.Labels[corev1.LabelMetadataName] != "a" || len(ns.Spec.Finalizers) != 1 {
		t.Errorf("got %+v", ns)
	}
	if _, err := w.store("namespaces").Delete(t.Context(), "", "a", nil); err != nil {
		t.Fatal(err)
	}
	obj, err := w.store("namespaces").Get(t.Context(), "", "a")
	if err != nil {
		t.Fatal(err)
	}
	ns = obj.(*corev1.Namespace)
	if ns.Status.Phase != corev1.NamespaceTerminating || ns.DeletionTimestamp == nil {
		t.Errorf("got %+v", ns)
	}
	ns.Spec.Finalizers = nil
	if _, err := w.replace("namespaces", "finalize", ns); err != nil {
		t.Fatal(err)
	}
	if _, err := w.store("namespaces").Delete(t.Context(), "", "a", nil); err != nil && !apierrors.IsNotFound(err) {
		t.Fatal(err)
	}
	if _, err := w.store("namespaces").Get(t.Context(), "", "a"); !apierrors.IsNotFound(err) {
		t.Errorf("got %v", err)
	}
}

func TestHeartbeatIsVolatile(t *testing.T) {
	w := newWorld(t, "10.96.0.0/12", core.Deps{})
	volatile := w.store("nodes").Resource().Volatile
	node := func(ready corev1.ConditionStatus, at time.Time) *corev1.Node {
		return &corev1.Node{Status: corev1.NodeStatus{Conditions: []corev1.NodeCondition{{Type: corev1.NodeReady, Status: ready, LastHeartbeatTime: metav1.NewTime(at)}}}}
	}
	before := node(corev1.ConditionTrue, now())
	if !volatile(node(corev1.ConditionTrue, now().Add(time.Minute)), before) {
		t.Error("a heartbeat is not volatile")
	}
	if volatile(node(corev1.ConditionFalse, now().Add(time.Minute)), before) {
		t.Error("a condition is volatile")
	}
	if volatile(before, nil) {
		t.Error("a new node is volatile")
	}
}

func TestEventRoundTrip(t *testing.T) {
	in := &eventsv1.Event{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "e"}, EventTime: metav1.NewMicroTime(now()),
		Series:              &eventsv1.EventSeries{Count: 3, LastObservedTime: metav1.NewMicroTime(now())},
		ReportingController: "c", ReportingInstance: "i", Action: "a", Reason: "r", Note: "n", Type: "Normal",
		Regarding: corev1.ObjectReference{Kind: "Pod", Name: "p"}, DeprecatedCount: 2,
	}
	hub, err := core.EventFromV1(in)
	if err != nil {
		t.Fatal(err)
	}
	out, err := core.EventToV1(hub)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(in, out) {
		t.Errorf("got %+v, want %+v", out, in)
	}
}

func TestPodFields(t *testing.T) {
	w := newWorld(t, "10.96.0.0/12", core.Deps{})
	p := pod("p", "c")
	p.Spec.NodeName, p.Spec.RestartPolicy, p.Status.Phase = "n", corev1.RestartPolicyAlways, corev1.PodRunning
	res := w.store("pods").Resource()
	got := res.Fields(p)
	for _, name := range res.FieldNames {
		if !got.Has(name) {
			t.Errorf("no field %s", name)
		}
	}
	if got["spec.nodeName"] != "n" || got["status.phase"] != "Running" || got["spec.restartPolicy"] != "Always" {
		t.Errorf("got %v", got)
	}
}

// TestCellsMatchColumns checks every kind's row, of an object with nothing in it,
// against its columns.
func TestCellsMatchColumns(t *testing.T) {
	for _, res := range core.Resources(core.Deps{}) {
		if len(res.Columns) == 0 {
			continue // Name and Created At
		}
		obj := res.Versions[0].New().(registry.Object)
		if cells := res.Cells(obj); len(cells) != len(res.Columns) {
			t.Errorf("%s: %d cells in %d columns", res.Plural, len(cells), len(res.Columns))
		}
	}
}
