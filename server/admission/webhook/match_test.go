package webhook

import (
	"strings"
	"testing"
	"testing/synctest"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes/fake"
	"k8s.io/utils/ptr"

	"skiff/server/admission"
	at "skiff/server/admission/admissiontest"
)

// TestMatch: which writes a hook is asked about.
func TestMatch(t *testing.T) {
	labels := func(k, v string) *metav1.LabelSelector {
		return &metav1.LabelSelector{MatchLabels: map[string]string{k: v}}
	}
	condition := func(expressions ...string) func(*admissionv1.ValidatingWebhook) {
		return func(w *admissionv1.ValidatingWebhook) {
			for _, e := range expressions {
				w.MatchConditions = append(w.MatchConditions, admissionv1.MatchCondition{Name: "c", Expression: e})
			}
		}
	}
	for name, c := range map[string]struct {
		change func(*admissionv1.ValidatingWebhook)
		asked  string
		err    string
	}{
		"all": {nil, "/hook", ""},
		"other operation": {func(w *admissionv1.ValidatingWebhook) {
			w.Rules[0].Operations = []admissionv1.OperationType{admissionv1.Delete}
		}, "", ""},
		"other resource": {func(w *admissionv1.ValidatingWebhook) { w.Rules[0].Resources = []string{"secrets"} }, "", ""},
		"cluster's":      {func(w *admissionv1.ValidatingWebhook) { w.Rules[0].Scope = ptr.To(admissionv1.ClusterScope) }, "", ""},
		"subresource":    {func(w *admissionv1.ValidatingWebhook) { w.Rules[0].Resources = []string{"configmaps/status"} }, "", ""},
		"other version":  {func(w *admissionv1.ValidatingWebhook) { w.Rules[0].APIGroups = []string{"example.com"} }, "/hook", ""},
		"other version, exact": {func(w *admissionv1.ValidatingWebhook) {
			w.Rules[0].APIGroups, w.MatchPolicy = []string{"example.com"}, ptr.To(admissionv1.Exact)
		}, "", ""},
		"namespace":       {func(w *admissionv1.ValidatingWebhook) { w.NamespaceSelector = labels("team", "a") }, "/hook", ""},
		"other namespace": {func(w *admissionv1.ValidatingWebhook) { w.NamespaceSelector = labels("team", "b") }, "", ""},
		"object":          {func(w *admissionv1.ValidatingWebhook) { w.ObjectSelector = labels("app", "x") }, "/hook", ""},
		"other object":    {func(w *admissionv1.ValidatingWebhook) { w.ObjectSelector = labels("app", "y") }, "", ""},
		"condition":       {condition(`object.data.tea == "2"`, `request.userInfo.username == "bob"`), "/hook", ""},
		"other condition": {condition(`object.data.tea == "3"`), "", ""},
		"right":           {condition(`authorizer.group("").resource("configmaps").check("brew").allowed()`), "/hook", ""},
		"condition fails": {condition(`object.data.milk == "1"`), "", "no such key: milk"},
		"condition fails, so": {func(w *admissionv1.ValidatingWebhook) {
			condition(`object.data.milk == "1"`)(w)
			w.FailurePolicy = ptr.To(admissionv1.Ignore)
		}, "", ""},
		"false counts for more": {condition(`object.data.milk == "1"`, "false"), "", ""},
		"does not compile":      {condition(`object.`), "", "Syntax error"},
	} {
		t.Run(name, func(t *testing.T) {
			o := newOutside(t)
			o.answers["/hook"] = allow
			_, v := o.plugins(validatingConfiguration("a", o.validatingHook("/hook", c.change)))
			err := v.Validate(t.Context(), configMapWrite(admission.Create, map[string]string{"tea": "2"}))
			if c.err == "Syntax error" { // with a picture behind it
				if err == nil {
					t.Error("it was asked")
				}
			} else {
				at.Check(t, name, err, c.err)
			}
			if got := o.paths(); got != c.asked {
				t.Errorf("asked %q, want %q", got, c.asked)
			}
		})
	}
}

// TestSource: hooks follow their configurations, in the order of the names, and none
// is passed by before the informer is ready.
func TestSource(t *testing.T) {
	hook := func(name string) admissionv1.MutatingWebhook { return admissionv1.MutatingWebhook{Name: name} }
	synctest.Test(t, func(t *testing.T) {
		client := fake.NewClientset(mutatingConfiguration("b", hook("two")), mutatingConfiguration("a", hook("one")))
		f := informers.NewSharedInformerFactory(client, 0)
		m, _ := New(Config{Informers: f, Client: client})
		check := func(when, want string) {
			t.Helper()
			synctest.Wait()
			hooks, err := m.hooks.get(t.Context())
			var names []string
			for _, h := range hooks {
				names = append(names, h.name)
			}
			if got := strings.Join(names, " "); got != want || err != nil {
				t.Errorf("%s: %s, %v, want %s", when, got, err, want)
			}
		}
		check("before the informer has started", "one two")
		f.StartWithContext(t.Context())
		check("with the informer", "one two")
		configurations := client.AdmissionregistrationV1().MutatingWebhookConfigurations()
		now := mutatingConfiguration("b", hook("three"), hook("two"))
		now.ResourceVersion = "2"
		if _, err := configurations.Update(t.Context(), now, metav1.UpdateOptions{}); err != nil {
			t.Fatal(err)
		}
		check("after a change", "one three two")
		if err := configurations.Delete(t.Context(), "a", metav1.DeleteOptions{}); err != nil {
			t.Fatal(err)
		}
		check("after one was removed", "three two")
	})
}
