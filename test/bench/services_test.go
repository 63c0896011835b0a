package bench

import (
	"context"
	"encoding/binary"
	"fmt"
	"net/netip"
	"testing"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"skiff/test/bench/traffic"
	"skiff/test/e2e/host"
)

// services are those that proxies are compared by, made through the API. Each has
// two endpoints that no other has, and no selector, so that no controller has
// work with them.
type services struct {
	client kubernetes.Interface
	// endpoints are each service's.
	endpoints [][2]netip.Addr
	// used is how many endpoints there have been.
	used int
}

func newServices(b *testing.B, server *host.Host) *services {
	b.Helper()
	cfg := server.RESTConfig()
	cfg.QPS = -1 // what is measured must not wait for its client
	cfg.ContentType = "application/vnd.kubernetes.protobuf"
	client, err := kubernetes.NewForConfig(cfg)
	if err != nil {
		b.Fatal(err)
	}
	return &services{client: client}
}

// newEndpoints are two that no service had before.
func (s *services) newEndpoints() (pair [2]netip.Addr) {
	for i := range pair {
		s.used++
		pair[i] = nth(traffic.Endpoints.Addr(), s.used)
	}
	return pair
}

// nth is the address that many behind a.
func nth(a netip.Addr, n int) netip.Addr {
	four := a.As4()
	binary.BigEndian.PutUint32(four[:], binary.BigEndian.Uint32(four[:])+uint32(n))
	return netip.AddrFrom4(four)
}

// first is the address before that of the first service: in the range of the
// default, behind those that a server chooses by itself.
var first = netip.MustParseAddr("10.43.64.0")

// servicePort is not the endpoints'.
const servicePort = 80

// address is where a service is reached.
func (s *services) address(i int) netip.AddrPort {
	return netip.AddrPortFrom(nth(first, i+1), servicePort)
}

// direct is where an endpoint is reached without a service.
func direct(endpoint netip.Addr) netip.AddrPort {
	return netip.AddrPortFrom(endpoint, traffic.Port)
}

// spread are n services all over the range, the last one among them.
func (s *services) spread(n int) (list []int) {
	n = min(n, len(s.endpoints))
	for i := range n {
		list = append(list, (i+1)*len(s.endpoints)/n-1)
	}
	return list
}

// grow makes services until there are n.
func (s *services) grow(b *testing.B, n int) {
	b.Helper()
	var group errgroup.Group
	group.SetLimit(32)
	for i := len(s.endpoints); i < n; i++ {
		s.endpoints = append(s.endpoints, s.newEndpoints())
		group.Go(func() error { return s.create(b.Context(), i) })
	}
	if err := group.Wait(); err != nil {
		b.Fatalf("make services: %v", err)
	}
}

func name(service int) string { return fmt.Sprintf("svc-%05d", service) }

func (s *services) create(ctx context.Context, i int) error {
	_, err := s.client.CoreV1().Services(namespace).Create(ctx, &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Name: name(i)},
		Spec:       corev1.ServiceSpec{ClusterIP: s.address(i).Addr().String(), Ports: []corev1.ServicePort{{Port: servicePort}}},
	}, metav1.CreateOptions{})
	if err != nil {
		return err
	}
	_, err = s.client.DiscoveryV1().EndpointSlices(namespace).Create(ctx, s.slice(i), metav1.CreateOptions{})
	return err
}

// slice is a service's one.
func (s *services) slice(i int) *discoveryv1.EndpointSlice {
	port, yes := int32(traffic.Port), true
	slice := &discoveryv1.EndpointSlice{
		ObjectMeta:  metav1.ObjectMeta{Name: name(i), Labels: map[string]string{discoveryv1.LabelServiceName: name(i)}},
		AddressType: discoveryv1.AddressTypeIPv4,
		Ports:       []discoveryv1.EndpointPort{{Port: &port}},
	}
	for _, addr := range s.endpoints[i] {
		slice.Endpoints = append(slice.Endpoints, discoveryv1.Endpoint{
			Addresses: []string{addr.String()}, Conditions: discoveryv1.EndpointConditions{Ready: &yes},
		})
	}
	return slice
}

// replaceEndpoints gives a service two other endpoints, and returns when the API
// has written that.
func (s *services) replaceEndpoints(b *testing.B, i int) {
	b.Helper()
	s.endpoints[i] = s.newEndpoints()
	if _, err := s.client.DiscoveryV1().EndpointSlices(namespace).Update(b.Context(), s.slice(i), metav1.UpdateOptions{}); err != nil {
		b.Fatalf("change the endpoints of a service: %v", err)
	}
}
