package proxy

import (
	"context"
	"errors"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes/fake"
	"k8s.io/utils/ptr"

	"skiff/metric/metrictest"
	"skiff/proxy/healthcheck"
	"skiff/proxy/nft/nfttest"
	"skiff/proxy/service"
)

// plane is a fake Dataplane that tells of each transaction.
type plane struct {
	nfttest.Fake
	done chan struct{}
}

func (p *plane) Reset(r service.Rules) error    { return p.tell(p.Fake.Reset(r)) }
func (p *plane) Apply(c []service.Change) error { return p.tell(p.Fake.Apply(c)) }
func (p *plane) tell(err error) error           { p.done <- struct{}{}; return err }
func (p *plane) expect(t *testing.T, want ...string) {
	t.Helper()
	for {
		got, _ := p.Dump()
		if slices.Equal(got, want) {
			return
		}
		select {
		case <-p.done:
		case <-t.Context().Done():
			t.Fatalf("in force are %v, want %v", got, want)
		}
	}
}

func start(t *testing.T, objects ...runtime.Object) (*fake.Clientset, *plane) {
	t.Helper()
	client, p, _ := startRules(t, objects...)
	return client, p
}

func startRules(t *testing.T, objects ...runtime.Object) (*fake.Clientset, *plane, *rules) {
	t.Helper()
	client := fake.NewClientset(objects...)
	factory := informers.NewSharedInformerFactory(client, 0)
	p := &plane{done: make(chan struct{}, 1000)}
	r, err := newRules(service.Node{Name: "n1"}, factory, p, newMetrics([]string{"IPv4"}))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	factory.Start(ctx.Done())
	ready := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := r.run(ctx, func() { close(ready) }); err != nil {
			t.Errorf("run: %v", err)
		}
	})
	t.Cleanup(func() { cancel(); wg.Wait(); factory.Shutdown() })
	<-ready
	return client, p, r
}

func svc(name, ip string, external ...string) *corev1.Service {
	return &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "default"},
		Spec: corev1.ServiceSpec{
			ClusterIP: ip, ClusterIPs: []string{ip}, ExternalIPs: external,
			Ports: []corev1.ServicePort{{Name: "http", Port: 80, Protocol: corev1.ProtocolTCP}},
		},
	}
}

func slice(name, of string, addresses ...string) *discoveryv1.EndpointSlice {
	s := &discoveryv1.EndpointSlice{
		ObjectMeta:  metav1.ObjectMeta{Name: name, Namespace: "default", Labels: map[string]string{discoveryv1.LabelServiceName: of}},
		AddressType: discoveryv1.AddressTypeIPv4,
		Ports:       []discoveryv1.EndpointPort{{Name: ptr.To("http"), Port: ptr.To[int32](8080)}},
	}
	for _, a := range addresses {
		s.Endpoints = append(s.Endpoints, discoveryv1.Endpoint{Addresses: []string{a}})
	}
	return s
}

