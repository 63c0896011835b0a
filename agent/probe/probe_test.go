package probe

import (
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	"google.golang.org/grpc/health/grpc_health_v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/client-go/tools/record"
)

func portFrom(t *testing.T, address string) int {
	t.Helper()
	_, text, err := net.SplitHostPort(address)
	if err != nil {
		t.Fatal(err)
	}
	port, err := strconv.Atoi(text)
	if err != nil {
		t.Fatal(err)
	}
	return port
}

func attemptOf(port int, spec corev1.Probe) attempt {
	pod := &corev1.Pod{Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "main", Ports: []corev1.ContainerPort{{Name: "web", ContainerPort: int32(port)}}}}}}
	spec.TimeoutSeconds = 5
	return attempt{pod: pod, name: "main", podIP: "127.0.0.1", spec: &spec, kind: Readiness}
}

func TestHTTP(t *testing.T) {
	var seen http.Header
	var host string
	mux := http.NewServeMux()
	mux.HandleFunc("/ok", func(w http.ResponseWriter, r *http.Request) { seen, host = r.Header, r.Host })
	mux.HandleFunc("/bad", func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) })
	mux.HandleFunc("/here", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/bad", http.StatusFound) })
	mux.HandleFunc("/away", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "http://192.0.2.1/", http.StatusFound)
	})
	srv := httptest.NewServer(mux)
	defer srv.Close()
	tlsServer := httptest.NewTLSServer(mux)
	defer tlsServer.Close()
	port := portFrom(t, srv.Listener.Addr().String())
	events := record.NewFakeRecorder(10)
	m := New(Config{Events: events, Log: slog.New(slog.DiscardHandler)})
	for _, c := range []struct {
		path string
		ok   bool
		out  string
	}{
		{"/ok", true, ""},
		{"/bad", false, "HTTP probe failed with statuscode: 503"},
		{"/here", false, "HTTP probe failed with statuscode: 503"},
		{"/away", true, ""},
		{"/missing", false, "HTTP probe failed with statuscode: 404"},
	} {
		a := attemptOf(port, corev1.Probe{ProbeHandler: corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{
			Path: c.path, Port: intstr.FromString("web"), HTTPHeaders: []corev1.HTTPHeader{{Name: "Host", Value: "example.org"}, {Name: "X-One", Value: "1"}},
		}}})
		if ok, out := m.probe(t.Context(), a); ok != c.ok || !strings.HasPrefix(out, c.out) {
			t.Errorf("%s: %v %q, want %v %q", c.path, ok, out, c.ok, c.out)
		}
	}
	if host != "example.org" || seen.Get("X-One") != "1" || seen.Get("User-Agent") != userAgent || seen.Get("Accept") != "*/*" {
		t.Errorf("request with host %q and headers %v", host, seen)
	}
	if ev := <-events.Events; !strings.Contains(ev, "ProbeWarning") {
		t.Errorf("event %q about the redirect away", ev)
	}
	a := attemptOf(0, corev1.Probe{ProbeHandler: corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{
		Path: "/ok", Scheme: "HTTPS", Port: intstr.FromInt(portFrom(t, tlsServer.Listener.Addr().String())),
	}}})
	if ok, out := m.probe(t.Context(), a); !ok {
		t.Errorf("HTTPS with an unknown certificate: %q", out)
	}
}

func TestTCP(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	m := New(Config{})
	port := portFrom(t, l.Addr().String())
	a := attemptOf(port, corev1.Probe{ProbeHandler: corev1.ProbeHandler{TCPSocket: &corev1.TCPSocketAction{Port: intstr.FromString("web")}}})
	if ok, out := m.probe(t.Context(), a); !ok {
		t.Errorf("open port: %q", out)
	}
	l.Close()
	if ok, out := m.probe(t.Context(), a); ok || !strings.Contains(out, "connection refused") {
		t.Errorf("closed port: %v %q", ok, out)
	}
	a.spec.TCPSocket.Port = intstr.FromString("nope")
	if ok, out := m.probe(t.Context(), a); ok || !strings.Contains(out, `couldn't find port by name "nope"`) {
		t.Errorf("unknown port: %v %q", ok, out)
	}
}

func TestGRPC(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	srv, status := grpc.NewServer(), health.NewServer()
	grpc_health_v1.RegisterHealthServer(srv, status)
	go srv.Serve(l)
	defer srv.Stop()
	m := New(Config{})
	service := "db"
	a := attemptOf(0, corev1.Probe{ProbeHandler: corev1.ProbeHandler{GRPC: &corev1.GRPCAction{Port: int32(portFrom(t, l.Addr().String())), Service: &service}}})
	status.SetServingStatus("db", grpc_health_v1.HealthCheckResponse_SERVING)
	if ok, out := m.probe(t.Context(), a); !ok {
		t.Errorf("serving: %q", out)
	}
	status.SetServingStatus("db", grpc_health_v1.HealthCheckResponse_NOT_SERVING)
	if ok, out := m.probe(t.Context(), a); ok || out != `service unhealthy (responded with "NOT_SERVING")` {
		t.Errorf("not serving: %v %q", ok, out)
	}
	service = "unknown"
	if ok, out := m.probe(t.Context(), a); ok || !strings.Contains(out, "unknown service") {
		t.Errorf("unknown service: %v %q", ok, out)
	}
}
