package healthcheck

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/apimachinery/pkg/types"

	"skiff/metric/metrictest"
)

var web = types.NamespacedName{Namespace: "shop", Name: "web"}

// ports hands out loopback listeners in place of node ports.
type ports struct {
	mu    sync.Mutex
	taken map[uint16]bool
	open  map[uint16]string
}

func (p *ports) listen(port uint16) (net.Listener, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.taken[port] {
		return nil, errors.New("address already in use")
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err == nil {
		p.open[port] = l.Addr().String()
	}
	return l, err
}

func (p *ports) get(t *testing.T, port uint16) (*http.Response, string) {
	t.Helper()
	p.mu.Lock()
	address := p.open[port]
	p.mu.Unlock()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Get("http://" + address)
	if err != nil {
		return nil, ""
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, string(body)
}

func startServices(t *testing.T, health *Health) (*Services, *ports) {
	t.Helper()
	p := &ports{taken: map[uint16]bool{}, open: map[uint16]string{}}
	s := NewServices(health)
	s.listen = p.listen
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); _ = s.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-done })
	return s, p
}

func TestAnswersAsKubeProxyDoes(t *testing.T) {
	health := &Health{}
	s, p := startServices(t, health)
	s.Sync(map[types.NamespacedName]Service{web: {Port: 32000, Endpoints: 2}})
	resp, body := p.get(t, 32000)
	want := `{
	"service": {
		"namespace": "shop",
		"name": "web"
	},
	"localEndpoints": 2,
	"serviceProxyHealthy": true
}`
	if resp == nil || resp.StatusCode != 200 || body != want {
		t.Errorf("%v\n%s\nwant 200 and\n%s", resp, body, want)
	}
	if got := resp.Header.Get("X-Load-Balancing-Endpoint-Weight"); got != "2" {
		t.Errorf("weight %q, want 2", got)
	}
	s.Sync(map[types.NamespacedName]Service{web: {Port: 32000}})
	if resp, _ := p.get(t, 32000); resp == nil || resp.StatusCode != 503 {
		t.Errorf("without an endpoint: %v, want 503", resp)
	}
	s.Sync(map[types.NamespacedName]Service{web: {Port: 32000, Endpoints: 1}})
	health.pending = time.Now().Add(-2 * Timeout)
	if resp, _ := p.get(t, 32000); resp == nil || resp.StatusCode != 503 {
		t.Errorf("with rules that are old: %v, want 503", resp)
	}
}

func TestPortsFollowServices(t *testing.T) {
	s, p := startServices(t, &Health{})
	other := types.NamespacedName{Namespace: "shop", Name: "other"}
	s.Sync(map[types.NamespacedName]Service{web: {Port: 32000, Endpoints: 1}})
	first := p.open[32000]
	s.Sync(map[types.NamespacedName]Service{other: {Port: 32000, Endpoints: 1}, web: {Port: 32001, Endpoints: 1}})
	if p.open[32000] == first {
		t.Error("the port is still the service's that had it before")
	}
	for _, port := range []uint16{32000, 32001} {
		if resp, _ := p.get(t, port); resp == nil || resp.StatusCode != 200 {
			t.Errorf("port %d: %v, want 200", port, resp)
		}
	}
	s.Sync(nil)
	if resp, _ := p.get(t, 32000); resp != nil {
		t.Errorf("after the services are gone: %v", resp.Status)
	}
}

func TestTakenPortIsTriedAgain(t *testing.T) {
	s, p := startServices(t, &Health{})
	p.taken[32000] = true
	s.Sync(map[types.NamespacedName]Service{web: {Port: 32000, Endpoints: 1}})
	p.mu.Lock()
	p.taken[32000] = false
	p.mu.Unlock()
	s.Sync(map[types.NamespacedName]Service{web: {Port: 32000, Endpoints: 1}})
	if resp, _ := p.get(t, 32000); resp == nil || resp.StatusCode != 200 {
		t.Errorf("%v, want 200", resp)
	}
}

func TestHealth(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &Health{}
		p := NewProxy(h, []string{"IPv4"})
		get := func(path string) (int, answer) {
			w := httptest.NewRecorder()
			p.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
			var a answer
			if w.Code != 404 {
				if err := json.Unmarshal(w.Body.Bytes(), &a); err != nil {
					t.Fatal(err)
				}
			}
			return w.Code, a
		}
		expect := func(what string, healthz, livez int) {
			t.Helper()
			z, a := get("/healthz")
			l, _ := get("/livez")
			if z != healthz || l != livez || a.NodeEligible == nil {
				t.Errorf("%s: %d, %d, %+v; want %d, %d", what, z, l, a, healthz, livez)
			}
		}
		expect("at the start", 200, 200)
		h.Queued()
		time.Sleep(Timeout - time.Second)
		h.Queued()
		expect("a change is on its way", 200, 200)
		time.Sleep(time.Second)
		expect("a change waits for too long", 503, 503)
		if _, a := get("/livez"); a.Healthy || a.Status["IPv4"].Healthy || a.NodeEligible != nil {
			t.Errorf("told %+v", a)
		}
		h.Updated()
		expect("it is carried out", 200, 200)
		h.SetLeaving(true)
		expect("the node is about to go", 503, 200)
		if got, _ := get("/metrics"); got != 404 {
			t.Errorf("another path: %d, want 404", got)
		}
		registry := prometheus.NewRegistry()
		registry.MustRegister(p.Collectors()...)
		if n := metrictest.Values(t, registry)["kubeproxy_proxy_healthz_total 503"]; n != 2 {
			t.Errorf("counted %v answers of 503, want 2", n)
		}
	})
}

// TestProxyWaitsForItsPort: another program has it first.
func TestProxyWaitsForItsPort(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- NewProxy(&Health{}, nil).Run(ctx, taken.Addr().String()) }()
	cancel()
	if err := <-done; err != nil {
		t.Errorf("Run: %v", err)
	}
}