func TestRulesFollowServicesAndSlices(t *testing.T) {
	client, p := start(t, svc("web", "10.43.0.20"), slice("web-1", "web", "10.42.0.5"))
	p.expect(t, "10.43.0.20:80/TCP -> [10.42.0.5:8080]")

	slices := client.DiscoveryV1().EndpointSlices("default")
	if _, err := slices.Create(t.Context(), slice("web-2", "web", "10.42.0.6"), metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	p.expect(t, "10.43.0.20:80/TCP -> [10.42.0.5:8080 10.42.0.6:8080]")

	if _, err := slices.Update(t.Context(), slice("web-2", "other", "10.42.0.6"), metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	p.expect(t, "10.43.0.20:80/TCP -> [10.42.0.5:8080]")

	if err := slices.Delete(t.Context(), "web-1", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	p.expect(t, "10.43.0.20:80/TCP reject")

	if err := client.CoreV1().Services("default").Delete(t.Context(), "web", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	p.expect(t)
}

func TestExternalAddressBelongsToOneServiceAtATime(t *testing.T) {
	client, p := start(t, svc("a", "10.43.0.20", "192.0.2.1"), slice("a-1", "a", "10.42.0.5"), slice("b-1", "b", "10.42.0.6"))
	services := client.CoreV1().Services("default")
	if _, err := services.Create(t.Context(), svc("b", "10.43.0.21", "192.0.2.1"), metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	p.expect(t, "10.43.0.20:80/TCP -> [10.42.0.5:8080]", "10.43.0.21:80/TCP -> [10.42.0.6:8080]", "192.0.2.1:80/TCP -> [10.42.0.5:8080]")
	if err := services.Delete(t.Context(), "a", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	p.expect(t, "10.43.0.21:80/TCP -> [10.42.0.6:8080]", "192.0.2.1:80/TCP -> [10.42.0.6:8080]")
}

func TestFailedChangeIsRepaired(t *testing.T) {
	client, p := start(t, svc("web", "10.43.0.20"))
	p.expect(t, "10.43.0.20:80/TCP reject")
	failures := 2
	p.Fail = func() error {
		if failures--; failures >= 0 {
			return errors.New("no buffer space available")
		}
		return nil
	}
	if _, err := client.DiscoveryV1().EndpointSlices("default").Create(t.Context(), slice("web-1", "web", "10.42.0.5"), metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	p.expect(t, "10.43.0.20:80/TCP -> [10.42.0.5:8080]")
}

func TestZoneIsTheNodesLabel(t *testing.T) {
	node := func(zone string) *corev1.Node {
		return &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n1", Labels: map[string]string{corev1.LabelTopologyZone: zone}}}
	}
	eps := slice("web-1", "web", "10.42.0.5", "10.42.0.6")
	for i, zone := range []string{"z1", "z2"} {
		eps.Endpoints[i].Hints = &discoveryv1.EndpointHints{ForZones: []discoveryv1.ForZone{{Name: zone}}}
	}
	other := node("z2")
	other.Name = "n2"
	client, p := start(t, node("z1"), other, svc("web", "10.43.0.20"), eps)
	p.expect(t, "10.43.0.20:80/TCP -> [10.42.0.5:8080]")
	if _, err := client.CoreV1().Nodes().Update(t.Context(), node("z2"), metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	p.expect(t, "10.43.0.20:80/TCP -> [10.42.0.6:8080]")
	if err := client.CoreV1().Nodes().Delete(t.Context(), "n1", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := client.CoreV1().Nodes().Create(t.Context(), node(""), metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	p.expect(t, "10.43.0.20:80/TCP -> [10.42.0.5:8080 10.42.0.6:8080]")
}

// TestFiguresAndChecksFollow looks at what is told of services that keep traffic
// local: health checks, and how many have no endpoint here.
func TestFiguresAndChecksFollow(t *testing.T) {
	local := svc("web", "10.43.0.20")
	local.Spec.Type, local.Spec.ExternalTrafficPolicy = corev1.ServiceTypeLoadBalancer, corev1.ServiceExternalTrafficPolicyLocal
	local.Spec.HealthCheckNodePort, local.Spec.Ports[0].NodePort = 32000, 30080
	eps := slice("web-1", "web", "10.42.0.5", "10.42.0.6")
	eps.Endpoints[0].NodeName, eps.Endpoints[1].NodeName = ptr.To("n1"), ptr.To("n2")

	factory := informers.NewSharedInformerFactory(fake.NewClientset(), 0)
	r, err := newRules(service.Node{Name: "n1"}, factory, &nfttest.Fake{}, newMetrics([]string{"IPv4"}))
	if err != nil {
		t.Fatal(err)
	}
	registry := prometheus.NewRegistry()
	registry.MustRegister(r.metrics.noLocal)
	const figure = "kubeproxy_sync_proxy_rules_no_local_endpoints_total IPv4 external"
	name := types.NamespacedName{Namespace: "default", Name: "web"}
	for _, step := range []struct {
		what    string
		change  func() error
		checks  map[types.NamespacedName]healthcheck.Service
		noLocal float64
	}{
		{"an endpoint here", func() error {
			return errors.Join(r.services.GetIndexer().Add(local), r.slices.GetIndexer().Add(eps))
		}, map[types.NamespacedName]healthcheck.Service{name: {Port: 32000, Endpoints: 1}}, 0},
		{"none here", func() error {
			moved := eps.DeepCopy()
			moved.Endpoints[0].NodeName = ptr.To("n3")
			return r.slices.GetIndexer().Update(moved)
		}, map[types.NamespacedName]healthcheck.Service{name: {Port: 32000}}, 1},
		{"the service is gone", func() error { return r.services.GetIndexer().Delete(local) }, map[types.NamespacedName]healthcheck.Service{}, 0},
	} {
		if err := step.change(); err != nil {
			t.Fatal(err)
		}
		r.update(nil, "default/web")
		if !maps.Equal(r.ports, step.checks) {
			t.Errorf("%s: checks are %v, want %v", step.what, r.ports, step.checks)
		}
		if got := metrictest.Values(t, registry)[figure]; got != step.noLocal {
			t.Errorf("%s: %v services without a local endpoint, want %v", step.what, got, step.noLocal)
		}
	}
}

func TestNodeThatLeavesIsNotEligible(t *testing.T) {
	factory := informers.NewSharedInformerFactory(fake.NewClientset(), 0)
	r, err := newRules(service.Node{Name: "n1"}, factory, &nfttest.Fake{}, newMetrics(nil))
	if err != nil {
		t.Fatal(err)
	}
	proxy := healthcheck.NewProxy(r.health, nil)
	code := func() int {
		w := httptest.NewRecorder()
		proxy.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/healthz", nil))
		return w.Code
	}
	node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n1"}}
	tainted := node.DeepCopy()
	tainted.Spec.Taints = []corev1.Taint{{Key: toBeDeleted}}
	other := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n2"}}
	for _, step := range []struct {
		what     string
		old, now *corev1.Node
		want     int
	}{
		{"it is there", nil, node, 200},
		{"it is to be deleted", node, tainted, 503},
		{"another one comes", nil, other, 503},
		{"it stays", tainted, node, 200},
		{"another one is gone", other, nil, 200},
		{"it is gone", node, nil, 503},
	} {
		if r.nodeChanged(step.old, step.now); code() != step.want {
			t.Errorf("%s: %d, want %d", step.what, code(), step.want)
		}
	}
}

func TestDueSince(t *testing.T) {
	at := func(text string) *discoveryv1.EndpointSlice {
		return &discoveryv1.EndpointSlice{ObjectMeta: metav1.ObjectMeta{Annotations: map[string]string{corev1.EndpointsLastChangeTriggerTime: text}}}
	}
	later := started.Add(time.Minute).UTC().Truncate(0)
	now := at(later.Format(time.RFC3339Nano))
	for _, tc := range []struct {
		what     string
		old, now *discoveryv1.EndpointSlice
		want     bool
	}{
		{"new", nil, now, true},
		{"changed again", at("2026-01-01T00:00:00Z"), now, true},
		{"for another reason", now, now, false},
		{"before this process", nil, at("2026-01-01T00:00:00Z"), false},
		{"no time", nil, at("soon"), false},
		{"gone", now, nil, false},
	} {
		got, ok := dueSince(tc.old, tc.now)
		if ok != tc.want || ok && !got.Equal(later) {
			t.Errorf("%s: %v, %v", tc.what, got, ok)
		}
	}
}
