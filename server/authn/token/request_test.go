package token

import (
	"context"
	"encoding/json"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	jose "github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
	authenticationv1 "k8s.io/api/authentication/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/warning"
	"k8s.io/utils/ptr"

	"skiff/server/registry"
)

// objects serves the world's objects as the generic store does.
type objects struct {
	*world
	resource string
}

func (o objects) Get(ctx context.Context, ns, name string) (registry.Object, error) {
	switch o.resource {
	case "pods":
		return nilIfError(o.Pod(ctx, ns, name))
	case "secrets":
		return nilIfError(o.Secret(ctx, ns, name))
	case "nodes":
		return nilIfError(o.Node(ctx, name))
	}
	return nilIfError(o.ServiceAccount(ctx, ns, name))
}

func nilIfError[T registry.Object](obj T, err error) (registry.Object, error) {
	if err != nil {
		return nil, err
	}
	return obj, nil
}

func (o objects) Of(r schema.GroupResource) (registry.Objects, bool) {
	return objects{o.world, r.Resource}, true
}

func (o objects) Modify(context.Context, string, string, *registry.Rules, func(registry.Object) error) (registry.Object, error) {
	panic("a token request changes nothing")
}

func (o objects) Delete(context.Context, string, string, *metav1.DeleteOptions) (runtime.Object, error) {
	panic("a token request deletes nothing")
}

type warnings []string

func (w *warnings) AddWarning(_, text string) { *w = append(*w, text) }

func TestCreateDefaults(t *testing.T) {
	i, clk := newIssuer(t)
	w := newWorld()
	out, err := i.Create(t.Context(), objects{world: w}, "ns", "sa", &authenticationv1.TokenRequest{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	tr := out.(*authenticationv1.TokenRequest)
	if tr.Name != "sa" || tr.Namespace != "ns" || tr.UID != "sa-uid" || *tr.Spec.ExpirationSeconds != 3600 || len(tr.Spec.Audiences) != 1 || tr.Spec.Audiences[0] != issuerURL {
		t.Errorf("%+v", tr)
	}
	if !tr.Status.ExpirationTimestamp.Time.Equal(clk.Now().Add(time.Hour)) {
		t.Errorf("expires %v", tr.Status.ExpirationTimestamp)
	}
	if _, ok, err := i.Verifier(w).AuthenticateToken(t.Context(), tr.Status.Token); err != nil || !ok {
		t.Errorf("%v, %v", ok, err)
	}
}

func TestCreateBindsPodAndItsNode(t *testing.T) {
	i, _ := newIssuer(t)
	w := newWorld()
	req := &authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{BoundObjectRef: &authenticationv1.BoundObjectReference{APIVersion: "v1", Kind: "Pod", Name: "pod", UID: "pod-uid"}}}
	for _, nodeUID := range []string{"node-uid", ""} {
		out, err := i.Create(t.Context(), objects{world: w}, "ns", "sa", req, nil)
		if err != nil {
			t.Fatal(err)
		}
		tok, err := jwt.ParseSigned(out.(*authenticationv1.TokenRequest).Status.Token, algorithms)
		if err != nil {
			t.Fatal(err)
		}
		var c claims
		if err := tok.UnsafeClaimsWithoutVerification(&c); err != nil {
			t.Fatal(err)
		}
		if c.Kubernetes.Pod.UID != "pod-uid" || c.Kubernetes.Node.Name != "box" || c.Kubernetes.Node.UID != nodeUID {
			t.Errorf("%+v", c.Kubernetes)
		}
		clear(w.nodes) // a node that is gone leaves its name
	}
}

func TestCreateRefuses(t *testing.T) {
	ref := func(apiVersion, kind, name, uid string) *authenticationv1.BoundObjectReference {
		return &authenticationv1.BoundObjectReference{APIVersion: apiVersion, Kind: kind, Name: name, UID: meta("", "", uid).UID}
	}
	for name, tc := range map[string]struct {
		change func(*authenticationv1.TokenRequest, *world)
		want   string
	}{
		"too short": {func(r *authenticationv1.TokenRequest, _ *world) { r.Spec.ExpirationSeconds = ptr.To(int64(599)) },
			`TokenRequest.authentication.k8s.io "" is invalid: spec.expirationSeconds: Invalid value: 599: may not specify a duration less than 10 minutes`},
		"too long": {func(r *authenticationv1.TokenRequest, _ *world) { r.Spec.ExpirationSeconds = ptr.To(int64(1<<32 + 1)) },
			"may not specify a duration larger than 2^32 seconds"},
		"another name": {func(r *authenticationv1.TokenRequest, _ *world) { r.Name = "x" }, "metadata.name: Invalid value: \"x\": must match the service account name if specified"},
		"another namespace": {func(r *authenticationv1.TokenRequest, _ *world) { r.Namespace = "x" },
			"metadata.namespace: Invalid value: \"x\": must match the service account namespace if specified"},
		"another uid": {func(r *authenticationv1.TokenRequest, _ *world) { r.UID = "x" },
			"the UID in the token request (x) does not match the UID of the service account (sa-uid)"},
		"no account": {func(_ *authenticationv1.TokenRequest, w *world) { clear(w.accounts) }, `"ns/sa" not found`},
		"pod of another": {func(r *authenticationv1.TokenRequest, w *world) {
			r.Spec.BoundObjectRef = ref("v1", "Pod", "pod", "")
			w.pods["ns/pod"].Spec.ServiceAccountName = "x"
		}, `cannot bind token for serviceaccount "sa" to pod running with different serviceaccount name.`},
		"no pod": {func(r *authenticationv1.TokenRequest, _ *world) { r.Spec.BoundObjectRef = ref("v1", "Pod", "x", "") }, `pods "ns/x" not found`},
		"pod made again": {func(r *authenticationv1.TokenRequest, _ *world) { r.Spec.BoundObjectRef = ref("v1", "Pod", "pod", "x") },
			"the UID in the bound object reference (x) does not match the UID in record. The object might have been deleted and then recreated"},
		"bound to something else": {func(r *authenticationv1.TokenRequest, _ *world) {
			r.Spec.BoundObjectRef = ref("apps/v1", "Deployment", "d", "")
		},
			"cannot bind token to object of type apps/v1, Kind=Deployment"},
	} {
		t.Run(name, func(t *testing.T) {
			i, _ := newIssuer(t)
			w, req := newWorld(), &authenticationv1.TokenRequest{}
			tc.change(req, w)
			_, err := i.Create(t.Context(), objects{world: w}, "ns", "sa", req, nil)
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v\nwant %s", err, tc.want)
			}
		})
	}
}

