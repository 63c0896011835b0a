package server

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	corelisters "k8s.io/client-go/listers/core/v1"
	discoverylisters "k8s.io/client-go/listers/discovery/v1"
	"k8s.io/client-go/tools/cache"
	"k8s.io/utils/ptr"

	"skiff/server/pki"
)

// TestDialService: a service is reached at a ready endpoint, through the tunnel of the
// node where that is.
func TestDialService(t *testing.T) {
	s := newSite(t)
	for i, name := range []string{"one", "two"} {
		s.addNode(name, "192.0.2.7:10250", []string{"10.42.0.0/24", "10.42.1.0/24"}[i])
		s.connect(name, s.api(name, s.certificate(pki.KubeletServing(name, nil))))
	}
	services, slices := cache.NewIndexer(cache.MetaNamespaceKeyFunc, cache.Indexers{}), cache.NewIndexer(cache.MetaNamespaceKeyFunc, cache.Indexers{})
	d := &serviceDialer{services: corelisters.NewServiceLister(services), endpoints: discoverylisters.NewEndpointSliceLister(slices), nodes: s.conn}
	meta := func(name string) metav1.ObjectMeta {
		return metav1.ObjectMeta{Namespace: "shop", Name: name, Labels: map[string]string{discoveryv1.LabelServiceName: name}}
	}
	web := func(name string, endpoints ...discoveryv1.Endpoint) {
		t.Helper()
		service := &corev1.Service{ObjectMeta: meta(name), Spec: corev1.ServiceSpec{Ports: []corev1.ServicePort{{Name: "web", Port: 443}}}}
		slice := &discoveryv1.EndpointSlice{
			ObjectMeta: meta(name), AddressType: discoveryv1.AddressTypeIPv4, Endpoints: endpoints,
			Ports: []discoveryv1.EndpointPort{{Name: ptr.To("web"), Port: ptr.To[int32](8443)}},
		}
		for o, to := range map[any]cache.Indexer{service: services, slice: slices} {
			if err := to.Add(o); err != nil {
				t.Fatal(err)
			}
		}
	}
	endpoint := func(node, address string, ready bool) discoveryv1.Endpoint {
		return discoveryv1.Endpoint{NodeName: &node, Addresses: []string{address}, Conditions: discoveryv1.EndpointConditions{Ready: &ready}}
	}
	web("policy", endpoint("one", "10.42.0.5", false), endpoint("two", "10.42.1.5", true))
	web("starting", endpoint("one", "10.42.0.5", false))
	by := &http.Transport{
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true},
		DialContext: func(ctx context.Context, _, address string) (net.Conn, error) {
			name, _, _ := strings.Cut(address, ":")
			port := int32(443)
			if strings.HasSuffix(address, ":444") {
				port = 444
			}
			return d.DialService(ctx, "shop", name, port)
		},
	}
	defer by.CloseIdleConnections()
	if got, err := get(t, by, "https://policy/"); err != nil || got != "pod on two at policy" {
		t.Errorf("%q, %v", got, err)
	}
	for address, want := range map[string]string{
		"https://policy:444/": `no service port 444 found for service "policy"`,
		"https://starting/":   `no endpoints available for service "starting"`,
		"https://missing/":    `service "missing" not found`,
	} {
		if _, err := get(t, by, address); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", address, err, want)
		}
	}
}
