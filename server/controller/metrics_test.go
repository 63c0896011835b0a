package controller_test

import (
	"context"
	"errors"
	"log/slog"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"skiff/server/controller"
)

// TestMetrics: a loop with one worker has three keys of ten seconds each; one of
// them fails once.
func TestMetrics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		registry := prometheus.NewRegistry()
		metrics, err := controller.NewMetrics(registry)
		if err != nil {
			t.Fatal(err)
		}
		failed := false
		loop := controller.Controller{
			Name: "test", Keys: []string{"a", "b", "c"},
			Reconciler: controller.Func(func(_ context.Context, key string) (controller.Result, error) {
				time.Sleep(10 * time.Second)
				if key == "a" && !failed {
					failed = true
					return controller.Result{}, errors.New("once")
				}
				return controller.Result{}, nil
			}),
		}
		check := func(when string, want ...string) {
			t.Helper()
			rec := httptest.NewRecorder()
			promhttp.HandlerFor(registry, promhttp.HandlerOpts{}).ServeHTTP(rec, httptest.NewRequest("GET", "/", nil))
			for _, line := range want {
				if !strings.Contains(rec.Body.String(), "\n"+line+"\n") {
					t.Errorf("%s: there is no %s in\n%s", when, line, rec.Body)
				}
			}
		}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() {
			ended <- controller.Run(ctx, controller.Config{Logger: slog.New(slog.DiscardHandler), Metrics: metrics}, []controller.Controller{loop})
		}()
		time.Sleep(14 * time.Second)
		synctest.Wait()
		check("while b is worked on",
			`workqueue_depth{name="test"} 2`, // c, and a again
			`workqueue_adds_total{name="test"} 4`,
			`workqueue_retries_total{name="test"} 1`,
			`workqueue_unfinished_work_seconds{name="test"} 4`,
			`workqueue_longest_running_processor_seconds{name="test"} 4`,
			`workqueue_work_duration_seconds_count{name="test"} 1`,
			`skiff_controller_reconciles_total{controller="test",result="error"} 1`,
		)
		time.Sleep(time.Minute)
		synctest.Wait()
		check("when all is done",
			`workqueue_depth{name="test"} 0`,
			`workqueue_unfinished_work_seconds{name="test"} 0`,
			`workqueue_work_duration_seconds_sum{name="test"} 40`,
			`workqueue_work_duration_seconds_bucket{name="test",le="1"} 0`,
			`workqueue_work_duration_seconds_bucket{name="test",le="10"} 4`,
			`workqueue_queue_duration_seconds_sum{name="test"} 49.995`, // 0, 10, 20, and 19.995 after the back-off
			`skiff_controller_reconciles_total{controller="test",result="ok"} 3`,
		)
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		// A later Run, of the next term as a leader, counts anew.
		ctx, cancel = context.WithCancel(t.Context())
		go func() {
			ended <- controller.Run(ctx, controller.Config{Metrics: metrics}, []controller.Controller{loop})
		}()
		synctest.Wait()
		check("in a later run", `workqueue_adds_total{name="test"} 3`, `skiff_controller_reconciles_total{controller="test",result="error"} 0`)
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}
