package openapi_test

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"testing"

	openapi_v2 "github.com/google/gnostic-models/openapiv2"
	"google.golang.org/protobuf/proto"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/openapi3"
	"k8s.io/client-go/rest"
	"k8s.io/kube-openapi/pkg/spec3"
	kubectlexplain "k8s.io/kubectl/pkg/explain/v2"

	"skiff/server/api"
	"skiff/server/openapi"
	"skiff/server/registry/builtin"
	"skiff/store"
)

func index(t *testing.T) openapi.Index {
	t.Helper()
	b, err := os.ReadFile("docs/index.json")
	if err != nil {
		t.Fatal(err)
	}
	var i openapi.Index
	if err := json.Unmarshal(b, &i); err != nil {
		t.Fatal(err)
	}
	return i
}

func TestDocumentsAreFresh(t *testing.T) {
	want, err := openapi.Inputs("../../go.mod", builtin.List(builtin.Complete()))
	if err != nil {
		t.Fatal(err)
	}
	if got := index(t).Inputs; got != want {
		t.Errorf("the documents were made of %s, go.mod and the table are at %s: run go generate ./server/openapi", got, want)
	}
}

func TestDocumentsAreSmallAndAsDescribed(t *testing.T) {
	total := int64(0)
	for name, doc := range index(t).Documents {
		b, err := openapi.Read(name)
		if err != nil {
			t.Fatal(err)
		}
		if got := openapi.Describe(b); got != doc {
			t.Errorf("%s is %+v, the index says %+v", name, got, doc)
		}
		info, err := os.Stat("docs/" + name + ".zst")
		if err != nil {
			t.Fatal(err)
		}
		total += info.Size()
	}
	if total > 3<<19 {
		t.Errorf("the documents take %d bytes in the executable, at most 1.5 MiB are allowed", total)
	}
}

// handler returns an API server with nothing but the documents.
func handler(t *testing.T) http.Handler {
	t.Helper()
	docs, err := openapi.New()
	if err != nil {
		t.Fatal(err)
	}
	server, err := api.New(api.Config{Store: struct{ store.Store }{}, OpenAPI: docs})
	if err != nil {
		t.Fatal(err)
	}
	return server
}

func get(t *testing.T, path string, header ...string) *http.Response {
	t.Helper()
	r := httptest.NewRequest(http.MethodGet, path, nil)
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	handler(t).ServeHTTP(w, r)
	return w.Result()
}

func TestNegotiation(t *testing.T) {
	for _, c := range []struct {
		path, accept string
		status       int
		media        string
	}{
		{"/openapi/v2", "", 200, "application/json"},
		{"/openapi/v2", "*/*", 200, "application/json"},
		{"/openapi/v3", "application/json", 200, "application/json"},
		{"/openapi/v3/apis/apps/v1", "application/json", 200, "application/json"},
		{"/openapi/v3/apis/apps/v9", "application/json", 404, "text/plain; charset=utf-8"},
	} {
		r := get(t, c.path, "Accept", c.accept)
		if r.StatusCode != c.status || r.Header.Get("Content-Type") != c.media {
			t.Errorf("%s as %q: %d %s, want %d %s", c.path, c.accept, r.StatusCode, r.Header.Get("Content-Type"), c.status, c.media)
		}
	}
}

func TestHashesAndETags(t *testing.T) {
	var root struct {
		Paths map[string]struct {
			URL string `json:"serverRelativeURL"`
		} `json:"paths"`
	}
	if err := json.NewDecoder(get(t, "/openapi/v3").Body).Decode(&root); err != nil {
		t.Fatal(err)
	}
	url := root.Paths["apis/apps/v1"].URL
	r := get(t, url)
	if r.StatusCode != 200 || r.Header.Get("Cache-Control") != "public, immutable" {
		t.Errorf("%s: %d, Cache-Control %q", url, r.StatusCode, r.Header.Get("Cache-Control"))
	}
	if again := get(t, url, "If-None-Match", r.Header.Get("Etag")); again.StatusCode != http.StatusNotModified {
		t.Errorf("with the ETag of before: %d, want %d", again.StatusCode, http.StatusNotModified)
	}
}

