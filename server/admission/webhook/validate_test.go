package webhook

import (
	"net/http"
	"strings"
	"testing"

	admissionreview "k8s.io/api/admission/v1"
	admissionv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/utils/ptr"

	"skiff/server/admission"
	at "skiff/server/admission/admissiontest"
)

// TestAnswers: what becomes of a write, by what a hook answers and its policy.
func TestAnswers(t *testing.T) {
	ignore := func(w *admissionv1.ValidatingWebhook) { w.FailurePolicy = ptr.To(admissionv1.Ignore) }
	for name, c := range map[string]struct {
		answer func(*admissionreview.AdmissionRequest) *admissionreview.AdmissionResponse
		change func(*admissionv1.ValidatingWebhook)
		want   string // the end of the error's text
		code   int32
	}{
		"allowed":             {answer: allow},
		"refused":             {answer: deny(&metav1.Status{Message: "too dear", Code: 403, Reason: metav1.StatusReasonForbidden}), want: `admission webhook "hook.example.com" denied the request: too dear`, code: 403},
		"refused in silence":  {answer: deny(nil), want: `admission webhook "hook.example.com" denied the request without explanation`, code: 400},
		"refused, not failed": {answer: deny(&metav1.Status{Message: "no"}), change: ignore, want: "denied the request: no", code: 400},
		"no such path":        {want: `failed calling webhook "hook.example.com": failed to call webhook: the server could not find the requested resource`, code: 500},
		"no such path, so":    {change: ignore},
		"empty":               {answer: func(*admissionreview.AdmissionRequest) *admissionreview.AdmissionResponse { return nil }, want: "failed to call webhook: decode the answer: unexpected end of JSON input", code: 500},
		"other write": {
			answer: func(*admissionreview.AdmissionRequest) *admissionreview.AdmissionResponse {
				return &admissionreview.AdmissionResponse{Allowed: true, UID: "x"}
			}, want: `got "x"`, code: 500,
		},
		"a patch":     {answer: patch("[]"), want: "received invalid webhook response: validating webhook may not return response.patch", code: 500},
		"unknown CA":  {answer: allow, change: func(w *admissionv1.ValidatingWebhook) { w.ClientConfig.CABundle = nil }, want: "certificate signed by unknown authority", code: 500},
		"bad CA":      {answer: allow, change: func(w *admissionv1.ValidatingWebhook) { w.ClientConfig.CABundle = []byte("x") }, want: "caBundle has no certificate in it", code: 500},
		"old version": {answer: patch("[]"), change: func(w *admissionv1.ValidatingWebhook) { w.AdmissionReviewVersions = []string{"v9", "v1beta1", "v1"} }},
		"no version":  {answer: allow, change: func(w *admissionv1.ValidatingWebhook) { w.AdmissionReviewVersions = []string{"v9"} }, want: "webhook does not accept known AdmissionReview versions (v1, v1beta1)", code: 500},
	} {
		t.Run(name, func(t *testing.T) {
			o := newOutside(t)
			if c.answer != nil {
				o.answers["/hook"] = c.answer
			}
			_, v := o.plugins(validatingConfiguration("a", o.validatingHook("/hook", c.change)))
			err := v.Validate(t.Context(), configMapWrite(admission.Create, nil))
			at.Check(t, name, err, c.want)
			if status, ok := err.(apierrors.APIStatus); (c.want != "") != ok || ok && status.Status().Code != c.code {
				t.Errorf("answered %#v, want %d", err, c.code)
			}
		})
	}
}

// TestReview: what a hook is told.
func TestReview(t *testing.T) {
	o := newOutside(t)
	o.answers["/hook"] = allow
	_, v := o.plugins(validatingConfiguration("a", o.validatingHook("/hook", nil)))
	if err := v.Validate(t.Context(), configMapWrite(admission.Update, map[string]string{"tea": "2"})); err != nil {
		t.Fatal(err)
	}
	review := o.last["/hook"]
	r := review.Request
	if review.APIVersion != "admission.k8s.io/v1" || review.Kind != "AdmissionReview" || r.UID == "" || r.Operation != admissionreview.Update ||
		r.Kind.Kind != "ConfigMap" || *r.RequestKind != r.Kind || r.Resource.Resource != "configmaps" || *r.RequestResource != r.Resource ||
		r.Namespace != "shop" || r.Name != "prices" || r.UserInfo.Username != "bob" || *r.DryRun {
		t.Errorf("%+v", review)
	}
	for what, part := range map[string]struct {
		got  []byte
		want string
	}{
		"object":    {r.Object.Raw, `"kind":"ConfigMap","apiVersion":"v1"`},
		"data":      {r.Object.Raw, `"data":{"tea":"2"}`},
		"oldObject": {r.OldObject.Raw, `"kind":"ConfigMap","apiVersion":"v1"`},
		"options":   {r.Options.Raw, `"kind":"CreateOptions","apiVersion":"meta.k8s.io/v1"`},
	} {
		if !strings.Contains(string(part.got), part.want) {
			t.Errorf("%s: %s", what, part.got)
		}
	}
}

