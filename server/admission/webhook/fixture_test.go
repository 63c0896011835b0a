package webhook

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	admissionreview "k8s.io/api/admission/v1"
	admissionv1 "k8s.io/api/admissionregistration/v1"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes/fake"
	"k8s.io/utils/ptr"

	"skiff/server/admission"
	at "skiff/server/admission/admissiontest"
)

// outside is a program that answers reviews, by their path.
type outside struct {
	*httptest.Server
	t *testing.T

	mu sync.Mutex
	// asked are the paths of the reviews, in the order in which they came.
	asked []string
	// last is the latest review of each path.
	last map[string]admissionreview.AdmissionReview
	// answers are by path.
	answers map[string]func(*admissionreview.AdmissionRequest) *admissionreview.AdmissionResponse
	// dialled are the services that were connected to.
	dialled []string
}

func newOutside(t *testing.T) *outside {
	o := &outside{t: t, last: map[string]admissionreview.AdmissionReview{}, answers: map[string]func(*admissionreview.AdmissionRequest) *admissionreview.AdmissionResponse{}}
	o.Server = httptest.NewUnstartedServer(o)
	o.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, 0)
	o.TLS = &tls.Config{}
	o.StartTLS()
	t.Cleanup(o.Close)
	return o
}

// ServeHTTP implements http.Handler.
func (o *outside) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var review admissionreview.AdmissionReview
	if err := json.NewDecoder(r.Body).Decode(&review); err != nil {
		o.t.Errorf("%s: %v", r.URL, err)
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	o.mu.Lock()
	o.asked = append(o.asked, r.URL.Path)
	o.last[r.URL.Path] = review
	answer := o.answers[r.URL.Path]
	o.mu.Unlock()
	if answer == nil {
		http.Error(w, "no such hook", http.StatusNotFound)
		return
	}
	resp := answer(review.Request)
	if resp == nil {
		return
	}
	if resp.UID == "" {
		resp.UID = review.Request.UID
	}
	_ = json.NewEncoder(w).Encode(admissionreview.AdmissionReview{TypeMeta: review.TypeMeta, Response: resp})
}

// DialService implements Services.
func (o *outside) DialService(ctx context.Context, namespace, name string, port int32) (net.Conn, error) {
	o.mu.Lock()
	o.dialled = append(o.dialled, fmt.Sprintf("%s/%s:%d", namespace, name, port))
	o.mu.Unlock()
	return (&net.Dialer{}).DialContext(ctx, "tcp", o.Listener.Addr().String())
}

// paths returns which hooks were asked since it was called last.
func (o *outside) paths() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	defer func() { o.asked = nil }()
	return strings.Join(o.asked, " ")
}

// client is the configuration of a hook at a path.
func (o *outside) client(path string) admissionv1.WebhookClientConfig {
	return admissionv1.WebhookClientConfig{URL: ptr.To(o.URL + path), CABundle: o.authority()}
}

func (o *outside) authority() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: o.Certificate().Raw})
}

func allow(*admissionreview.AdmissionRequest) *admissionreview.AdmissionResponse {
	return &admissionreview.AdmissionResponse{Allowed: true}
}

func deny(status *metav1.Status) func(*admissionreview.AdmissionRequest) *admissionreview.AdmissionResponse {
	return func(*admissionreview.AdmissionRequest) *admissionreview.AdmissionResponse {
		return &admissionreview.AdmissionResponse{Result: status}
	}
}

func patch(text string) func(*admissionreview.AdmissionRequest) *admissionreview.AdmissionResponse {
	return func(*admissionreview.AdmissionRequest) *admissionreview.AdmissionResponse {
		return &admissionreview.AdmissionResponse{Allowed: true, Patch: []byte(text), PatchType: ptr.To(admissionreview.PatchTypeJSONPatch)}
	}
}

// everything is a rule for all writes.
func everything() []admissionv1.RuleWithOperations {
	return []admissionv1.RuleWithOperations{{
		Operations: []admissionv1.OperationType{admissionv1.OperationAll},
		Rule:       admissionv1.Rule{APIGroups: []string{"*"}, APIVersions: []string{"*"}, Resources: []string{"*/*"}},
	}}
}

// validatingHook is one at a path, which is its name as well.
func (o *outside) validatingHook(path string, change func(*admissionv1.ValidatingWebhook)) admissionv1.ValidatingWebhook {
	w := admissionv1.ValidatingWebhook{
		Name: strings.Trim(path, "/") + ".example.com", ClientConfig: o.client(path), Rules: everything(),
		FailurePolicy: ptr.To(admissionv1.Fail), MatchPolicy: ptr.To(admissionv1.Equivalent), TimeoutSeconds: ptr.To[int32](10),
		SideEffects: ptr.To(admissionv1.SideEffectClassNone), AdmissionReviewVersions: []string{"v1"},
		NamespaceSelector: &metav1.LabelSelector{}, ObjectSelector: &metav1.LabelSelector{},
	}
	if change != nil {
		change(&w)
	}
	return w
}