func client(t *testing.T) *discovery.DiscoveryClient {
	t.Helper()
	server := httptest.NewServer(handler(t))
	t.Cleanup(server.Close)
	c, err := discovery.NewDiscoveryClientForConfig(&rest.Config{Host: server.URL})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestKubectlExplains(t *testing.T) {
	for _, c := range []struct {
		gvr    schema.GroupVersionResource
		fields []string
		want   []string
	}{
		{schema.GroupVersionResource{Group: "apps", Version: "v1", Resource: "deployments"}, []string{"spec", "strategy"}, []string{
			"KIND:       Deployment", "GROUP:      apps", "VERSION:    v1", "FIELD: strategy <DeploymentStrategy>", "rollingUpdate\t<RollingUpdateDeployment>", "enum: Recreate, RollingUpdate",
		}},
		{schema.GroupVersionResource{Version: "v1", Resource: "pods"}, []string{"spec", "containers", "livenessProbe"}, []string{"KIND:       Pod", "periodSeconds\t<integer>"}},
		{schema.GroupVersionResource{Group: "apiextensions.k8s.io", Version: "v1", Resource: "customresourcedefinitions"}, []string{"spec"}, []string{"versions\t<[]CustomResourceDefinitionVersion> -required-"}},
		{schema.GroupVersionResource{Group: "autoscaling", Version: "v1", Resource: "horizontalpodautoscalers"}, []string{"spec"}, []string{"targetCPUUtilizationPercentage\t<integer>"}},
	} {
		var out bytes.Buffer
		if err := kubectlexplain.PrintModelDescription(c.fields, &out, client(t).OpenAPIV3(), c.gvr, false, 0, "plaintext"); err != nil {
			t.Errorf("explain %s %v: %v", c.gvr.Resource, c.fields, err)
			continue
		}
		for _, want := range c.want {
			if !strings.Contains(out.String(), want) {
				t.Errorf("explain %s %v has no %q:\n%s", c.gvr.Resource, c.fields, want, out.String())
			}
		}
	}
}

func TestClientGoReadsEveryGroupVersion(t *testing.T) {
	root := openapi3.NewRoot(client(t).OpenAPIV3())
	gvs, err := root.GroupVersions()
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range builtin.Complete() {
		for _, v := range r.Versions {
			if gv := (schema.GroupVersion{Group: r.Group, Version: v.Name}); !slices.Contains(gvs, gv) {
				t.Errorf("no document of %s", gv)
			}
		}
	}
	doc, err := root.GVSpec(schema.GroupVersion{Group: "apps", Version: "v1"})
	if err != nil {
		t.Fatal(err)
	}
	patch := doc.Paths.Paths["/apis/apps/v1/namespaces/{namespace}/deployments/{name}"].Patch
	if !slices.ContainsFunc(patch.Parameters, func(p *spec3.Parameter) bool { return p.Name == "fieldValidation" }) {
		t.Error("a patch of deployments has no parameter fieldValidation")
	}
	containers := doc.Components.Schemas["io.k8s.api.core.v1.PodSpec"].Properties["containers"]
	if s, _ := containers.Extensions.GetString("x-kubernetes-patch-merge-key"); s != "name" {
		t.Errorf("the patch merge key of containers is %q, want name", s)
	}
	if s, _ := containers.Extensions.GetString("x-kubernetes-patch-strategy"); s != "merge" {
		t.Errorf("the patch strategy of containers is %q, want merge", s)
	}
}

func TestClientGoReadsV2(t *testing.T) {
	doc, err := client(t).OpenAPISchema()
	if err != nil {
		t.Fatal(err)
	}
	if got := doc.GetInfo().GetTitle(); got != "Kubernetes" {
		t.Errorf("title %q, want Kubernetes", got)
	}
}

func TestV2ProtobufIsTheSameDocument(t *testing.T) {
	b, err := openapi.Read("v2.pb")
	if err != nil {
		t.Fatal(err)
	}
	doc := &openapi_v2.Document{}
	if err := proto.Unmarshal(b, doc); err != nil {
		t.Fatal(err)
	}
	b, err = openapi.Read("v2.json")
	if err != nil {
		t.Fatal(err)
	}
	var j struct {
		Paths       map[string]json.RawMessage `json:"paths"`
		Definitions map[string]json.RawMessage `json:"definitions"`
	}
	if err := json.Unmarshal(b, &j); err != nil {
		t.Fatal(err)
	}
	if n := len(doc.GetPaths().GetPath()); n != len(j.Paths) || n == 0 {
		t.Errorf("%d paths in protobuf, %d in JSON", n, len(j.Paths))
	}
	if n := len(doc.GetDefinitions().GetAdditionalProperties()); n != len(j.Definitions) || n == 0 {
		t.Errorf("%d definitions in protobuf, %d in JSON", n, len(j.Definitions))
	}
}

func TestOperationsHaveUniqueNames(t *testing.T) {
	b, err := openapi.Read("v2.json")
	if err != nil {
		t.Fatal(err)
	}
	var doc struct {
		Paths map[string]map[string]json.RawMessage `json:"paths"`
	}
	if err := json.Unmarshal(b, &doc); err != nil {
		t.Fatal(err)
	}
	seen := map[string]string{}
	for path, item := range doc.Paths {
		for method, raw := range item {
			if method == "parameters" {
				continue
			}
			var op struct {
				ID string `json:"operationId"`
			}
			if err := json.Unmarshal(raw, &op); err != nil {
				t.Fatal(err)
			}
			if other := seen[op.ID]; other != "" {
				t.Errorf("%s of %s %s is also %s", op.ID, method, path, other)
			}
			seen[op.ID] = method + " " + path
		}
	}
}