// TestService: a service is reached by its endpoints, and shows its own name.
func TestService(t *testing.T) {
	o := newOutside(t)
	o.answers["/hook"] = allow
	h := o.validatingHook("/hook", func(w *admissionv1.ValidatingWebhook) {
		w.ClientConfig.URL = nil
		w.ClientConfig.Service = &admissionv1.ServiceReference{Namespace: "shop", Name: "policy", Path: ptr.To("/hook")}
	})
	_, v := o.plugins(validatingConfiguration("a", h))
	// The test's certificate is for example.com: that it is refused shows which name is
	// asked for.
	at.Check(t, "certificate", v.Validate(t.Context(), configMapWrite(admission.Create, nil)), "not policy.shop.svc")
	if got := strings.Join(o.dialled, " "); got != "shop/policy:443" {
		t.Errorf("dialled %s", got)
	}
}

// TestAllAtOnce: validating hooks are all asked, and the first one's no is told.
func TestAllAtOnce(t *testing.T) {
	o := newOutside(t)
	met := make(chan struct{})
	// Each waits for the other.
	o.answers["/first"] = func(*admissionreview.AdmissionRequest) *admissionreview.AdmissionResponse {
		met <- struct{}{}
		return &admissionreview.AdmissionResponse{Warnings: []string{"one"}, Result: &metav1.Status{Message: "first"}}
	}
	o.answers["/second"] = func(*admissionreview.AdmissionRequest) *admissionreview.AdmissionResponse {
		<-met
		return &admissionreview.AdmissionResponse{Warnings: []string{"two"}, Result: &metav1.Status{Message: "second"}}
	}
	_, v := o.plugins(
		validatingConfiguration("b", o.validatingHook("/second", nil)),
		validatingConfiguration("a", o.validatingHook("/first", nil)),
	)
	a := configMapWrite(admission.Create, nil)
	var warnings []string
	a.Warn = func(text string) { warnings = append(warnings, text) }
	at.Check(t, "both", v.Validate(t.Context(), a), "denied the request: first")
	if got := strings.Join(warnings, " "); got != "one two" {
		t.Errorf("warnings: %s", got)
	}
}

// TestErrorPage: of a page that tells of an error, clients see the beginning.
func TestErrorPage(t *testing.T) {
	o := newOutside(t)
	o.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusInternalServerError)
		_, _ = w.Write([]byte(strings.Repeat("sorry", 100000)))
	})
	_, v := o.plugins(validatingConfiguration("a", o.validatingHook("/hook", nil)))
	err := v.Validate(t.Context(), configMapWrite(admission.Create, nil))
	at.Check(t, "page", err, `") has prevented the request from succeeding`)
	if n := len(err.Error()); n > maxShown+300 {
		t.Errorf("the client is told %d bytes", n)
	}
}

// TestTimeout: a hook that does not answer is a failure, and knows how long it has.
func TestTimeout(t *testing.T) {
	o := newOutside(t)
	stop := make(chan struct{})
	defer close(stop)
	timeout := make(chan string, 1)
	o.Config.Handler = http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		timeout <- r.URL.Query().Get("timeout")
		<-stop
	})
	_, v := o.plugins(validatingConfiguration("a", o.validatingHook("/hook", func(w *admissionv1.ValidatingWebhook) { w.TimeoutSeconds = ptr.To[int32](1) })))
	at.Check(t, "silent", v.Validate(t.Context(), configMapWrite(admission.Create, nil)), "context deadline exceeded")
	if got := <-timeout; got != "1s" {
		t.Errorf("told %s", got)
	}
}

// TestExempt: configurations of hooks, questions about identities, and what the start
// of the server waits for go by no hook.
func TestExempt(t *testing.T) {
	o := newOutside(t)
	o.answers["/hook"] = deny(nil)
	_, v := o.plugins(validatingConfiguration("a", o.validatingHook("/hook", nil)))
	for resource, kind := range map[string]string{
		"validatingwebhookconfigurations.admissionregistration.k8s.io": "ValidatingWebhookConfiguration",
		"tokenreviews.authentication.k8s.io":                           "TokenReview",
		"subjectaccessreviews.authorization.k8s.io":                    "SubjectAccessReview",
	} {
		a := at.Write(admission.Create, resource, &corev1.ConfigMap{}, nil, at.Bob())
		a.Kind.Kind, a.Versions = kind, twoVersions{}
		at.Check(t, resource, v.Validate(t.Context(), a), "")
	}
	at.Check(t, "others", v.Validate(t.Context(), configMapWrite(admission.Delete, nil)), "without explanation")
	own := configMapWrite(admission.Create, nil)
	own.User = starter
	at.Check(t, "the start", v.Validate(t.Context(), own), "")
	own.User = &user.DefaultInfo{Name: starter.GetName()}
	at.Check(t, "one of the same name", v.Validate(t.Context(), own), "without explanation")
}

// TestDryRun: only hooks without side effects are asked about what is not stored.
func TestDryRun(t *testing.T) {
	o := newOutside(t)
	o.answers["/hook"] = allow
	for class, want := range map[admissionv1.SideEffectClass]string{
		admissionv1.SideEffectClassNone: "", admissionv1.SideEffectClassNoneOnDryRun: "",
		admissionv1.SideEffectClassSome: `admission webhook "hook.example.com" does not support dry run`,
	} {
		_, v := o.plugins(validatingConfiguration("a", o.validatingHook("/hook", func(w *admissionv1.ValidatingWebhook) { w.SideEffects = &class })))
		a := configMapWrite(admission.Create, nil)
		a.DryRun = true
		at.Check(t, string(class), v.Validate(t.Context(), a), want)
	}
}
