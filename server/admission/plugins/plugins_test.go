package plugins

import (
	"context"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes/fake"

	"skiff/server/admission"
	at "skiff/server/admission/admissiontest"
)

func TestOrder(t *testing.T) {
	client := fake.NewClientset()
	chain := Default(Deps{Informers: informers.NewSharedInformerFactory(client, 0), Client: client, StorageProtection: true})
	var names []string
	for _, p := range chain {
		names = append(names, p.Name())
		_, mutates := p.(admission.Mutator)
		_, validates := p.(admission.Validator)
		if !mutates && !validates {
			t.Errorf("%s does nothing", p.Name())
		}
	}
	want := []string{
		"NamespaceLifecycle", "LimitRanger", "ServiceAccount", "NodeRestriction", "TaintNodesByCondition", "PodSecurity", "Priority",
		"DefaultTolerationSeconds", "DefaultStorageClass", "PersistentVolumeClaimResize", "RuntimeClass", "CertificateApproval",
		"CertificateSigning", "CertificateSubjectRestriction", "DefaultIngressClass", "StorageObjectInUseProtection",
	}
	if !slices.Equal(names, want) {
		t.Errorf("order:\n got %s\nwant %s", strings.Join(names, " "), strings.Join(want, " "))
	}
}

// A plain pod goes through the whole chain, with caches that know nothing yet.
func TestPodThroughChain(t *testing.T) {
	client := fake.NewClientset(
		&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "shop"}, Status: corev1.NamespaceStatus{Phase: corev1.NamespaceActive}},
		&corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "default"}},
	)
	nobody := authorizer.AuthorizerFunc(func(context.Context, authorizer.Attributes) (authorizer.Decision, string, error) {
		return authorizer.DecisionNoOpinion, "", nil
	})
	chain := Default(Deps{Informers: informers.NewSharedInformerFactory(client, 0), Client: client, Authorizer: nobody})
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "web"}, Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "c", Image: "i"}}}}
	a := at.Write(admission.Create, "pods", pod, nil, at.Bob())
	at.Check(t, "admit", chain.Admit(t.Context(), a), "")
	at.Check(t, "validate", chain.Validate(t.Context(), a), "")
	if pod.Spec.ServiceAccountName != "default" || pod.Spec.Priority == nil || len(pod.Spec.Tolerations) != 2 || len(pod.Spec.Volumes) != 1 {
		t.Errorf("%+v", pod.Spec)
	}
}
