package manifests

import (
	"os"
	"path/filepath"
	"regexp"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rogpeppe/go-internal/txtar"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"
)

var yamlBlock = regexp.MustCompile("(?s)```yaml\n(.*?)```")

// TestDocumentedExample does what docs/manifests.md tells users to do: its first
// manifest is put into the folder and removed, its second is the record of it.
func TestDocumentedExample(t *testing.T) {
	page, err := os.ReadFile("../../docs/manifests.md")
	if err != nil {
		t.Fatal(err)
	}
	blocks := yamlBlock.FindAllSubmatch(page, -1)
	if len(blocks) != 2 {
		t.Fatalf("the page has %d manifests, not an example and its record", len(blocks))
	}
	var want corev1.ConfigMap
	if err := yaml.UnmarshalStrict(blocks[1][1], &want); err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		s := newScript(t, &txtar.Archive{})
		file := filepath.Join(s.dir, want.Data[keyFile])
		s.start("box") // makes the folder
		defer func() { s.stop() }()
		time.Sleep(time.Second)
		if err := os.WriteFile(file, blocks[0][1], 0o600); err != nil {
			t.Fatal(err)
		}
		s.wake()
		time.Sleep(time.Second) // as the page says
		synctest.Wait()
		greeting, err := s.client.CoreV1().ConfigMaps("hello").Get(t.Context(), "greeting", metav1.GetOptions{})
		if err != nil {
			t.Fatalf("%v\n%s", err, s.logged.take())
		}
		if greeting.Annotations[annotationFile] != want.Data[keyFile] {
			t.Errorf("the annotations are %v", greeting.Annotations)
		}
		got, err := s.client.CoreV1().ConfigMaps(want.Namespace).Get(t.Context(), want.Name, metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		got.ObjectMeta = metav1.ObjectMeta{Namespace: got.Namespace, Name: got.Name, Labels: got.Labels}
		want.TypeMeta = got.TypeMeta
		if g, w := mustYAML(t, got), mustYAML(t, &want); g != w {
			t.Errorf("the record is\n%s\nnot, as documented,\n%s", g, w)
		}
		if err := os.Remove(file); err != nil {
			t.Fatal(err)
		}
		s.wake()
		time.Sleep(4 * time.Second)
		synctest.Wait()
		if _, err := s.client.CoreV1().ConfigMaps("hello").Get(t.Context(), "greeting", metav1.GetOptions{}); !apierrors.IsNotFound(err) {
			t.Errorf("without its file, the object is %v", err)
		}
	})
}

func mustYAML(t *testing.T, o any) string {
	t.Helper()
	b, err := yaml.Marshal(o)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
