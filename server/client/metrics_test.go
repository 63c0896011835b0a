package client_test

import (
	"net/http"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/client-go/kubernetes"

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
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]float64{}
	for _, family := range families {
		for _, m := range family.GetMetric() {
			name := family.GetName()
			for _, l := range m.GetLabel() {
				name += " " + l.GetValue()
			}
			got[name] = m.GetCounter().GetValue() + float64(m.GetHistogram().GetSampleCount())
		}
	}
	for _, name := range []string{"rest_client_requests_total 404 skiff GET", "rest_client_request_duration_seconds skiff GET"} {
		if got[name] != 3 {
			t.Errorf("%s is %v, want 3 (all: %v)", name, got[name], got)
		}
	}
}
