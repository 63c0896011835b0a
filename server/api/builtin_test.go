package api_test

import (
	"net/http"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/kubernetes"

	"skiff/server/api"
	"skiff/server/registry/builtin"
)

// TestBuiltinResources lists every built-in resource in every form, as found
// through discovery.
func TestBuiltinResources(t *testing.T) {
	f := newFixture(t, func(c *api.Config) { c.Resources = builtin.Resources(builtin.Deps{}) })
	d := discovery.NewDiscoveryClientForConfigOrDie(f.remote)
	_, lists, err := d.ServerGroupsAndResources()
	if err != nil {
		t.Fatal(err)
	}
	listed := 0
	for _, l := range lists {
		for _, r := range l.APIResources {
			if strings.Contains(r.Name, "/") || !strings.Contains(r.Verbs.String(), "list") {
				continue
			}
			listed++
			path := "/apis/" + l.GroupVersion + "/" + r.Name
			if l.GroupVersion == "v1" {
				path = "/api/v1/" + r.Name
			}
			for _, accept := range []string{
				"application/json", "application/vnd.kubernetes.protobuf",
				"application/json;as=Table;v=v1;g=meta.k8s.io", "application/vnd.kubernetes.protobuf;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io",
			} {
				if code, body := do(t, f, http.MethodGet, path, "", "Accept", accept); code != 200 {
					t.Errorf("%s as %s: %d %s", path, accept, code, body)
				}
			}
		}
	}
	if listed < 55 {
		t.Errorf("only %d resources were listed", listed)
	}
}

// TestEventsOfBothGroups are the same objects.
func TestEventsOfBothGroups(t *testing.T) {
	f := newFixture(t, func(c *api.Config) { c.Resources = builtin.Resources(builtin.Deps{}) })
	c := kubernetes.NewForConfigOrDie(f.local)
	ctx := testContext(t)
	_, err := c.CoreV1().Events("default").Create(ctx, &corev1.Event{
		ObjectMeta: metav1.ObjectMeta{Name: "e"}, Message: "text", Type: "Normal", Reason: "Why",
		InvolvedObject: corev1.ObjectReference{Kind: "Pod", Name: "p", Namespace: "default"},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	e, err := c.EventsV1().Events("default").Get(ctx, "e", metav1.GetOptions{})
	if err != nil || e.Note != "text" {
		t.Fatalf("%v %v", e, err)
	}
	list, err := c.EventsV1().Events("").List(ctx, metav1.ListOptions{})
	if err != nil || len(list.Items) != 1 || list.Items[0].Regarding.Name != "p" {
		t.Fatalf("%v %v", list, err)
	}
}
