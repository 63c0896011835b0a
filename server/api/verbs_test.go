package api_test

import (
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
)

func TestCreateGetUpdateDelete(t *testing.T) {
	each(t, func(t *testing.T, _ *fixture, c kubernetes.Interface) {
		ctx := testContext(t)
		cms := c.CoreV1().ConfigMaps("default")
		made, err := cms.Create(ctx, configMap("a", "k", "v"), metav1.CreateOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if made.UID == "" || made.CreationTimestamp.IsZero() || made.ResourceVersion == "" || made.Data["k"] != "v" {
			t.Fatalf("created object is incomplete: %+v", made)
		}
		got, err := cms.Get(ctx, "a", metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if got.UID != made.UID || got.ResourceVersion != made.ResourceVersion || got.Data["k"] != "v" || !got.CreationTimestamp.Equal(&made.CreationTimestamp) {
			t.Fatalf("got %+v, created %+v", got, made)
		}
		if _, err := cms.Create(ctx, configMap("a"), metav1.CreateOptions{}); !apierrors.IsAlreadyExists(err) || err.Error() != `configmaps "a" already exists` {
			t.Fatalf("second create: %v", err)
		}
		got.Data["k"] = "w"
		updated, err := cms.Update(ctx, got, metav1.UpdateOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if updated.ResourceVersion == got.ResourceVersion || updated.Data["k"] != "w" {
			t.Fatalf("updated %+v", updated)
		}
		if _, err := cms.Update(ctx, got, metav1.UpdateOptions{}); !apierrors.IsConflict(err) ||
			!strings.Contains(err.Error(), "the object has been modified; please apply your changes to the latest version and try again") {
			t.Fatalf("stale update: %v", err)
		}
		same, err := cms.Update(ctx, updated, metav1.UpdateOptions{})
		if err != nil || same.ResourceVersion != updated.ResourceVersion {
			t.Fatalf("an update that changes nothing got version %s after %s: %v", same.ResourceVersion, updated.ResourceVersion, err)
		}
		if err := cms.Delete(ctx, "a", metav1.DeleteOptions{}); err != nil {
			t.Fatal(err)
		}
		if _, err := cms.Get(ctx, "a", metav1.GetOptions{}); !apierrors.IsNotFound(err) || err.Error() != `configmaps "a" not found` {
			t.Fatalf("get after delete: %v", err)
		}
	})
}

func TestGenerateName(t *testing.T) {
	each(t, func(t *testing.T, _ *fixture, c kubernetes.Interface) {
		cm := configMap("")
		cm.GenerateName = "gen-"
		made, err := c.CoreV1().ConfigMaps("default").Create(testContext(t), cm, metav1.CreateOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if len(made.Name) != len("gen-")+5 || !strings.HasPrefix(made.Name, "gen-") {
			t.Fatalf("generated name %q", made.Name)
		}
	})
}

func TestPatchTypes(t *testing.T) {
	patches := []struct {
		typ  types.PatchType
		data string
	}{
		{types.JSONPatchType, `[{"op":"add","path":"/data/new","value":"1"}]`},
		{types.MergePatchType, `{"data":{"new":"1"}}`},
		{types.StrategicMergePatchType, `{"data":{"new":"1"}}`},
	}
	each(t, func(t *testing.T, _ *fixture, c kubernetes.Interface) {
		ctx := testContext(t)
		cms := c.CoreV1().ConfigMaps("default")
		for _, p := range patches {
			if _, err := cms.Create(ctx, configMap("p", "old", "0"), metav1.CreateOptions{}); err != nil {
				t.Fatal(err)
			}
			got, err := cms.Patch(ctx, "p", p.typ, []byte(p.data), metav1.PatchOptions{})
			if err != nil {
				t.Fatalf("%s: %v", p.typ, err)
			}
			if got.Data["old"] != "0" || got.Data["new"] != "1" {
				t.Errorf("%s: data is %v", p.typ, got.Data)
			}
			if err := cms.Delete(ctx, "p", metav1.DeleteOptions{}); err != nil {
				t.Fatal(err)
			}
		}
	})
}

var _ = corev1.Pod{}
