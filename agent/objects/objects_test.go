package objects

import (
	"context"
	"log/slog"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes/fake"
)

func pod() *corev1.Pod {
	return &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "p", Namespace: "ns", UID: "u1"}, Spec: corev1.PodSpec{
		ImagePullSecrets: []corev1.LocalObjectReference{{Name: "pull"}},
		Volumes: []corev1.Volume{{VolumeSource: corev1.VolumeSource{Projected: &corev1.ProjectedVolumeSource{Sources: []corev1.VolumeProjection{
			{ConfigMap: &corev1.ConfigMapProjection{LocalObjectReference: corev1.LocalObjectReference{Name: "cm"}}},
		}}}}},
		Containers: []corev1.Container{{EnvFrom: []corev1.EnvFromSource{{SecretRef: &corev1.SecretEnvSource{LocalObjectReference: corev1.LocalObjectReference{Name: "env"}}}}}},
	}}
}

func TestVisitFindsEveryReference(t *testing.T) {
	var got []ref
	visit(pod(), func(r ref) { got = append(got, r) })
	want := []ref{{true, "ns", "pull"}, {false, "ns", "cm"}, {true, "ns", "env"}}
	if !slices.Equal(got, want) {
		t.Errorf("references %v, want %v", got, want)
	}
}

// source runs the same story over both implementations.
func story(t *testing.T, client *fake.Clientset, s Source) {
	ctx := context.Background()
	told := make(chan []types.UID, 10)
	s.OnChange(func(pods []types.UID) { told <- pods })
	s.Track(pod())
	s.Track(pod())
	synctest.Wait()
	if _, err := s.ConfigMap(ctx, "ns", "cm"); !apierrors.IsNotFound(err) || err.Error() != `configmap "cm" not found` {
		t.Errorf("a missing config map: %v", err)
	}
	cm := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "cm", Namespace: "ns", UID: "c", ResourceVersion: "1"}, Data: map[string]string{"k": "1"}}
	write := func(version, value string) {
		t.Helper()
		cm = cm.DeepCopy()
		cm.ResourceVersion, cm.Data["k"] = version, value
		if _, err := client.CoreV1().ConfigMaps("ns").Update(ctx, cm, metav1.UpdateOptions{}); apierrors.IsNotFound(err) {
			_, err = client.CoreV1().ConfigMaps("ns").Create(ctx, cm, metav1.CreateOptions{})
			if err != nil {
				t.Fatal(err)
			}
		} else if err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		select {
		case pods := <-told:
			if !slices.Equal(pods, []types.UID{"u1"}) {
				t.Errorf("told about %v, want u1", pods)
			}
		default:
			t.Errorf("nobody was told that the config map is %q now", value)
		}
		if got, err := s.ConfigMap(ctx, "ns", "cm"); err != nil || got.Data["k"] != value {
			t.Errorf("ConfigMap = %v, %v, want %q", got, err, value)
		}
	}
	write("1", "one")
	write("2", "two")
	s.Untrack("u1")
	cm = cm.DeepCopy()
	cm.ResourceVersion = "3"
	if _, err := client.CoreV1().ConfigMaps("ns").Update(ctx, cm, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	synctest.Wait()
	if len(told) > 0 {
		t.Errorf("told about %v after Untrack", <-told)
	}
}

func TestWatched(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client := fake.NewClientset()
		s := NewWatched(client, nil, slog.New(slog.DiscardHandler))
		defer s.Close()
		story(t, client, s)
	})
}

func TestShared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client := fake.NewClientset()
		f := informers.NewSharedInformerFactory(client, 0)
		s, err := NewShared(f.Core().V1().ConfigMaps().Informer(), f.Core().V1().Secrets().Informer())
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(context.Background())
		defer func() { cancel(); f.Shutdown() }()
		f.Start(ctx.Done())
		f.WaitForCacheSync(ctx.Done())
		defer s.Close()
		story(t, client, s)
	})
}

func TestImmutableIsReadOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		yes := true
		client := fake.NewClientset(&corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "cm", Namespace: "ns"}, Immutable: &yes})
		s := NewWatched(client, nil, slog.New(slog.DiscardHandler))
		defer s.Close()
		s.Track(pod())
		time.Sleep(time.Minute)
		synctest.Wait()
		for _, a := range client.Actions() {
			if a.GetVerb() == "watch" && a.GetResource().Resource == "configmaps" {
				t.Error("an immutable config map is watched")
			}
		}
	})
}
