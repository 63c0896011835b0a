package manifests

import (
	"fmt"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// applyText applies a document to a script's API server, and returns what came of
// it and the object.
func applyText(t *testing.T, s *script, text string) (outcome, *unstructured.Unstructured) {
	t.Helper()
	docs, err := parse([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	kinds, err := servedKinds(s.client.Discovery())
	if err != nil {
		t.Fatal(err)
	}
	it, err := kinds.place("big.yaml", docs[0])
	if err != nil {
		t.Fatal(err)
	}
	done, err := apply(t.Context(), s.dynamic, it)
	if err != nil {
		t.Fatal(err)
	}
	live, err := resource(s.dynamic, it.resource, it.identity.namespace).Get(t.Context(), it.identity.name, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return done, live
}

// TestLargeObjects: what does not fit into kubectl's annotation is compared all
// the same, and the annotation changes with the size.
func TestLargeObjects(t *testing.T) {
	s := newScript(t, &txtar.Archive{})
	doc := func(size int, keys ...string) string {
		text := "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: big}\ndata:\n"
		for _, k := range keys {
			text += fmt.Sprintf("  %s: %s\n", k, strings.Repeat(k, size))
		}
		return text
	}
	for i, step := range []struct {
		text string
		want outcome
		has  string
	}{
		{doc(1, "a", "b"), created, annotationLast},
		{doc(200_000, "a", "b"), changed, annotationCompressed},
		{doc(200_000, "a", "b"), unchanged, annotationCompressed},
		{doc(200_000, "a", "c"), changed, annotationCompressed},
		{doc(1, "a"), changed, annotationLast},
		{doc(1, "a"), unchanged, annotationLast},
	} {
		done, live := applyText(t, s, step.text)
		if done != step.want {
			t.Errorf("step %d came to %d, want %d", i, done, step.want)
		}
		annotations := live.GetAnnotations()
		for _, key := range []string{annotationLast, annotationCompressed} {
			if _, has := annotations[key]; has != (key == step.has) {
				t.Errorf("step %d: has annotation %s: %v", i, key, has)
			}
		}
		wanted, _ := parse([]byte(step.text))
		object, err := wanted[0].object()
		if err != nil {
			t.Fatal(err)
		}
		if got, want := live.Object["data"], object.Object["data"]; fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("step %d: has other data than it should", i)
		}
	}
}

// TestCopiedObjects: what a user copied out of the cluster carries an old
// configuration along, which is not the wanted one.
func TestCopiedObjects(t *testing.T) {
	s := newScript(t, &txtar.Archive{})
	_, live := applyText(t, s, `
apiVersion: v1
kind: ConfigMap
metadata:
  name: copy
  annotations:
    kubectl.kubernetes.io/last-applied-configuration: '{"data":{"old":"1"}}'
    skiff/manifest: elsewhere.yaml
    mine: stays
data: {new: "1"}`)
	want := map[string]string{
		annotationLast: `{"apiVersion":"v1","data":{"new":"1"},"kind":"ConfigMap","metadata":{"annotations":{"mine":"stays"},"name":"copy","namespace":"default"}}` + "\n",
		annotationFile: "big.yaml",
		"mine":         "stays",
	}
	if got := live.GetAnnotations(); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got %v\nwant %v", got, want)
	}
}
