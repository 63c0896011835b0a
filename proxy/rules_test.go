package proxy

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes/fake"
	"k8s.io/utils/ptr"

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
	client := fake.NewClientset(objects...)
	factory := informers.NewSharedInformerFactory(client, 0)
	p := &plane{done: make(chan struct{}, 1000)}
	r, err := newRules(service.Node{Name: "n1"}, factory, p)
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
	return client, p
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