func TestCreateShortensWithWarning(t *testing.T) {
	i, _ := newIssuer(t)
	i.max = 2 * time.Hour
	var heard warnings
	ctx := warning.WithWarningRecorder(t.Context(), &heard)
	req := &authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{ExpirationSeconds: ptr.To(int64(86400))}}
	out, err := i.Create(ctx, objects{world: newWorld()}, "ns", "sa", req, nil)
	if err != nil {
		t.Fatal(err)
	}
	if got := *out.(*authenticationv1.TokenRequest).Spec.ExpirationSeconds; got != 7200 {
		t.Errorf("%d seconds", got)
	}
	if len(heard) != 1 || heard[0] != "requested expiration of 86400 seconds shortened to 7200 seconds" {
		t.Errorf("warnings %q", heard)
	}
}

// Others verify tokens by the two documents alone.
func TestDiscovery(t *testing.T) {
	i, _ := newIssuer(t)
	external := "198.51.100.3:6443"
	d, err := i.Discovery("", func() string { return external })
	if err != nil {
		t.Fatal(err)
	}
	external = "192.0.2.7:6443" // as the box's address changes
	rec := httptest.NewRecorder()
	d.Config().ServeHTTP(rec, httptest.NewRequest("GET", ConfigPath, nil))
	want := `{"issuer":"https://kubernetes.default.svc.cluster.local","jwks_uri":"https://192.0.2.7:6443/openid/v1/jwks","response_types_supported":["id_token"],"subject_types_supported":["public"],"id_token_signing_alg_values_supported":["ES256"]}`
	if rec.Body.String() != want || rec.Header().Get("Content-Type") != "application/json" {
		t.Errorf("%v %s", rec.Header(), rec.Body)
	}
	rec = httptest.NewRecorder()
	d.Keys().ServeHTTP(rec, httptest.NewRequest("GET", KeysPath, nil))
	if rec.Header().Get("Content-Type") != "application/jwk-set+json" || strings.Contains(rec.Body.String(), `"d"`) {
		t.Errorf("%v %s", rec.Header(), rec.Body)
	}
	var set jose.JSONWebKeySet
	if err := json.Unmarshal(rec.Body.Bytes(), &set); err != nil {
		t.Fatal(err)
	}
	tok, err := jwt.ParseSigned(issue(t, i, newWorld(), BoundObject{}, 3600), algorithms)
	if err != nil {
		t.Fatal(err)
	}
	var c claims
	if err := tok.Claims(set, &c); err != nil || c.Subject != "system:serviceaccount:ns:sa" {
		t.Errorf("%v, %+v", err, c)
	}
}
