package api_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apiserver/pkg/authentication/authenticator"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/authorization/authorizer"

	"skiff/server/admission"
	"skiff/server/api"
	"skiff/server/registry"
)

// bearer takes a bearer token for the user's name.
func bearer(r *http.Request) (*authenticator.Response, bool, error) {
	name, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if !ok {
		return nil, false, nil
	}
	return &authenticator.Response{User: &user.DefaultInfo{Name: name, Groups: []string{user.AllAuthenticated}}}, true, nil
}

// rules allow what they list as "user verb resource name" or "user verb path".
type rules []string

func (r rules) Authorize(_ context.Context, a authorizer.Attributes) (authorizer.Decision, string, error) {
	what := a.GetPath()
	if a.IsResourceRequest() {
		what = a.GetResource() + " " + a.GetName()
	}
	asked := strings.TrimSpace(fmt.Sprintf("%s %s %s", a.GetUser().GetName(), a.GetVerb(), what))
	for _, allowed := range r {
		if allowed == asked {
			return authorizer.DecisionAllow, "", nil
		}
	}
	return authorizer.DecisionNoOpinion, "no rule for " + asked, nil
}

func do(t *testing.T, f *fixture, method, path, body string, headers ...string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(testContext(t), method, f.http.URL+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i+1 < len(headers); i += 2 {
		req.Header.Add(headers[i], headers[i+1])
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	out, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(out)
}

func TestAuthentication(t *testing.T) {
	f := newFixture(t, func(c *api.Config) {
		c.Authenticator = authenticator.RequestFunc(bearer)
		c.Authorizer = rules{"alice list configmaps", "alice impersonate users bob", "alice impersonate groups g", "bob list pods", "bob get /version"}
	})
	const cms, pods = "/api/v1/namespaces/default/configmaps", "/api/v1/namespaces/default/pods"
	for _, tt := range []struct {
		path    string
		headers []string
		code    int
		body    string
	}{
		{cms, nil, 401, `"message":"Unauthorized"`},
		{cms, []string{"Authorization", "Bearer alice"}, 200, "ConfigMapList"},
		{pods, []string{"Authorization", "Bearer alice"}, 403, `pods is forbidden: User \"alice\" cannot list resource \"pods\" in API group \"\" in the namespace \"default\": no rule for alice list pods`},
		{pods, []string{"Authorization", "Bearer alice", "Impersonate-User", "bob"}, 200, "PodList"},
		{pods, []string{"Authorization", "Bearer alice", "Impersonate-User", "bob", "Impersonate-Group", "g"}, 200, "PodList"},
		{pods, []string{"Authorization", "Bearer alice", "Impersonate-User", "bob", "Impersonate-Group", "h"}, 403, `cannot impersonate resource \"groups\"`},
		{pods, []string{"Authorization", "Bearer alice", "Impersonate-User", "eve"}, 403, `users \"eve\" is forbidden: User \"alice\" cannot impersonate resource \"users\" in API group \"\" at the cluster scope`},
		{pods, []string{"Authorization", "Bearer alice", "Impersonate-Group", "g"}, 400, "without impersonating a user"},
		{"/version", []string{"Authorization", "Bearer bob"}, 200, "v1.37.2+skiff1"},
		{"/metrics", []string{"Authorization", "Bearer bob"}, 403, `forbidden: User \"bob\" cannot get path \"/metrics\"`},
	} {
		code, body := do(t, f, http.MethodGet, tt.path, "", tt.headers...)
		if code != tt.code || !strings.Contains(body, tt.body) {
			t.Errorf("%s %v: %d %s", tt.path, tt.headers, code, body)
		}
	}
}

// plugin records and changes what passes admission.
type plugin struct {
	mu  sync.Mutex
	log []string
}

func (*plugin) Name() string { return "Test" }

func (p *plugin) note(step string, a *admission.Attributes) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.log = append(p.log, fmt.Sprintf("%s %s %s/%s %v %v", step, a.Operation, a.Namespace, a.Name, a.Object != nil, a.OldObject != nil))
}

func (p *plugin) Admit(_ context.Context, a *admission.Attributes) error {
	p.note("admit", a)
	if a.Operation != admission.Delete {
		a.Object.(metav1.Object).SetAnnotations(map[string]string{"admitted": "yes"})
	}
	a.Warn("seen")
	return nil
}

func (p *plugin) Validate(_ context.Context, a *admission.Attributes) error {
	p.note("validate", a)
	return nil
}

func TestAdmission(t *testing.T) {
	p := &plugin{}
	f := newFixture(t, func(c *api.Config) { c.Admission = admission.Chain{p} })
	const cms = "/api/v1/namespaces/default/configmaps"
	do(t, f, http.MethodPost, cms, `{"metadata":{"name":"a"}}`)
	code, body := do(t, f, http.MethodPatch, cms+"/a", `{"data":{"k":"v"}}`, "Content-Type", "application/merge-patch+json")
	if code != 200 || !strings.Contains(body, `"admitted":"yes"`) {
		t.Fatalf("%d %s", code, body)
	}
	do(t, f, http.MethodDelete, cms+"/a", "")
	want := []string{
		"admit CREATE default/a true false", "validate CREATE default/a true false",
		"admit UPDATE default/a true true", "validate UPDATE default/a true true",
		"admit DELETE default/a false true", "validate DELETE default/a false true",
	}
	if fmt.Sprint(p.log) != fmt.Sprint(want) {
		t.Fatalf("admission saw\n%s", strings.Join(p.log, "\n"))
	}
}

// slow is a resource whose creation blocks, or panics.
func slow(entered chan<- struct{}, leave <-chan struct{}) *registry.Resource {
	return &registry.Resource{
		Group: "test", Plural: "slows", Singular: "slow", Kind: "Slow",
		Versions: []registry.Version{{Name: "v1", New: func() runtime.Object { return &metav1.PartialObjectMetadata{} }}},
		Create: func(ctx context.Context, obj runtime.Object, _ *metav1.CreateOptions) (runtime.Object, error) {
			if obj.(metav1.Object).GetName() == "panic" {
				panic("on purpose")
			}
			entered <- struct{}{}
			select {
			case <-leave:
			case <-ctx.Done():
				return nil, ctx.Err()
			}
			return obj, nil
		},
	}
}

func TestLimitTimeoutAndPanic(t *testing.T) {
	entered, leave := make(chan struct{}), make(chan struct{})
	f := newFixture(t, func(c *api.Config) {
		c.Resources = append(c.Resources, slow(entered, leave))
		c.MaxWrites = 1
		c.Authenticator = authenticator.RequestFunc(bearer)
	})
	auth := []string{"Authorization", "Bearer u"}
	var wg sync.WaitGroup
	wg.Go(func() {
		if code, body := do(t, f, http.MethodPost, "/apis/test/v1/slows", `{}`, auth...); code != 201 {
			t.Errorf("%d %s", code, body)
		}
	})
	<-entered
	code, body := do(t, f, http.MethodPost, "/apis/test/v1/slows", `{}`, auth...)
	if code != 429 || !strings.Contains(body, "Too many requests, please try again later.") || !strings.Contains(body, `"retryAfterSeconds":1`) {
		t.Errorf("%d %s", code, body)
	}
	const refused = `apiserver_request_terminations_total{code="429",component="apiserver",group="test",resource="slows",scope="resource",subresource="",verb="POST",version="v1"} 1`
	if _, got := do(t, f, http.MethodGet, "/metrics", "", auth...); !strings.Contains(got, refused) {
		t.Error("the refusal is not counted")
	}
	if code, _ := do(t, f, http.MethodGet, "/api/v1/pods", "", auth...); code != 200 {
		t.Errorf("reads are limited along: %d", code)
	}
	close(leave)
	wg.Wait()
	code, body = do(t, f, http.MethodPost, "/apis/test/v1/slows", `{"metadata":{"name":"panic"}}`, auth...)
	if code != 500 || !strings.Contains(body, "This request caused apiserver to panic.") {
		t.Errorf("%d %s", code, body)
	}
	blocked := newFixture(t, func(c *api.Config) {
		c.Resources = append(c.Resources, slow(make(chan struct{}, 1), nil))
	})
	code, body = do(t, blocked, http.MethodPost, "/apis/test/v1/slows?timeout=20ms", `{}`)
	if code != 504 || !strings.Contains(body, "Timeout") {
		t.Errorf("%d %s", code, body)
	}
}

func TestHealth(t *testing.T) {
	bad := errors.New("disk is full")
	f := newFixture(t, func(c *api.Config) {
		c.Checks = []api.Check{{Name: "store", NotLive: true, Run: func(context.Context) error { return bad }}}
	})
	for _, tt := range []struct {
		path string
		code int
		body string
	}{
		{"/livez", 200, "ok"},
		{"/livez?verbose", 200, "[+]ping ok\nlivez check passed\n"},
		{"/readyz", 500, "[+]ping ok\n[-]store failed: disk is full\n[+]shutdown ok\nreadyz check failed\n"},
		{"/readyz?exclude=store&verbose", 200, "[+]ping ok\n[+]store excluded: ok\n[+]shutdown ok\nreadyz check passed\n"},
		{"/readyz/ping", 200, "ok"},
		{"/healthz/store", 500, "[-]store failed: disk is full\nhealthz check failed\n"},
	} {
		if code, body := do(t, f, http.MethodGet, tt.path, ""); code != tt.code || body != tt.body {
			t.Errorf("%s: %d %q", tt.path, code, body)
		}
	}
}

func TestInstall(t *testing.T) {
	f := newFixture(t, nil)
	if code, _ := do(t, f, http.MethodPost, "/apis/test/v1/slows", `{}`); code != 404 {
		t.Fatalf("before: %d", code)
	}
	leave := make(chan struct{})
	close(leave)
	res := slow(make(chan struct{}, 9), leave)
	if err := f.server.Install(res); err != nil {
		t.Fatal(err)
	}
	if code, body := do(t, f, http.MethodPost, "/apis/test/v1/slows", `{}`); code != 201 {
		t.Fatalf("installed: %d %s", code, body)
	}
	if _, body := do(t, f, http.MethodGet, "/apis/test/v1", ""); !strings.Contains(body, `"slows"`) {
		t.Fatalf("discovery: %s", body)
	}
	f.server.Uninstall(res.GroupResource())
	if code, _ := do(t, f, http.MethodPost, "/apis/test/v1/slows", `{}`); code != 404 {
		t.Fatalf("after: %d", code)
	}
}
