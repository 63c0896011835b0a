package ingressclass

import (
	"context"
	"testing"

	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"skiff/server/admission"
	at "skiff/server/admission/admissiontest"
)

func TestAdmit(t *testing.T) {
	p := New(func(context.Context) ([]networkingv1.IngressClass, error) {
		return []networkingv1.IngressClass{
			{ObjectMeta: metav1.ObjectMeta{Name: "a"}},
			{ObjectMeta: metav1.ObjectMeta{Name: "b", Annotations: map[string]string{"ingressclass.kubernetes.io/is-default-class": "true"}}},
		}, nil
	})
	for name, tc := range map[string]struct {
		ingress networkingv1.Ingress
		want    string
	}{
		"none":       {networkingv1.Ingress{}, "b"},
		"named":      {networkingv1.Ingress{Spec: networkingv1.IngressSpec{IngressClassName: ptr.To("x")}}, "x"},
		"annotation": {networkingv1.Ingress{ObjectMeta: metav1.ObjectMeta{Annotations: map[string]string{"kubernetes.io/ingress.class": "y"}}}, ""},
	} {
		at.Check(t, name, p.Admit(t.Context(), at.Write(admission.Create, "ingresses.networking.k8s.io", &tc.ingress, nil, at.Bob())), "")
		if got := ptr.Deref(tc.ingress.Spec.IngressClassName, ""); got != tc.want {
			t.Errorf("%s: %q", name, got)
		}
	}
}
