package lifecycle

import (
	"context"
	"errors"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	corelisters "k8s.io/client-go/listers/core/v1"
	testclock "k8s.io/utils/clock/testing"

	"skiff/server/admission"
	at "skiff/server/admission/admissiontest"
)

func namespace(name string, phase corev1.NamespacePhase) *corev1.Namespace {
	return &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}, Status: corev1.NamespaceStatus{Phase: phase}}
}

func live(objects ...*corev1.Namespace) Getter {
	return func(_ context.Context, name string) (*corev1.Namespace, error) {
		for _, o := range objects {
			if o.Name == name {
				return o, nil
			}
		}
		return nil, apierrors.NewNotFound(schema.GroupResource{Resource: "namespaces"}, name)
	}
}

func TestAdmit(t *testing.T) {
	in := func(ns string) runtime.Object {
		return &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "x"}}
	}
	p := New(corelisters.NewNamespaceLister(at.Indexer(t, namespace("a", corev1.NamespaceActive), namespace("t", corev1.NamespaceTerminating))),
		live(namespace("young", corev1.NamespaceActive)), testclock.NewFakeClock(time.Now()))
	const create, update, del = admission.Create, admission.Update, admission.Delete
	for name, tc := range map[string]struct {
		op       admission.Operation
		resource string
		obj, old runtime.Object
		want     string
	}{
		"create":                    {create, "configmaps", in("a"), nil, ""},
		"create in terminating":     {create, "configmaps", in("t"), nil, `configmaps "x" is forbidden: unable to create new content in namespace t because it is being terminated`},
		"update in terminating":     {update, "configmaps", in("t"), in("t"), ""},
		"delete in terminating":     {del, "configmaps", nil, in("t"), ""},
		"create in none":            {create, "configmaps", in("none"), nil, `namespaces "none" not found`},
		"create in a young one":     {create, "configmaps", in("young"), nil, ""},
		"access review in none":     {create, "localsubjectaccessreviews.authorization.k8s.io", in("none"), nil, ""},
		"cluster-scoped":            {create, "nodes", &corev1.Node{}, nil, ""},
		"create a namespace":        {create, "namespaces", namespace("n", ""), nil, ""},
		"delete a namespace":        {del, "namespaces", nil, namespace("n", ""), ""},
		"delete default":            {del, "namespaces", nil, namespace("default", ""), `namespaces "default" is forbidden: this namespace may not be deleted`},
		"delete kube-system":        {del, "namespaces", nil, namespace("kube-system", ""), `this namespace may not be deleted`},
		"delete kube-public":        {del, "namespaces", nil, namespace("kube-public", ""), `this namespace may not be deleted`},
		"delete kube-node-lease ok": {del, "namespaces", nil, namespace("kube-node-lease", ""), ""},
	} {
		at.Check(t, name, p.Admit(t.Context(), at.Write(tc.op, tc.resource, tc.obj, tc.old, at.Bob())), tc.want)
	}
}

func TestTerminatingCause(t *testing.T) {
	p := New(corelisters.NewNamespaceLister(at.Indexer(t, namespace("t", corev1.NamespaceTerminating))), live(), testclock.NewFakeClock(time.Now()))
	err := p.Admit(t.Context(), at.Write(admission.Create, "configmaps", &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "t"}}, nil, at.Bob()))
	if !apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause) {
		t.Errorf("controllers cannot tell: %v", err)
	}
}

// After a delete, a cache that still says "active" is not believed for a while.
func TestAsksTheStoreAfterDelete(t *testing.T) {
	clk := testclock.NewFakeClock(time.Now())
	p := New(corelisters.NewNamespaceLister(at.Indexer(t, namespace("a", corev1.NamespaceActive))), live(namespace("a", corev1.NamespaceTerminating)), clk)
	in := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "a", Name: "x"}}
	create := func() error { return p.Admit(t.Context(), at.Write(admission.Create, "configmaps", in, nil, at.Bob())) }
	at.Check(t, "before", create(), "")
	at.Check(t, "delete", p.Admit(t.Context(), at.Write(admission.Delete, "namespaces", nil, namespace("a", ""), at.Bob())), "")
	at.Check(t, "after", create(), "because it is being terminated")
	clk.Step(time.Minute)
	at.Check(t, "much later", create(), "")
}

func TestStoreFails(t *testing.T) {
	p := New(corelisters.NewNamespaceLister(at.Indexer(t)), func(context.Context, string) (*corev1.Namespace, error) { return nil, errors.New("no leader") }, testclock.NewFakeClock(time.Now()))
	err := p.Admit(t.Context(), at.Write(admission.Create, "configmaps", &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "a"}}, nil, at.Bob()))
	if !apierrors.IsInternalError(err) {
		t.Errorf("got %v", err)
	}
}
