package controller_test

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"skiff/server/controller"
	"skiff/server/controller/controllertest"
)

// run runs one controller against an API with one config map, for an hour.
func run(t *testing.T, log *strings.Builder, reconcile controller.Func) {
	synctest.Test(t, func(t *testing.T) {
		e := controllertest.NewEnv(t)
		ctx, cancel := context.WithCancel(t.Context())
		_, err := e.Client.CoreV1().ConfigMaps("ns").Create(ctx, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "a"}}, metav1.CreateOptions{})
		if err != nil {
			t.Fatal(err)
		}
		done := make(chan error)
		cfg := controller.Config{
			Logger:         slog.New(slog.NewTextHandler(log, nil)),
			StartInformers: e.Informers.StartWithContext,
		}
		go func() {
			done <- controller.Run(ctx, cfg, []controller.Controller{{
				Name: "test", Reconciler: reconcile,
				Sources: []controller.Source{controller.For(e.Informers.Core().V1().ConfigMaps().Informer())},
			}})
		}()
		time.Sleep(time.Hour)
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		e.Informers.Shutdown()
	})
}

func TestRunReconcilesWhatIsThere(t *testing.T) {
	var n atomic.Int32
	run(t, &strings.Builder{}, func(_ context.Context, key string) (controller.Result, error) {
		n.Add(1)
		if key != "ns/a" {
			t.Errorf("key %q", key)
		}
		return controller.Result{}, nil
	})
	if n.Load() != 1 {
		t.Errorf("reconciled %d times, want once", n.Load())
	}
}

func TestRunRequeues(t *testing.T) {
	var n atomic.Int32
	run(t, &strings.Builder{}, func(context.Context, string) (controller.Result, error) {
		n.Add(1)
		return controller.Result{RequeueAfter: 7 * time.Minute}, nil
	})
	if n.Load() != 9 { // at 0, 7, …, 56 minutes
		t.Errorf("reconciled %d times, want 9", n.Load())
	}
}

func TestConflictsAreQuiet(t *testing.T) {
	var log strings.Builder
	n := 0
	run(t, &log, func(context.Context, string) (controller.Result, error) {
		if n++; n < 4 {
			return controller.Result{}, apierrors.NewConflict(schema.GroupResource{}, "a", errors.New("stale"))
		}
		return controller.Result{}, nil
	})
	if n != 4 || log.Len() > 0 {
		t.Errorf("%d tries, logged %q", n, log.String())
	}
}

func TestPanicsAreRetriedAndLogged(t *testing.T) {
	var log strings.Builder
	n := 0
	run(t, &log, func(context.Context, string) (controller.Result, error) {
		if n++; n == 1 {
			panic("broken object")
		}
		return controller.Result{}, nil
	})
	if n != 2 || !strings.Contains(log.String(), "broken object") {
		t.Errorf("%d tries, logged %q", n, log.String())
	}
}

func TestRunRefusesAControllerWithoutAName(t *testing.T) {
	if err := controller.Run(t.Context(), controller.Config{}, []controller.Controller{{}}); err == nil {
		t.Error("no error")
	}
}
