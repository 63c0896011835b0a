package client_test

import (
	"net/http"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/client-go/kubernetes"

	"skiff/metric/metrictest"
	"skiff/server/client"
)

func TestMetrics(t *testing.T) {
	registry := prometheus.NewRegistry()
	registry.MustRegister(client.Metrics())
	c := kubernetes.NewForConfigOrDie(client.InProcess(http.NotFoundHandler(), &user.DefaultInfo{Name: "me"}))
	for range 3 {
		if _, err := c.Discovery().ServerVersion(); err == nil {
			t.Fatal("a server that has nothing told its version")
		}
	}
	got := metrictest.Values(t, registry)
	for _, name := range []string{"rest_client_requests_total 404 skiff GET", "rest_client_request_duration_seconds skiff GET"} {
		if got[name] != 3 {
			t.Errorf("%s is %v, want 3 (all: %v)", name, got[name], got)
		}
	}
}
