package api_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"skiff/server/api"
)

// metricLines returns the lines of /metrics that begin with a name, sorted.
func metricLines(t *testing.T, f *fixture, prefixes ...string) string {
	t.Helper()
	code, body := do(t, f, http.MethodGet, "/metrics", "")
	if code != http.StatusOK {
		t.Fatalf("%d %s", code, body)
	}
	var lines []string
	for line := range strings.Lines(body) {
		if slices.ContainsFunc(prefixes, func(p string) bool { return strings.HasPrefix(line, p) }) {
			lines = append(lines, line)
		}
	}
	slices.Sort(lines)
	return strings.Join(lines, "")
}

const (
	podJSON  = `{"apiVersion":"v1","kind":"Pod","metadata":{"name":"p"},"spec":{"containers":[{"name":"c","image":"i"}]}}`
	podsPath = "/api/v1/namespaces/default/pods"
)

// TestRequestMetrics: the labels are upstream's, so that its dashboards work.
func TestRequestMetrics(t *testing.T) {
	begin := time.Now()
	took := 30 * time.Millisecond
	calls := 0
	f := newFixture(t, func(c *api.Config) {
		c.Now = func() time.Time { calls++; return begin.Add(time.Duration(calls) * took) }
	})
	for _, r := range []struct {
		method, path, body, contentType string
	}{
		{"POST", podsPath, podJSON, "application/json"},
		{"POST", podsPath, podJSON, "application/json"}, // there already
		{"POST", podsPath + "?dryRun=All", strings.ReplaceAll(podJSON, `"p"`, `"q"`), "application/json"},
		{"GET", podsPath, "", ""},
		{"GET", "/api/v1/pods", "", ""},
		{"GET", podsPath + "/p", "", ""},
		{"GET", podsPath + "?fieldSelector=metadata.name%3Dp", "", ""},
		{"PATCH", podsPath + "/p/status", `{}`, "application/merge-patch+json"},
		{"DELETE", podsPath, "", ""},
		{"GET", "/api/v1/nonsenses", "", ""},
		{"GET", "/version", "", ""},
	} {
		do(t, f, r.method, r.path, r.body, "Content-Type", r.contentType)
	}
	want := `
apiserver_request_total{code="200",component="apiserver",dry_run="",group="",resource="pods",scope="cluster",subresource="",verb="LIST",version="v1"} 1
apiserver_request_total{code="200",component="apiserver",dry_run="",group="",resource="pods",scope="namespace",subresource="",verb="DELETE",version="v1"} 1
apiserver_request_total{code="200",component="apiserver",dry_run="",group="",resource="pods",scope="namespace",subresource="",verb="LIST",version="v1"} 1
apiserver_request_total{code="200",component="apiserver",dry_run="",group="",resource="pods",scope="resource",subresource="",verb="GET",version="v1"} 2
apiserver_request_total{code="200",component="apiserver",dry_run="",group="",resource="pods",scope="resource",subresource="status",verb="PATCH",version="v1"} 1
apiserver_request_total{code="201",component="apiserver",dry_run="",group="",resource="pods",scope="resource",subresource="",verb="POST",version="v1"} 1
apiserver_request_total{code="201",component="apiserver",dry_run="All",group="",resource="pods",scope="resource",subresource="",verb="POST",version="v1"} 1
apiserver_request_total{code="409",component="apiserver",dry_run="",group="",resource="pods",scope="resource",subresource="",verb="POST",version="v1"} 1
`
	if got := "\n" + metricLines(t, f, "apiserver_request_total"); got != want {
		t.Errorf("got %s\nwant %s", got, want)
	}
	const series = `component="apiserver",dry_run="",group="",resource="pods",scope="resource",subresource="status",verb="PATCH",version="v1"`
	durations := metricLines(t, f, "apiserver_request_duration_seconds")
	for _, line := range []string{
		`_count{` + series + `} 1`, `_bucket{` + series + `,le="+Inf"} 1`, `_bucket{` + series + `,le="60"} 1`, `_bucket{` + series + `,le="0.005"} 0`,
	} {
		if !strings.Contains(durations, line+"\n") {
			t.Errorf("there is no %s in\n%s", line, durations)
		}
	}
}

func TestLongRunningMetrics(t *testing.T) {
	f := newFixture(t, nil)
	ctx := testContext(t)
	open := func(path string) *http.Response {
		t.Helper()
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, f.http.URL+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := http.DefaultClient.Do(req) // the response begins with the watch
		if err != nil {
			t.Fatal(err)
		}
		return resp
	}
	one, two := open(podsPath+"?watch=1"), open(podsPath+"?watch=1")
	const series = `apiserver_longrunning_requests{component="apiserver",group="",resource="pods",scope="namespace",subresource="",verb="WATCH",version="v1"} `
	if got := metricLines(t, f, "apiserver_longrunning_requests"); got != series+"2\n" {
		t.Errorf("with two watches: %s", got)
	}
	one.Body.Close()
	two.Body.Close()
	f.server.Shutdown() // ends what is under way
	f.http.Close()
	families, err := f.server.Metrics().Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range families {
		if family.GetName() == "apiserver_longrunning_requests" && family.GetMetric()[0].GetGauge().GetValue() != 0 {
			t.Errorf("without watches: %v", family)
		}
	}
}

func TestObjectMetrics(t *testing.T) {
	f := newFixture(t, nil)
	for _, name := range []string{"a", "b"} {
		if code, body := do(t, f, "POST", podsPath, strings.ReplaceAll(podJSON, `"p"`, `"`+name+`"`), "Content-Type", "application/json"); code != http.StatusCreated {
			t.Fatal(code, body)
		}
	}
	got := metricLines(t, f, "apiserver_resource_objects", "apiserver_storage_objects")
	for _, line := range []string{
		`apiserver_resource_objects{group="",resource="pods"} 2`, `apiserver_storage_objects{resource="pods"} 2`,
		`apiserver_resource_objects{group="apps",resource="deployments"} 0`, `apiserver_storage_objects{resource="deployments.apps"} 0`,
	} {
		if !strings.Contains(got, line+"\n") {
			t.Errorf("there is no %s in\n%s", line, got)
		}
	}
	if got := metricLines(t, f, "kubernetes_build_info"); strings.Count(got, "\n") != 1 || !strings.Contains(got, `git_version="v1.37.`) || !strings.HasSuffix(got, " 1\n") {
		t.Errorf("the build is told as %s", got)
	}
}
