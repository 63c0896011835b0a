package metered_test

import (
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"skiff/runtime/cri/critest"
	"skiff/runtime/cri/fake"
	"skiff/runtime/cri/metered"
)

// TestCRI: what is counted does the same as what is not.
func TestCRI(t *testing.T) {
	m, rt := metered.New(), fake.New(fake.Options{Images: []string{"busybox"}})
	t.Cleanup(rt.Close)
	critest.Run(t, m.Runtime(rt), m.Images(rt), critest.Options{Image: "busybox"})
}

func TestOperationsAreCounted(t *testing.T) {
	m, rt := metered.New(), fake.New(fake.Options{})
	t.Cleanup(rt.Close)
	runtime, images := m.Runtime(rt), m.Images(rt)
	for range 2 {
		if _, err := runtime.Version(t.Context(), &runtimeapi.VersionRequest{}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := runtime.StartContainer(t.Context(), &runtimeapi.StartContainerRequest{ContainerId: "none"}); err == nil {
		t.Fatal("a container that is not there was started")
	}
	if _, err := images.ListImages(t.Context(), &runtimeapi.ListImagesRequest{}); err != nil {
		t.Fatal(err)
	}
	registry := prometheus.NewRegistry()
	registry.MustRegister(m)
	rec := httptest.NewRecorder()
	promhttp.HandlerFor(registry, promhttp.HandlerOpts{}).ServeHTTP(rec, httptest.NewRequest("GET", "/", nil))
	for _, line := range []string{
		`kubelet_runtime_operations_total{operation_type="version"} 2`,
		`kubelet_runtime_operations_total{operation_type="list_images"} 1`,
		`kubelet_runtime_operations_errors_total{operation_type="start_container"} 1`,
		`kubelet_runtime_operations_duration_seconds_count{operation_type="version"} 2`,
	} {
		if !strings.Contains(rec.Body.String(), line+"\n") {
			t.Errorf("there is no %s in\n%s", line, rec.Body)
		}
	}
	if strings.Contains(rec.Body.String(), `errors_total{operation_type="version"}`) {
		t.Error("an operation without errors has some")
	}
}