func (o *outside) mutatingHook(path string, reinvoked bool) admissionv1.MutatingWebhook {
	v := o.validatingHook(path, nil)
	policy := admissionv1.NeverReinvocationPolicy
	if reinvoked {
		policy = admissionv1.IfNeededReinvocationPolicy
	}
	return admissionv1.MutatingWebhook{
		Name: v.Name, ClientConfig: v.ClientConfig, Rules: v.Rules, FailurePolicy: v.FailurePolicy, MatchPolicy: v.MatchPolicy,
		TimeoutSeconds: v.TimeoutSeconds, SideEffects: v.SideEffects, AdmissionReviewVersions: v.AdmissionReviewVersions,
		NamespaceSelector: v.NamespaceSelector, ObjectSelector: v.ObjectSelector, ReinvocationPolicy: &policy,
	}
}

func validatingConfiguration(name string, hooks ...admissionv1.ValidatingWebhook) *admissionv1.ValidatingWebhookConfiguration {
	return &admissionv1.ValidatingWebhookConfiguration{ObjectMeta: metav1.ObjectMeta{Name: name, UID: types.UID(name), ResourceVersion: "1"}, Webhooks: hooks}
}

func mutatingConfiguration(name string, hooks ...admissionv1.MutatingWebhook) *admissionv1.MutatingWebhookConfiguration {
	return &admissionv1.MutatingWebhookConfiguration{ObjectMeta: metav1.ObjectMeta{Name: name, UID: types.UID(name), ResourceVersion: "1"}, Webhooks: hooks}
}

// plugins makes both plugins, whose informers know the objects.
func (o *outside) plugins(objects ...runtime.Object) (*Mutating, *Validating) {
	o.t.Helper()
	client := fake.NewClientset(append(objects, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "shop", Labels: map[string]string{"team": "a"}}})...)
	f := informers.NewSharedInformerFactory(client, 0)
	m, v := New(Config{Informers: f, Client: client, Services: o, Authorizer: nobody{}, Starter: starter, Logger: slog.New(slog.DiscardHandler), Metrics: NewMetrics()})
	f.StartWithContext(o.t.Context())
	f.WaitForCacheSyncWithContext(o.t.Context())
	return m, v
}

var starter user.Info = &user.DefaultInfo{Name: "system:apiserver"}

// nobody may do anything but bob.
type nobody struct{}

// Authorize implements authorizer.UnconditionalAuthorizer.
func (nobody) Authorize(_ context.Context, a authorizer.Attributes) (authorizer.Decision, string, error) {
	if a.GetUser().GetName() == "bob" {
		return authorizer.DecisionAllow, "", nil
	}
	return authorizer.DecisionNoOpinion, "", nil
}

// twoVersions serves config maps also as v2 of another group, in which data are called
// details; its objects are config maps all the same.
type twoVersions struct{}

var (
	kindV1 = corev1.SchemeGroupVersion.WithKind("ConfigMap")
	kindV2 = schema.GroupVersionKind{Group: "example.com", Version: "v2", Kind: "Map"}
)

// Equivalents implements admission.Versions.
func (twoVersions) Equivalents() []admission.Equivalent {
	return []admission.Equivalent{{Resource: schema.GroupVersionResource{Group: "example.com", Version: "v2", Resource: "maps"}, Kind: kindV2}}
}

// Convert implements admission.Versions.
func (twoVersions) Convert(obj runtime.Object, kind schema.GroupVersionKind) (runtime.Object, error) {
	out := obj.DeepCopyObject()
	out.GetObjectKind().SetGroupVersionKind(kind)
	return out, nil
}

// Adopt implements admission.Versions.
func (twoVersions) Adopt(obj runtime.Object, _ schema.GroupVersionKind) (runtime.Object, error) {
	m := obj.(*corev1.ConfigMap)
	m.TypeMeta = metav1.TypeMeta{}
	metav1.SetMetaDataLabel(&m.ObjectMeta, "defaulted", "yes")
	return m, nil
}

// write makes a write of a config map.
func configMapWrite(op admission.Operation, data map[string]string) *admission.Attributes {
	obj := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "prices", Labels: map[string]string{"app": "x"}}, Data: data}
	var now, old runtime.Object = obj, nil
	switch op {
	case admission.Update:
		old = &corev1.ConfigMap{ObjectMeta: obj.ObjectMeta}
	case admission.Delete:
		now, old = nil, obj
	}
	a := at.Write(op, "configmaps", now, old, at.Bob())
	a.Kind, a.Options, a.Versions = kindV1, &metav1.CreateOptions{FieldManager: "test"}, twoVersions{}
	return a
}
